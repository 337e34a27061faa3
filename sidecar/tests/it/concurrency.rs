//! Many push and many scrape at once: every page shows a state that was there between the start of the scrape and its
//! end, in every form in which a page is asked for.
//!
//! Each group is changed by one writer, whose changes are numbered. A push gives all series of the group its number, in
//! several families; every seventh change deletes the group. So a page shows the group as one change left it, or parts
//! of several.

#![expect(clippy::indexing_slicing, reason = "groups are numbered")]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
};

use bytes::Bytes;
use flate2::read::GzDecoder;
use protocol::NameValidation;
use sidecar::exposition::{MetricFamily, Value, openmetrics, protobuf, text};

use crate::{connection::Connection, gateway::Gateway, random::Random};

/// How many groups each writer changes.
const GROUPS: usize = 4;

const WRITERS: usize = 3;

/// How many pages each reader looks at.
const PAGES: usize = 60;

/// How many different numbers of a group all readers have to come across, or nobody wrote meanwhile.
const LEAST_NUMBERS: usize = 10;

/// What each reader asks for.
const FORMS: [(Format, bool); 6] = [
    (Format::Text, false),
    (Format::Text, true),
    (Format::OpenMetrics, false),
    (Format::OpenMetrics, true),
    (Format::Protobuf, false),
    (Format::Protobuf, true),
];

#[derive(Clone, Copy, Debug)]
enum Format {
    Text,
    OpenMetrics,
    Protobuf,
}

/// What the writer of a group has done so far, by the number of the change.
#[derive(Default)]
struct Progress {
    begun: AtomicU32,
    answered: AtomicU32,
}

/// A group as a page shows it.
#[derive(Debug, Default)]
struct Shown {
    numbers: BTreeSet<u32>,
    series: usize,
    push_time: f64,
}

fn job(group: usize) -> String {
    format!("g{group}")
}

/// Every series that a push has.
fn body(number: u32) -> String {
    format!(
        "# TYPE first gauge\nfirst{{series=\"1\"}} {number}\nfirst{{series=\"2\"}} {number}\n\
         # TYPE second gauge\nsecond {number}\n# TYPE third gauge\nthird{{a=\"b\",c=\"d\"}} {number}\n"
    )
}

const SERIES: usize = 4;

fn is_deletion(number: u32) -> bool {
    number.is_multiple_of(7)
}

#[test]
fn each_scrape_shows_a_state_that_was_there() {
    let mut gateway = Gateway::start(&["--web.listen-address=127.0.0.1:0"]);
    let address = gateway.address("all");
    let progress: Vec<Progress> = (0..GROUPS * WRITERS).map(|_| Progress::default()).collect();
    let is_over = AtomicBool::new(false);
    let seen: Vec<Vec<BTreeSet<u32>>> = thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (progress, is_over) = (&progress, &is_over);
            scope.spawn(move || write(writer, address, progress, is_over));
        }
        let progress = &progress;
        let readers =
            FORMS.map(|(format, is_compressed)| scope.spawn(move || read(format, is_compressed, address, progress)));
        let seen: Vec<_> = readers.into_iter().map(|reader| reader.join()).collect();
        // A reader that failed ends the writers too.
        is_over.store(true, Ordering::SeqCst);
        seen.into_iter().map(Result::unwrap).collect()
    });
    for group in 0..progress.len() {
        let numbers: BTreeSet<u32> = seen.iter().flat_map(|seen| &seen[group]).copied().collect();
        assert!(LEAST_NUMBERS <= numbers.len(), "{}: expected more of the writing, found {numbers:?}", job(group));
    }
}

