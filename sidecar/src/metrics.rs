//! What the process counts about itself, as the same families that the store holds.
//!
//! The table of names is static, so that the consistency check knows them. Series of `pushgateway_` have upstream's
//! names and appear with their first event, as upstream's do; those of `sidegate_` are there from the start.
//!
//! *Never:* HTTP paths, labels that a client chooses.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use protocol::LabelSet;

use crate::exposition::{Kind, Metric, MetricFamily, Value};

const BUILD_INFO: &str = "pushgateway_build_info";
const HTTP_REQUESTS: &str = "pushgateway_http_requests_total";
const ESCAPED_SERIES_HIDDEN: &str = "sidegate_escaped_series_hidden_total";
const PUSHES_REFUSED: &str = "sidegate_pushes_refused_total";
const SCRAPES: &str = "sidegate_scrapes_total";
const SIGNED_DELETES: &str = "sidegate_signed_deletes_total";

/// The families of this process, by name.
pub(crate) const OWN_FAMILIES: &[(&str, Kind)] = &[
    (BUILD_INFO, Kind::Gauge),
    (HTTP_REQUESTS, Kind::Counter),
    (ESCAPED_SERIES_HIDDEN, Kind::Counter),
    (PUSHES_REFUSED, Kind::Counter),
    (SCRAPES, Kind::Counter),
    (SIGNED_DELETES, Kind::Counter),
];

/// Which handler answered, in upstream's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Handler {
    Delete,
    Healthy,
    Push,
    Ready,
}

/// Why a push was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refusal {
    Body,
    Encoding,
    Inconsistent,
    Path,
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
    PushedSince,
    Replayed,
    Stale,
    Unsigned,
}

/// All counters.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    requests: BTreeMap<(u16, Handler, &'static str), u64>,
    refused: BTreeMap<Refusal, u64>,
    signed_deletes: BTreeMap<SignedDelete, u64>,
    scrapes: u64,
    hidden: u64,
}

// === impl Handler ===

impl Handler {
    fn label(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Healthy => "healthy",
            Self::Push => "push",
            Self::Ready => "ready",
        }
    }
}

// === impl Refusal ===

impl Refusal {
    const ALL: [Self; 7] =
        [Self::Body, Self::Encoding, Self::Inconsistent, Self::Path, Self::Syntax, Self::Timestamp, Self::TooLarge];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Encoding => "encoding",
            Self::Inconsistent => "inconsistent",
            Self::Path => "path",
            Self::Syntax => "syntax",
            Self::Timestamp => "timestamp",
            Self::TooLarge => "too_large",
        }
    }
}

// === impl SignedDelete ===

impl SignedDelete {
    const ALL: [Self; 10] = [
        Self::Accepted,
        Self::BadSignature,
        Self::Busy,
        Self::Malformed,
        Self::NoKeys,
        Self::NoPodUid,
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
            Self::PushedSince => "pushed_since",
            Self::Replayed => "replayed",
            Self::Stale => "stale",
            Self::Unsigned => "unsigned",
        }
    }
}

// === impl Metrics ===

impl Metrics {
    /// The method is one of the few that some handler serves.
    pub(crate) fn request(&self, code: u16, handler: Handler, method: &'static str) {
        self.count(|counts| *counts.requests.entry((code, handler, method)).or_default() += 1);
    }

    pub(crate) fn refused(&self, why: Refusal) {
        self.count(|counts| *counts.refused.entry(why).or_default() += 1);
    }

    pub(crate) fn signed_delete(&self, outcome: SignedDelete) {
        self.count(|counts| *counts.signed_deletes.entry(outcome).or_default() += 1);
    }

    pub(crate) fn scrape(&self) {
        self.count(|counts| counts.scrapes += 1);
    }

    /// Series that a page is handed out without.
    pub(crate) fn hidden(&self, series: usize) {
        self.count(|counts| counts.hidden += u64::try_from(series).unwrap_or(u64::MAX));
    }

    /// All families, sorted by name.
    pub(crate) fn gather(&self) -> Vec<MetricFamily> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
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
        vec![
            family(
                BUILD_INFO,
                "A metric with a constant '1' value labeled by version, revision, branch, goversion from which \
                 pushgateway was built, and the goos and goarch for the build.",
                Kind::Gauge,
                vec![build_info()],
            ),
            family(
                HTTP_REQUESTS,
                "Total HTTP requests processed by the Pushgateway, excluding scrapes.",
                Kind::Counter,
                requests.collect(),
            ),
            family(
                ESCAPED_SERIES_HIDDEN,
                "Series left out, summed over all pages handed out: names in UTF-8, escaped as the reader asked, made \
                 them like others.",
                Kind::Counter,
                vec![metric(&[], counts.hidden)],
            ),
            family(PUSHES_REFUSED, "Pushes that were answered with an error.", Kind::Counter, refused.collect()),
            family(
                SCRAPES,
                "Pages that were handed over in full to a scraper.",
                Kind::Counter,
                vec![metric(&[], counts.scrapes)],
            ),
            family(
                SIGNED_DELETES,
                "Requests to delete a group at the scrape port, by what became of them.",
                Kind::Counter,
                deletes.collect(),
            ),
        ]
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn family(name: &str, help: &str, kind: Kind, metrics: Vec<Metric>) -> MetricFamily {
    MetricFamily { name: name.to_owned(), help: help.to_owned(), unit: String::new(), kind, metrics }
}

fn metric(labels: &[(&str, &str)], count: u64) -> Metric {
    Metric {
        labels: labels.iter().copied().collect(),
        value: Value::Number(count as f64),
        timestamp: None,
        extra: None,
    }
}

/// The labels are upstream's; those that speak of Go are empty, except that the platform has Go's name.
fn build_info() -> Metric {
    let goarch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let labels: LabelSet = [
        ("branch", ""),
        ("goarch", goarch),
        ("goos", std::env::consts::OS),
        ("goversion", ""),
        ("revision", ""),
        ("tags", ""),
        ("version", env!("CARGO_PKG_VERSION")),
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
        let metrics = Metrics::default();
        metrics.request(200, Handler::Push, "put");
        let gathered: Vec<_> = metrics.gather().into_iter().map(|family| (family.name, family.kind)).collect();
        let table: Vec<_> = OWN_FAMILIES.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        assert_eq!(gathered, table);
        assert!(table.is_sorted());
    }

    #[test]
    fn own_series_have_no_job_and_no_instance() {
        let families = Metrics::default().gather();
        let mut metrics = families.iter().flat_map(|family| &family.metrics);
        assert!(metrics.all(|metric| !metric.labels.contains("job") && !metric.labels.contains("instance")));
    }
}
