//! What the process counts about itself, as the same families that the store holds.
//!
//! The table of names is static, so that the consistency check knows them. Series of `pushgateway_` have upstream's
//! names and appear with their first event, as upstream's do; those of `sidegate_` are there from the start, but for
//! the duration of scrapes. What the kernel knows of the process is read at each scrape ([`process`]).
//!
//! *Never:* HTTP paths, labels that a client chooses.

mod access;
mod connections;
mod process;
mod storage;
mod window;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use protocol::LabelSet;
use tokio::time::Instant;

use crate::{
    build_info,
    exposition::{Kind, Metric, MetricFamily, Value},
    persist, store,
};
use access::AccessCounts;
pub(crate) use access::{AuthRefusal, ReloadedFile};
pub(crate) use connections::Connections;
use window::Window;

const AUTH_REFUSALS: &str = "sidegate_auth_refusals_total";
const BUILD_INFO: &str = "pushgateway_build_info";
const HTTP_PUSH_DURATION: &str = "pushgateway_http_push_duration_seconds";
const HTTP_PUSH_SIZE: &str = "pushgateway_http_push_size_bytes";
const HTTP_REQUESTS: &str = "pushgateway_http_requests_total";
const ESCAPED_SERIES_HIDDEN: &str = "sidegate_escaped_series_hidden_total";
const GROUPS: &str = "sidegate_groups";
const GROUPS_EXPIRED: &str = "sidegate_groups_expired_total";
const PUSHES_REFUSED: &str = "sidegate_pushes_refused_total";
const RELOAD_FAILURES: &str = "sidegate_reload_failures_total";
const SCRAPE_DURATION: &str = "sidegate_scrape_duration_seconds";
const SCRAPES: &str = "sidegate_scrapes_total";
const SERIES: &str = "sidegate_series";
const SIGNED_DELETES: &str = "sidegate_signed_deletes_total";

/// The families of this process, by name.
pub(crate) const OWN_FAMILIES: &[(&str, Kind)] = &[
    process::FAMILIES[0],
    process::FAMILIES[1],
    process::FAMILIES[2],
    process::FAMILIES[3],
    process::FAMILIES[4],
    process::FAMILIES[5],
    process::FAMILIES[6],
    process::FAMILIES[7],
    process::FAMILIES[8],
    (BUILD_INFO, Kind::Gauge),
    (HTTP_PUSH_DURATION, Kind::Summary),
    (HTTP_PUSH_SIZE, Kind::Summary),
    (HTTP_REQUESTS, Kind::Counter),
    (AUTH_REFUSALS, Kind::Counter),
    connections::FAMILIES[0],
    connections::FAMILIES[1],
    connections::FAMILIES[2],
    (ESCAPED_SERIES_HIDDEN, Kind::Counter),
    (GROUPS, Kind::Gauge),
    (GROUPS_EXPIRED, Kind::Counter),
    connections::FAMILIES[3],
    (PUSHES_REFUSED, Kind::Counter),
    (RELOAD_FAILURES, Kind::Counter),
    (SCRAPE_DURATION, Kind::Summary),
    (SCRAPES, Kind::Counter),
    (SERIES, Kind::Gauge),
    (SIGNED_DELETES, Kind::Counter),
    storage::FAMILIES[0],
    storage::FAMILIES[1],
    storage::FAMILIES[2],
    storage::FAMILIES[3],
    storage::FAMILIES[4],
    storage::FAMILIES[5],
];

/// Which handler answered, in upstream's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Handler {
    ApiGroups,
    ApiMetrics,
    ApiOptions,
    ApiStatus,
    Delete,
    Healthy,
    Push,
    Ready,
    /// The status page.
    Status,
    Wipe,
}

/// Why a push was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refusal {
    Auth,
    Body,
    Buckets,
    BytesAtOnce,
    CompressionRatio,
    Concurrent,
    Decompressed,
    Encoding,
    GroupSeries,
    Groups,
    Header,
    Help,
    Identity,
    Inconsistent,
    LabelName,
    LabelValue,
    Labels,
    Measurement,
    MetricName,
    Outdated,
    Page,
    Path,
    Series,
    SlowBody,
    Storage,
    StoredSeries,
    Syntax,
    Timestamp,
    TooLarge,
}

/// How a `DELETE` at the scrape port ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SignedDelete {
    Accepted,
    BadSignature,
    Busy,
    Malformed,
    NoKeys,
    NoPodUid,
    NotStored,
    PushedSince,
    Replayed,
    Stale,
    Unsigned,
}

/// All counters. Those of a router without a process around it, the default, say nothing of the process.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    counts: Mutex<Counts>,
    connections: Connections,
    storage: Arc<persist::Counts>,
    is_of_process: bool,
}

