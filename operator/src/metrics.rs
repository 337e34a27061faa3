//! The operator's own metrics, with the names dashboards for controllers look for where such names exist.
//!
//! Label values are static strings: a counter never carries the name of an object. The pods that no group takes care of
//! are by namespace.
//!
//! *Never:* when something is worth counting.

mod ungrouped;

use std::{fmt, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

pub use ungrouped::UngroupedPods;

/// The one controller there is.
const CONTROLLER: &str = "pushgroup";

/// The one webhook there is.
const WEBHOOK: &str = "/mutate-pods";

/// All counters and histograms.
pub struct Metrics {
    registry: Registry,
    reconciles: Family<ReconcileResult, Counter>,
    reconcile_errors: Family<ControllerName, Counter>,
    reconcile_time: Family<ControllerName, Histogram>,
    webhook_requests: Family<WebhookCode, Counter>,
    webhook_latency: Family<WebhookName, Histogram>,
    injections: Family<InjectionResult, Counter>,
    collected_groups: Counter,
    collection_failures: Family<Reason, Counter>,
    unreadable_samples: Counter,
    /// Pods that no group takes care of.
    pub ungrouped: UngroupedPods,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ControllerName {
    controller: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReconcileResult {
    controller: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WebhookName {
    webhook: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WebhookCode {
    webhook: &'static str,
    code: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct InjectionResult {
    result: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

// === impl Metrics ===

impl Metrics {
    /// What [`Self::page`] is written in.
    pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// A reconcile ended well; it runs again at a set time, or when something changes.
    pub fn reconciled(&self, took: Duration) {
        self.reconcile("success", took);
    }

    /// A reconcile failed and is tried again.
    pub fn reconcile_failed(&self, took: Duration) {
        self.reconcile_errors.get_or_create(&ControllerName { controller: CONTROLLER }).inc();
        self.reconcile("error", took);
    }

    fn reconcile(&self, result: &'static str, took: Duration) {
        self.reconciles.get_or_create(&ReconcileResult { controller: CONTROLLER, result }).inc();
        let times = self.reconcile_time.get_or_create(&ControllerName { controller: CONTROLLER });
        times.observe(took.as_secs_f64());
    }

    /// The webhook answered.
    pub fn webhook_answered(&self, code: u16, took: Duration) {
        self.webhook_requests.get_or_create(&WebhookCode { webhook: WEBHOOK, code }).inc();
        self.webhook_latency.get_or_create(&WebhookName { webhook: WEBHOOK }).observe(took.as_secs_f64());
    }

    /// A pod was looked at.
    pub fn injection(&self, result: &'static str, reason: &'static str) {
        self.injections.get_or_create(&InjectionResult { result, reason }).inc();
    }

    /// Groups were removed.
    pub fn collected(&self, groups: u64) {
        self.collected_groups.inc_by(groups);
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
        let mut page = String::new();
        encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            reconciles: Family::default(),
            reconcile_errors: Family::default(),
            reconcile_time: Family::new_with_constructor(reconcile_buckets),
            webhook_requests: Family::default(),
            webhook_latency: Family::new_with_constructor(webhook_buckets),
            injections: Family::default(),
            collected_groups: Counter::default(),
            collection_failures: Family::default(),
            unreadable_samples: Counter::default(),
            ungrouped: UngroupedPods::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    /// The encoder adds `_total` to the names of counters.
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("controller_runtime_reconcile", "Reconciles by result", self.reconciles.clone());
        registry.register(
            "controller_runtime_reconcile_errors",
            "Reconciles that failed",
            self.reconcile_errors.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_time_seconds",
            "Time of a reconcile",
            self.reconcile_time.clone(),
        );
        registry.register(
            "controller_runtime_webhook_requests",
            "Admission requests by code",
            self.webhook_requests.clone(),
        );
        registry.register(
            "controller_runtime_webhook_latency_seconds",
            "Time of an admission",
            self.webhook_latency.clone(),
        );
        registry.register("sidegate_operator_injections", "Pods seen at admission", self.injections.clone());
        registry.register("sidegate_operator_collected_groups", "Stale groups removed", self.collected_groups.clone());
        registry.register(
            "sidegate_operator_collection_failures",
            "Sidecars that could not be read, or did not delete",
            self.collection_failures.clone(),
        );
        registry.register(
            "sidegate_operator_unreadable_samples",
            "Push times that did not read back exactly and were skipped",
            self.unreadable_samples.clone(),
        );
        self.ungrouped.register(registry);
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// From 5 ms to 40 s: a reconcile is a handful of API calls.
fn reconcile_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 2.0, 14))
}

/// From 0.25 ms to 2 s: the API server waits a few seconds at most.
fn webhook_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.000_25, 2.0, 14))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_controller_runtime() {
        let metrics = Metrics::default();
        metrics.reconciled(Duration::from_millis(3));
        metrics.reconcile_failed(Duration::from_secs(1));
        metrics.webhook_answered(200, Duration::from_millis(1));
        metrics.collected(2);
        metrics.collection_failed("timeout");
        metrics.unreadable(1);
        let page = metrics.page().unwrap();
        for line in [
            "controller_runtime_reconcile_total{controller=\"pushgroup\",result=\"success\"} 1",
            "controller_runtime_reconcile_total{controller=\"pushgroup\",result=\"error\"} 1",
            "controller_runtime_reconcile_errors_total{controller=\"pushgroup\"} 1",
            "controller_runtime_reconcile_time_seconds_count{controller=\"pushgroup\"} 2",
            "controller_runtime_webhook_requests_total{webhook=\"/mutate-pods\",code=\"200\"} 1",
            "controller_runtime_webhook_latency_seconds_count{webhook=\"/mutate-pods\"} 1",
            "sidegate_operator_collected_groups_total 2",
            "sidegate_operator_collection_failures_total{reason=\"timeout\"} 1",
            "sidegate_operator_unreadable_samples_total 1",
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
    }
}
