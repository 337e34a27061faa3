//! Paths, ports and headers that both sides spell the same way.
//!
//! *Never:* handlers, routers, what an answer means.

/// Port of the Pushgateway protocol, where clients push.
pub const PUSH_PORT: u16 = 9091;

/// Port of the sidecar's read-only page, where Prometheus scrapes and the operator collects.
pub const SCRAPE_PORT: u16 = 19091;

/// Name of the scrape port in pods, Services and monitors.
pub const SCRAPE_PORT_NAME: &str = "sidegate";

/// Path of the page, and the first part of every group's path.
pub const METRICS_PATH: &str = "/metrics";

/// Answers 200 while the process works.
pub const HEALTHY_PATH: &str = "/-/healthy";

/// Answers 200 once the process serves what it holds.
pub const READY_PATH: &str = "/-/ready";

/// Ends the process, where that is enabled.
pub const QUIT_PATH: &str = "/-/quit";

/// What all paths of the JSON API start with.
pub const API_PATH: &str = "/api/v1";

/// Query parameter of the page that picks families by name; may be repeated.
pub const NAME_PARAMETER: &str = "name[]";

/// Prometheus sends this header with every scrape, and nobody else does: it is what tells a scrape from a look.
pub const SCRAPE_TIMEOUT_HEADER: &str = "x-prometheus-scrape-timeout-seconds";

/// Marks a read of the operator: it is not a scrape, and it sees grouping keys as they were pushed.
pub const OPERATOR_READ_HEADER: &str = "sidegate-operator-read";

/// On a `DELETE`: the push time the sender has seen, in Unix seconds as the page prints it. A group that was pushed
/// since answers 412 and stays.
pub const IF_PUSH_TIME_HEADER: &str = "sidegate-if-push-time";

/// Beside [`IF_PUSH_TIME_HEADER`] on a `DELETE`: the failure time the sender has seen. A group that was refused a push
/// since answers 412 and stays. With a push time of 0 it is what the age of a group counts from, and a signed request
/// has to say it.
pub const IF_PUSH_FAILURE_TIME_HEADER: &str = "sidegate-if-push-failure-time";

/// On a `PUT` or `POST`: how old the group may grow before it is removed, a duration above 0 such as `90s`, `1h30m` or
/// `7d`. It holds until the next accepted push, which says it again or leaves it to the gateway's own rule.
pub const STALE_AFTER_HEADER: &str = "sidegate-stale-after";

/// On a `PUT` or `POST`, where the admin API is on: when the push was accepted elsewhere, in Unix seconds as the page
/// prints them. A group with an accepted push as late as that answers 412 and stays. 0 says that no push was ever
/// accepted: the body is empty then, and [`PUSH_FAILURE_TIME_HEADER`] comes along.
pub const PUSH_TIME_HEADER: &str = "sidegate-push-time";

/// Beside [`PUSH_TIME_HEADER`]: when a push to the group was last refused elsewhere; the later of this and what the
/// group has counts. 0 or absent where none was.
pub const PUSH_FAILURE_TIME_HEADER: &str = "sidegate-push-failure-time";

/// On a `DELETE` at the scrape port: the operator's signature, see [`crate::signed_request`].
pub const SIGNATURE_HEADER: &str = "sidegate-signature";