#[derive(Debug, Default)]
struct Counts {
    /// Raised by all that is counted but scrapes.
    revision: u64,
    requests: BTreeMap<(u16, Handler, &'static str), u64>,
    refused: BTreeMap<Refusal, u64>,
    signed_deletes: BTreeMap<SignedDelete, u64>,
    access: AccessCounts,
    scrapes: Window,
    hidden: u64,
    expired: u64,
    pushes: BTreeMap<&'static str, Pushes>,
}

/// Pushes by one method.
#[derive(Debug, Default)]
struct Pushes {
    seconds: Window,
    bytes: Window,
}

// === impl Handler ===

impl Handler {
    fn label(self) -> &'static str {
        match self {
            Self::ApiGroups => "api/v1/groups",
            Self::ApiMetrics => "api/v1/metrics",
            Self::ApiOptions => "api/v1/options",
            Self::ApiStatus => "api/v1/status",
            Self::Delete => "delete",
            Self::Healthy => "healthy",
            Self::Push => "push",
            Self::Ready => "ready",
            Self::Status => "status",
            Self::Wipe => "wipe",
        }
    }
}

// === impl Refusal ===

impl Refusal {
    const ALL: [Self; 29] = [
        Self::Auth,
        Self::Body,
        Self::Buckets,
        Self::BytesAtOnce,
        Self::CompressionRatio,
        Self::Concurrent,
        Self::Decompressed,
        Self::Encoding,
        Self::GroupSeries,
        Self::Groups,
        Self::Header,
        Self::Help,
        Self::Identity,
        Self::Inconsistent,
        Self::LabelName,
        Self::LabelValue,
        Self::Labels,
        Self::Measurement,
        Self::MetricName,
        Self::Outdated,
        Self::Page,
        Self::Path,
        Self::Series,
        Self::SlowBody,
        Self::Storage,
        Self::StoredSeries,
        Self::Syntax,
        Self::Timestamp,
        Self::TooLarge,
    ];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Body => "body",
            Self::Buckets => "buckets",
            Self::BytesAtOnce => "bytes_at_once",
            Self::CompressionRatio => "compression_ratio",
            Self::Concurrent => "concurrent",
            Self::Decompressed => "too_large_decompressed",
            Self::Encoding => "encoding",
            Self::GroupSeries => "group_series",
            Self::Groups => "groups",
            Self::Header => "header",
            Self::Help => "help",
            Self::Identity => "identity",
            Self::Inconsistent => "inconsistent",
            Self::LabelName => "label_name",
            Self::LabelValue => "label_value",
            Self::Labels => "labels",
            Self::Measurement => "measurement",
            Self::MetricName => "metric_name",
            Self::Outdated => "outdated",
            Self::Page => "page",
            Self::Path => "path",
            Self::Series => "series",
            Self::SlowBody => "slow_body",
            Self::Storage => "storage",
            Self::StoredSeries => "stored_series",
            Self::Syntax => "syntax",
            Self::Timestamp => "timestamp",
            Self::TooLarge => "too_large",
        }
    }
}

// === impl SignedDelete ===

impl SignedDelete {
    const ALL: [Self; 11] = [
        Self::Accepted,
        Self::BadSignature,
        Self::Busy,
        Self::Malformed,
        Self::NoKeys,
        Self::NoPodUid,
        Self::NotStored,
        Self::PushedSince,
        Self::Replayed,
        Self::Stale,
        Self::Unsigned,
    ];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::BadSignature => "bad_signature",
            Self::Busy => "busy",
            Self::Malformed => "malformed",
            Self::NoKeys => "no_keys",
            Self::NoPodUid => "no_pod_uid",
            Self::NotStored => "not_stored",
            Self::PushedSince => "pushed_since",
            Self::Replayed => "replayed",
            Self::Stale => "stale",
            Self::Unsigned => "unsigned",
        }
    }
}

// === impl Metrics ===

impl Metrics {
    /// Those of the whole process.
    pub(crate) fn of_process(storage: Arc<persist::Counts>) -> Self {
        Self { is_of_process: true, storage, ..Self::default() }
    }

    /// What the listeners count.
    pub(crate) fn connections(&self) -> Connections {
        self.connections.clone()
    }

    /// The method is one of the few that some handler serves.
    pub(crate) fn request(&self, code: u16, handler: Handler, method: &'static str) {
        self.count(|counts| *counts.requests.entry((code, handler, method)).or_default() += 1);
    }

    /// A push that was answered, well or not: how large its request was, about, and how long it took.
    pub(crate) fn push(&self, method: &'static str, bytes: u64, took: Duration) {
        let now = Instant::now();
        self.count(|counts| {
            let pushes = counts.pushes.entry(method).or_default();
            pushes.seconds.observe(took.as_secs_f64(), now);
            pushes.bytes.observe(bytes as f64, now);
        });
    }

