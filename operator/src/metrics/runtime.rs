//! Metrics by the names of controller-runtime and client-go, as far as they can be told truthfully.
//!
//! Not here are `workqueue_depth`, `workqueue_adds_total` and `workqueue_queue_duration_seconds`: the queue is the
//! library's, which tells none of it.
//!
//! *Never:* Sidegate's own matters.

use std::{fmt, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use super::add;

/// The one controller there is; its queue is called the same.
const CONTROLLER: &str = "pushgroup";

/// The one webhook there is.
const WEBHOOK: &str = "/mutate-pods";

/// The metrics of any controller.
pub struct Runtime {
    reconciles: Family<ReconcileResult, Counter>,
    reconcile_errors: Family<ControllerName, Counter>,
    reconcile_time: Family<ControllerName, Histogram>,
    active_workers: Family<ControllerName, Gauge>,
    most_workers: Family<ControllerName, Gauge>,
    work_time: Family<QueueName, Histogram>,
    retries: Family<QueueName, Counter>,
    webhook_requests: Family<WebhookCode, Counter>,
    webhook_latency: Family<WebhookName, Histogram>,
    webhook_in_flight: Family<WebhookName, Gauge>,
    leading: Family<LeaseName, Gauge>,
    api_requests: Family<ApiRequest, Counter>,
}

/// Something that is going on, for as long as the value lives.
#[derive(Debug)]
pub struct Running {
    gauge: Gauge,
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
struct QueueName {
    name: &'static str,
    controller: &'static str,
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
struct LeaseName {
    name: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ApiRequest {
    code: ApiCode,
    method: &'static str,
}

/// What the API server answered; `None` where there was no answer.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct ApiCode(Option<u16>);

// === impl Runtime ===

impl Runtime {
    /// All of them at zero.
    pub(super) fn new(all: &mut Registry) -> Self {
        Self {
            reconciles: add(all, "controller_runtime_reconcile", "Reconciles by result", Family::default()),
            reconcile_errors: add(
                all,
                "controller_runtime_reconcile_errors",
                "Reconciles that failed",
                Family::default(),
            ),
            reconcile_time: add(
                all,
                "controller_runtime_reconcile_time_seconds",
                "Time of a reconcile",
                Family::new_with_constructor(reconcile_buckets),
            ),
            active_workers: add(
                all,
                "controller_runtime_active_workers",
                "Reconciles that are going on",
                Family::default(),
            ),
            most_workers: add(
                all,
                "controller_runtime_max_concurrent_reconciles",
                "The most reconciles that go on at a time",
                Family::default(),
            ),
            work_time: add(
                all,
                "workqueue_work_duration_seconds",
                "Time of the work on a queued item",
                Family::new_with_constructor(reconcile_buckets),
            ),
            retries: add(all, "workqueue_retries", "Items queued once more after a failure", Family::default()),
            webhook_requests: add(
                all,
                "controller_runtime_webhook_requests",
                "Admission requests by code",
                Family::default(),
            ),
            webhook_latency: add(
                all,
                "controller_runtime_webhook_latency_seconds",
                "Time of an admission",
                Family::new_with_constructor(webhook_buckets),
            ),
            webhook_in_flight: add(
                all,
                "controller_runtime_webhook_requests_in_flight",
                "Admission requests that are being answered",
                Family::default(),
            ),
            leading: add(
                all,
                "leader_election_master_status",
                "Whether this replica leads: 1, or 0 where another may",
                Family::default(),
            ),
            api_requests: add(
                all,
                "rest_client_requests",
                "Requests to the API server by code and method",
                Family::default(),
            ),
        }
    }

    /// At most so many reconciles go on at a time from here on; 0 where this replica does not lead.
    pub fn may_reconcile(&self, at_a_time: u16) {
        self.most_workers.get_or_create(&CONTROLLER_NAME).set(at_a_time.into());
    }

    /// A reconcile begins; it is over when the value is dropped.
    #[must_use]
    pub fn reconciling(&self) -> Running {
        Running::begin(self.active_workers.get_or_create(&CONTROLLER_NAME).clone())
    }

    /// A reconcile ended well; it runs again at a set time, or when something changes.
    pub fn reconciled(&self, took: Duration) {
        self.reconcile("success", took);
    }

    /// A reconcile failed and is tried again.
    pub fn reconcile_failed(&self, took: Duration) {
        self.reconcile_errors.get_or_create(&CONTROLLER_NAME).inc();
        self.retries.get_or_create(&QUEUE_NAME).inc();
        self.reconcile("error", took);
    }

    fn reconcile(&self, result: &'static str, took: Duration) {
        self.reconciles.get_or_create(&ReconcileResult { controller: CONTROLLER, result }).inc();
        self.reconcile_time.get_or_create(&CONTROLLER_NAME).observe(took.as_secs_f64());
        self.work_time.get_or_create(&QUEUE_NAME).observe(took.as_secs_f64());
    }

    /// A request to the webhook begins; it is over when the value is dropped.
    #[must_use]
    pub fn admitting(&self) -> Running {
        Running::begin(self.webhook_in_flight.get_or_create(&WEBHOOK_NAME).clone())
    }

    /// The webhook answered.
    pub fn webhook_answered(&self, code: u16, took: Duration) {
        self.webhook_requests.get_or_create(&WebhookCode { webhook: WEBHOOK, code }).inc();
        self.webhook_latency.get_or_create(&WEBHOOK_NAME).observe(took.as_secs_f64());
    }

    /// Whether this replica leads by a Lease.
    pub fn leading(&self, lease: &str, leading: bool) {
        self.leading.get_or_create(&LeaseName { name: lease.to_owned() }).set(leading.into());
    }

    /// The API server answered, or did not.
    pub fn api_answered(&self, method: &'static str, code: Option<u16>) {
        self.api_requests.get_or_create(&ApiRequest { code: ApiCode(code), method }).inc();
    }
}

const CONTROLLER_NAME: ControllerName = ControllerName { controller: CONTROLLER };
const QUEUE_NAME: QueueName = QueueName { name: CONTROLLER, controller: CONTROLLER };
const WEBHOOK_NAME: WebhookName = WebhookName { webhook: WEBHOOK };

// === impl Running ===

impl Running {
    fn begin(gauge: Gauge) -> Self {
        gauge.inc();
        Self { gauge }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

// === impl ApiCode ===

impl EncodeLabelValue for ApiCode {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        match self.0 {
            Some(code) => code.encode(encoder),
            None => "<error>".encode(encoder),
        }
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