fn write(writer: usize, address: SocketAddr, progress: &[Progress], is_over: &AtomicBool) {
    let mut connection = Connection::open(address).unwrap();
    let mut random = Random(writer as u64);
    let mut next = [1; GROUPS];
    while !is_over.load(Ordering::SeqCst) {
        let mine = usize::try_from(random.below(GROUPS as u64)).unwrap();
        let (group, number) = (writer * GROUPS + mine, next[mine]);
        next[mine] += 1;
        let (method, body) = match number {
            number if is_deletion(number) => ("DELETE", String::new()),
            number if number.is_multiple_of(2) => ("POST", body(number)),
            number => ("PUT", body(number)),
        };
        progress[group].begun.store(number, Ordering::SeqCst);
        let reply = connection.send(method, &format!("/metrics/job/{}", job(group)), &[], &body).unwrap();
        assert!([200, 202].contains(&reply.status), "{reply:?}");
        progress[group].answered.store(number, Ordering::SeqCst);
    }
}

/// Returns the numbers that were seen of each group.
fn read(format: Format, is_compressed: bool, address: SocketAddr, progress: &[Progress]) -> Vec<BTreeSet<u32>> {
    let mut connection = Connection::open(address).unwrap();
    let mut seen: Vec<BTreeSet<u32>> = progress.iter().map(|_| BTreeSet::new()).collect();
    let mut last_times = vec![0.0; progress.len()];
    for _ in 0..PAGES {
        let least: Vec<_> = progress.iter().map(|group| group.answered.load(Ordering::SeqCst)).collect();
        let mut page = shown(&page(&mut connection, format, is_compressed));
        for (group, progress) in progress.iter().enumerate() {
            // What the page before has shown is there as well, answered or not.
            let least = seen[group].last().copied().unwrap_or_default().max(least[group]);
            let most = progress.begun.load(Ordering::SeqCst);
            let context = || format!("{} in {format:?}, compressed {is_compressed}, {least} to {most}", job(group));
            let Some(found) = page.remove(&job(group)) else {
                let may_be_gone = least == 0 || (least..=most).any(is_deletion);
                assert!(may_be_gone, "{}: expected the group, found none", context());
                continue;
            };
            let number = *found.numbers.first().unwrap();
            let is_one = found.numbers.len() == 1 && found.series == SERIES;
            assert!(is_one, "{}: expected one state, found {found:?}", context());
            assert!((least..=most).contains(&number), "{}: found {number}", context());
            assert!(last_times[group] <= found.push_time, "{}: the push time went back", context());
            last_times[group] = found.push_time;
            seen[group].insert(number);
        }
        assert!(page.is_empty(), "nobody pushed {page:?}");
    }
    seen
}

fn page(connection: &mut Connection, format: Format, is_compressed: bool) -> Vec<MetricFamily> {
    let accept = match format {
        Format::Text => "accept: text/plain; version=0.0.4",
        Format::OpenMetrics => "accept: application/openmetrics-text; version=1.0.0",
        Format::Protobuf => {
            "accept: application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
        }
    };
    let coding = if is_compressed { "accept-encoding: gzip" } else { "accept-encoding: identity" };
    let reply = connection.send("GET", "/metrics", &[accept, coding], "").unwrap();
    assert_eq!(reply.status, 200);
    let mut body = reply.body;
    if is_compressed {
        let mut plain = Vec::new();
        GzDecoder::new(&*body).read_to_end(&mut plain).unwrap();
        body = plain;
    }
    match format {
        Format::Text => text::decode(&body, NameValidation::Legacy).unwrap(),
        Format::OpenMetrics => openmetrics::decode(&body, NameValidation::Legacy).unwrap(),
        Format::Protobuf => protobuf::decode(&Bytes::from(body)).unwrap(),
    }
}

/// The groups by their job.
fn shown(page: &[MetricFamily]) -> BTreeMap<String, Shown> {
    let mut groups: BTreeMap<String, Shown> = BTreeMap::new();
    for family in page {
        for metric in &family.metrics {
            let (Some(job), Value::Number(value)) = (metric.labels.get("job"), &metric.value) else { continue };
            let group = groups.entry(job.to_owned()).or_default();
            match family.name.as_str() {
                "push_time_seconds" => group.push_time = *value,
                "push_failure_time_seconds" => assert_eq!(*value, 0.0),
                _ => {
                    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "pushed as such")]
                    group.numbers.insert(*value as u32);
                    group.series += 1;
                }
            }
        }
    }
    groups
}