    pub(crate) fn refused(&self, why: Refusal) {
        self.count(|counts| *counts.refused.entry(why).or_default() += 1);
    }

    pub(crate) fn signed_delete(&self, outcome: SignedDelete) {
        self.count(|counts| *counts.signed_deletes.entry(outcome).or_default() += 1);
    }

    /// Somebody was not let in.
    pub(crate) fn auth_refused(&self, why: AuthRefusal) {
        self.count(|counts| *counts.access.refused.entry(why).or_default() += 1);
    }

    /// A file that has changed was not taken.
    pub(crate) fn reload_failed(&self, file: ReloadedFile) {
        self.count(|counts| *counts.access.reload_failures.entry(file).or_default() += 1);
    }

    /// A page that was handed over in full to a scraper, so long after it was asked for.
    pub(crate) fn scrape(&self, took: Duration) {
        let now = Instant::now();
        self.lock().scrapes.observe(took.as_secs_f64(), now);
    }

    /// Raised by all that is counted here but scrapes, and by nothing else: what the storage counts and what the kernel
    /// knows of the process may have moved on.
    pub(crate) fn revision(&self) -> u64 {
        self.lock().revision.wrapping_add(self.connections.changes())
    }

    /// So many groups were removed since they were stale.
    pub(crate) fn expired(&self, groups: usize) {
        self.count(|counts| counts.expired = counts.expired.saturating_add(groups.try_into().unwrap_or(u64::MAX)));
    }

    /// Series that a page is handed out without.
    pub(crate) fn hidden(&self, series: usize) {
        if 0 < series {
            self.count(|counts| counts.hidden += u64::try_from(series).unwrap_or(u64::MAX));
        }
    }

