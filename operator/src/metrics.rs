//! The operator's own metrics, with the names dashboards for controllers look for where such names exist.
//!
//! `runtime` has those that controller-runtime and client-go have too; what is Sidegate's own stands here. A metric is a
//! field, a line in `Default` that names it, and a method that counts; the README has a table of all, which a test makes
//! from the served page.
//!
//! Label values are static strings, but for the name of the Lease, of which there is one, and namespaces of pods that no group
//! takes care of, or that have no sidecar: a counter never carries the name of an object.
//!
//! *Never:* when something is worth counting.

mod missing;
mod runtime;
mod silence;
mod ungrouped;

use std::fmt;

use jiff::Timestamp;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Metric, Registry},
};

use crate::{
    certs::issue::Which,
    gc::policy::{Since, Source},
};

pub use missing::MissingSidecars;
pub use runtime::{Running, Runtime};
pub use silence::Silence;
pub use ungrouped::UngroupedPods;

/// All counters, gauges and histograms.
pub struct Metrics {
    registry: Registry,
    /// Those of any controller.
    pub runtime: Runtime,
    injections: Family<InjectionResult, Counter>,
    refused_reviews: Family<Reason, Counter>,
    collected_groups: Family<Removal, Counter>,
    collection_failures: Family<Reason, Counter>,
    unreadable_samples: Counter,
    moved_on_groups: Counter,
    unseen_groups: Counter,
    certificate_expiry: Family<Certificate, Gauge>,
    /// Pods that no group takes care of.
    pub ungrouped: UngroupedPods,
    /// Pods without a sidecar.
    pub missing: MissingSidecars,
    /// How long nothing was heard of groups.
    pub silence: Silence,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct InjectionResult {
    result: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Removal {
    limit: &'static str,
    since: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Certificate {
    certificate: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

// === impl Metrics ===

impl Metrics {
    /// What [`Self::page`] is written in.
    pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// A pod was looked at.
    pub fn injection(&self, result: &'static str, reason: &'static str) {
        self.injections.get_or_create(&InjectionResult { result, reason }).inc();
    }

    /// What came to the webhook was no review that could be answered.
    pub fn review_refused(&self, reason: &'static str) {
        self.refused_reviews.get_or_create(&Reason { reason }).inc();
    }

    /// A group was removed.
    pub fn collected(&self, source: Source, since: Since) {
        let limit = match source {
            Source::StaleAfter => "stale_after",
            Source::Rule => "rule",
        };
        let since = match since {
            Since::Push => "push",
            Since::Failure => "failure",
        };
        self.collected_groups.get_or_create(&Removal { limit, since }).inc();
    }

    /// A group that was too old was pushed again before it could be removed.
    pub fn moved_on(&self) {
        self.moved_on_groups.inc();
    }

    /// A pod ended with groups that no scrape had seen.
    pub fn unseen(&self, groups: u32) {
        self.unseen_groups.inc_by(u64::from(groups));
    }

    /// A certificate of the webhook is used, and ends then.
    pub fn certificate_expires(&self, which: Which, at: Timestamp) {
        let certificate = match which {
            Which::Serving => "serving",
            Which::Authority => "ca",
        };
        self.certificate_expiry.get_or_create(&Certificate { certificate }).set(at.as_second());
    }

    /// A sidecar could not be read, or did not delete.
    pub fn collection_failed(&self, reason: &'static str) {
        self.collection_failures.get_or_create(&Reason { reason }).inc();
    }

    /// Samples that did not read back exactly and were skipped.
    pub fn unreadable(&self, samples: u64) {
        self.unreadable_samples.inc_by(samples);
    }

    /// All metrics as text.
    ///
    /// # Errors
    /// Those of the encoder.
    pub fn page(&self) -> Result<String, fmt::Error> {
        self.ungrouped.refresh();
        self.missing.refresh();
        self.silence.refresh();
        let mut page = String::new();
        encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

impl Default for Metrics {
    /// The encoder adds `_total` to the names of counters.
    fn default() -> Self {
        let mut registry = Registry::default();
        let all = &mut registry;
        Self {
            runtime: Runtime::new(all),
            injections: add(all, "sidegate_operator_injections", "Pods seen at admission", Family::default()),
            refused_reviews: add(
                all,
                "sidegate_operator_refused_reviews",
                "Requests and connections to the webhook that could not be answered",
                Family::default(),
            ),
            collected_groups: add(all, "sidegate_operator_collected_groups", "Stale groups removed", Family::default()),
            collection_failures: add(
                all,
                "sidegate_operator_collection_failures",
                "Sidecars and gateways that could not be read, or did not delete",
                Family::default(),
            ),
            unreadable_samples: add(
                all,
                "sidegate_operator_unreadable_samples",
                "Push times that did not read back exactly and were skipped",
                Counter::default(),
            ),
            moved_on_groups: add(
                all,
                "sidegate_operator_moved_on_groups",
                "Stale groups that were pushed again before they could be removed",
                Counter::default(),
            ),
            unseen_groups: add(
                all,
                "sidegate_operator_unseen_groups",
                "Groups that no scrape had seen when their pod ended",
                Counter::default(),
            ),
            certificate_expiry: add(
                all,
                "sidegate_webhook_certificate_expiry_timestamp_seconds",
                "When the webhook's certificate ends, and the CA that signed it",
                Family::default(),
            ),
            ungrouped: UngroupedPods::new(all),
            missing: MissingSidecars::new(all),
            silence: Silence::new(all),
            registry,
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Names a metric; the clone that is kept counts for the page.
fn add<M: Metric + Clone>(registry: &mut Registry, name: &'static str, help: &'static str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

#[cfg(test)]
mod tests;
