//! Pages that are patched, against pages made from nothing.

use std::io::Read;

use flate2::read::GzDecoder;
use proptest::prelude::*;
use protocol::{GroupingKey, NameValidation, PathNames};

use super::*;
use crate::{
    clock::UnixSeconds,
    exposition::{Format, openmetrics, text},
    store::{Change, Store},
};

/// What groups push: families that come and go with their neighbours, change their help, and are of every kind.
const BODIES: [(Format, &str); 12] = [
    (Format::Text, ""),
    (Format::Text, "a 1\nb 2\nc 3\n"),
    (Format::Text, "a 4\nb 2\nc 3\n"),
    (Format::Text, "# HELP a one\na 1\n"),
    (Format::Text, "# HELP a two\na 1\na{l=\"2\"} 1\na{l=\"1\"} 1\n"),
    (Format::Text, "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 2\nh_count 3\nc -0\n"),
    (Format::Text, "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_sum 2\nh_count 3\nc -0\n"),
    (Format::OpenMetrics, "# TYPE t counter\nt_total 1 # {x=\"y\"} 1\nt_created 5\n# EOF\n"),
    (
        Format::OpenMetrics,
        "# TYPE i info\ni_info{v=\"1\"} 1\n# TYPE s stateset\ns{s=\"on\"} 1\ns{s=\"off\"} 0\n# EOF\n",
    ),
    (Format::Text, "t 1\nsidegate_scrapes_total_of_others 2\n"),
    (Format::Text, "# TYPE sidegate_scrapes_total counter\nsidegate_scrapes_total 7\nz 1\n"),
    (Format::Text, "{\"a.b\"} 1\na{\"x.y\"=\"1\"} 2\n"),
];

#[derive(Clone, Debug)]
enum Step {
    Put(usize, usize),
    Post(usize, usize),
    Delete(usize),
    Read(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    let (key, body) = (0..150_usize, 0..BODIES.len());
    prop_oneof![
        6 => (key.clone(), body.clone()).prop_map(|(key, body)| Step::Put(key, body)),
        2 => (key.clone(), body).prop_map(|(key, body)| Step::Post(key, body)),
        2 => key.prop_map(Step::Delete),
        1 => (0..8_usize).prop_map(Step::Read),
    ]
}

fn families(body: usize) -> Vec<crate::exposition::MetricFamily> {
    let (format, body) = BODIES[body];
    match format {
        Format::OpenMetrics => openmetrics::decode(body.as_bytes(), NameValidation::Utf8).unwrap(),
        Format::Text | Format::Protobuf => text::decode(body.as_bytes(), NameValidation::Utf8).unwrap(),
    }
}

fn own() -> Vec<(String, String)> {
    vec![("sidegate_scrapes_total".to_owned(), "# own\n".to_owned()), ("zz".to_owned(), "# last\n".to_owned())]
}

/// A form, read from what is kept and made from nothing, plain and in gzip.
fn check(store: &Store, number: usize) -> Result<(), TestCaseError> {
    let escaping = Escaping::ALL[number % 4];
    let (form, new) = if number < 4 {
        (Form::Text(escaping), store.page_of(KeyLabels::Shown, escaping, |_| true))
    } else {
        (Form::OpenMetrics(escaping), store.openmetrics_page_of(escaping, |_| true))
    };
    for own in [own, Vec::new] {
        let expected = String::from_utf8(new.pieces(own(), "end").concat()).unwrap();
        let plain = store.whole_page(form, Packing::Plain);
        prop_assert_eq!((plain.hidden, plain.revision), (new.hidden, new.revision));
        prop_assert_eq!(&String::from_utf8(plain.pieces(own(), "end").concat()).unwrap(), &expected);
        let packed = store.whole_page(form, Packing::Gzip);
        prop_assert_eq!((packed.hidden, packed.revision), (new.hidden, new.revision));
        let mut text = String::new();
        GzDecoder::new(&*packed.pieces(own(), "end").concat()).read_to_string(&mut text).unwrap();
        prop_assert_eq!(&text, &expected);
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_page_made_from_the_one_before_it_is_the_one_made_from_nothing(
        fill in 0..150_usize,
        steps in prop::collection::vec(any_step(), 0..60),
    ) {
        let store = Store::new();
        let key = |number: usize| GroupingKey::from_path(&format!("/metrics/job/{number}"), PathNames::Legacy).unwrap();
        for number in 0..fill {
            store.submit(Change::replace(key(number), families(1)), UnixSeconds(1.0));
        }
        for step in steps {
            match step {
                Step::Put(number, body) => drop(store.submit(Change::replace(key(number), families(body)), UnixSeconds(1.0))),
                Step::Post(number, body) => drop(store.submit(Change::merge(key(number), families(body)), UnixSeconds(1.0))),
                Step::Delete(number) => drop(store.submit(Change::remove(key(number)), UnixSeconds(1.0))),
                Step::Read(number) => check(&store, number)?,
            }
        }
        (0..8).try_for_each(|number| check(&store, number))?;
    }
}
