//! Names and help of the series that tell when a group was pushed.
//!
//! The texts are the Pushgateway's own: dashboards and other collectors look for them.
//!
//! *Never:* how the times are stored or compared.

/// Gauge, Unix seconds: when a push to this group last succeeded; 0 when none ever did.
pub const PUSH_TIME_SECONDS: &str = "push_time_seconds";

/// Gauge, Unix seconds: when a push to this group was last refused; 0 when none ever was.
pub const PUSH_FAILURE_TIME_SECONDS: &str = "push_failure_time_seconds";

/// `HELP` of [`PUSH_TIME_SECONDS`].
pub const PUSH_TIME_HELP: &str = "Last Unix time when changing this group in the Pushgateway succeeded.";

/// `HELP` of [`PUSH_FAILURE_TIME_SECONDS`].
pub const PUSH_FAILURE_TIME_HELP: &str = "Last Unix time when changing this group in the Pushgateway failed.";

/// Whether a family of that name is one of the two that tell when a group was pushed.
#[must_use]
pub fn is_push_time(name: &str) -> bool {
    name == PUSH_TIME_SECONDS || name == PUSH_FAILURE_TIME_SECONDS
}

/// The label that every pushed series has: the group's own value, or empty where nothing gave one.
pub const INSTANCE_LABEL: &str = "instance";

/// The label that every grouping key has.
pub const JOB_LABEL: &str = "job";