    /// All families that have a series, sorted by name.
    pub(crate) fn gather(&self, stored: store::Counts) -> Vec<MetricFamily> {
        let now = Instant::now();
        let mut families = if self.is_of_process { process::gather() } else { Vec::new() };
        let counts = &mut *self.lock();
        let (mut durations, mut sizes) = (Vec::new(), Vec::new());
        for (method, pushes) in &mut counts.pushes {
            let of = |window: &mut Window| series(&[("method", method)], Value::Summary(window.summary(now)));
            durations.push(of(&mut pushes.seconds));
            sizes.push(of(&mut pushes.bytes));
        }
        let scrapes = counts.scrapes.summary(now);
        let scrape_count = scrapes.count;
        let scrapes = if scrape_count == 0 { Vec::new() } else { vec![series(&[], Value::Summary(scrapes))] };
        let size = |count: usize| vec![metric(&[], u64::try_from(count).unwrap_or(u64::MAX))];
        let requests = counts.requests.iter().map(|((code, handler, method), count)| {
            let code = code.to_string();
            metric(&[("code", &code), ("handler", handler.label()), ("method", method)], *count)
        });
        let refused = Refusal::ALL
            .iter()
            .map(|why| metric(&[("reason", why.label())], counts.refused.get(why).copied().unwrap_or_default()));
        let deletes = SignedDelete::ALL.iter().map(|outcome| {
            metric(&[("outcome", outcome.label())], counts.signed_deletes.get(outcome).copied().unwrap_or_default())
        });
        let not_let_in = counts.access.refused().map(|(why, count)| metric(&[("reason", why)], count));
        let not_read = counts.access.reload_failures().map(|(file, count)| metric(&[("file", file)], count));
        families.extend([
            family(
                BUILD_INFO,
                "A metric with a constant '1' value labeled by version, revision, branch, goversion from which \
                 pushgateway was built, and the goos and goarch for the build.",
                Kind::Gauge,
                vec![build_info()],
            ),
            family(
                HTTP_PUSH_DURATION,
                "HTTP request duration for pushes to the Pushgateway.",
                Kind::Summary,
                durations,
            ),
            family(HTTP_PUSH_SIZE, "HTTP request size for pushes to the Pushgateway.", Kind::Summary, sizes),
            family(
                HTTP_REQUESTS,
                "Total HTTP requests processed by the Pushgateway, excluding scrapes.",
                Kind::Counter,
                requests.collect(),
            ),
            family(
                AUTH_REFUSALS,
                "Requests that were not let in since nothing they showed was good for it, or too often.",
                Kind::Counter,
                not_let_in.collect(),
            ),
        ]);
        let [open, refused_connections, timed_out, large_heads] = self.connections.gather();
        families.extend([
            open,
            refused_connections,
            timed_out,
            family(
                ESCAPED_SERIES_HIDDEN,
                "Series left out, summed over all pages handed out: names in UTF-8, escaped as the reader asked, made \
                 them like others.",
                Kind::Counter,
                vec![metric(&[], counts.hidden)],
            ),
            family(
                GROUPS,
                "Groups that are stored, those without an accepted push too.",
                Kind::Gauge,
                size(stored.groups),
            ),
            family(
                GROUPS_EXPIRED,
                "Groups that were removed since their last push was too long ago.",
                Kind::Counter,
                vec![metric(&[], counts.expired)],
            ),
            large_heads,
            family(
                PUSHES_REFUSED,
                "Pushes that were refused, whatever they were answered.",
                Kind::Counter,
                refused.collect(),
            ),
            family(
                RELOAD_FAILURES,
                "Files that were read again and not taken, so that what was read before stays in force.",
                Kind::Counter,
                not_read.collect(),
            ),
            family(
                SCRAPE_DURATION,
                "How long scrapes took, from the request until the page was handed over in full.",
                Kind::Summary,
                scrapes,
            ),
            family(
                SCRAPES,
                "Pages that were handed over in full to a scraper.",
                Kind::Counter,
                vec![metric(&[], scrape_count)],
            ),
            family(
                SERIES,
                "Series that were pushed and are stored; a histogram or a summary is one.",
                Kind::Gauge,
                size(stored.series),
            ),
            family(
                SIGNED_DELETES,
                "Requests to delete a group at the scrape port, by what became of them.",
                Kind::Counter,
                deletes.collect(),
            ),
        ]);
        families.extend(storage::gather(&self.storage));
        families.retain(|family| !family.metrics.is_empty());
        families
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.lock();
        counts.revision = counts.revision.wrapping_add(1);
        change(&mut counts);
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn family(name: &str, help: &str, kind: Kind, metrics: Vec<Metric>) -> MetricFamily {
    MetricFamily { name: name.to_owned(), help: help.to_owned(), unit: String::new(), kind, metrics }
}

fn metric(labels: &[(&str, &str)], count: u64) -> Metric {
    series(labels, Value::Number(count as f64))
}

fn series(labels: &[(&str, &str)], value: Value) -> Metric {
    Metric { labels: labels.iter().copied().collect(), value, timestamp: None, extra: None }
}

/// The labels are upstream's; those that speak of Go are empty, except that the platform has Go's name.
fn build_info() -> Metric {
    let goarch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let labels: LabelSet = [
        ("branch", build_info::BRANCH),
        ("goarch", goarch),
        ("goos", std::env::consts::OS),
        ("goversion", ""),
        ("revision", build_info::REVISION),
        ("tags", ""),
        ("version", build_info::VERSION),
    ]
    .into_iter()
    .collect();
    Metric { labels, value: Value::Number(1.0), timestamp: None, extra: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_gathered_is_in_the_table_and_sorted() {
        let metrics = Metrics::of_process(Arc::default());
        metrics.request(200, Handler::Push, "put");
        metrics.push("put", 1, Duration::from_millis(1));
        metrics.scrape(Duration::from_millis(1));
        let gathered: Vec<_> =
            metrics.gather(store::Counts::default()).into_iter().map(|family| (family.name, family.kind)).collect();
        let table: Vec<_> = OWN_FAMILIES.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        assert_eq!(gathered, table);
        assert!(table.is_sorted());
    }

    #[test]
    fn families_of_upstream_appear_with_their_first_event() {
        let metrics = Metrics::default();
        let found =
            |name: &str| metrics.gather(store::Counts::default()).into_iter().find(|family| family.name == name);
        for name in [HTTP_REQUESTS, HTTP_PUSH_SIZE, HTTP_PUSH_DURATION] {
            assert_eq!(found(name), None);
        }
        metrics.request(200, Handler::Push, "put");
        metrics.push("put", 250, Duration::from_millis(1500));
        assert!(found(HTTP_REQUESTS).is_some());
        for (name, sum) in [(HTTP_PUSH_SIZE, 250.0), (HTTP_PUSH_DURATION, 1.5)] {
            let family = found(name).unwrap();
            let [Metric { labels, value: Value::Summary(summary), .. }] = family.metrics.as_slice() else {
                panic!("expected one summary, found {family:?}");
            };
            assert_eq!(labels.get("method"), Some("put"));
            assert_eq!((summary.sum, summary.count), (sum, 1));
        }
    }

    #[test]
    fn own_series_have_no_job_and_no_instance() {
        let metrics = Metrics::of_process(Arc::default());
        metrics.request(200, Handler::Push, "put");
        metrics.push("put", 1, Duration::from_millis(1));
        metrics.scrape(Duration::from_millis(1));
        let families = metrics.gather(store::Counts::default());
        assert_eq!(families.len(), OWN_FAMILIES.len());
        let mut metrics = families.iter().flat_map(|family| &family.metrics);
        assert!(metrics.all(|metric| !metric.labels.contains("job") && !metric.labels.contains("instance")));
    }
}
