//! Upstream's flags and their effective values, as the status API and the status page show them.
//!
//! *Never:* our own flags, how a value is checked.

use protocol::endpoints::METRICS_PATH;

/// Name and value of flags, gathered while they are read.
#[derive(Debug, Default)]
pub(super) struct Shown(Vec<(String, String)>);

// === impl Shown ===

impl Shown {
    pub(super) fn text(&mut self, flag: &str, value: &str) {
        self.0.push((flag.to_owned(), value.to_owned()));
    }

    pub(super) fn switch(&mut self, flag: &str, value: Option<bool>) {
        self.text(flag, if value == Some(true) { "true" } else { "false" });
    }

    /// What stands in a sidecar for the flags that it does not have.
    pub(super) fn sidecar(&mut self, push_addresses: &[String]) {
        self.text("web.listen-address", &push_addresses.join(","));
        self.text("web.telemetry-path", METRICS_PATH);
        for flag in ["web.config.file", "persistence.file"] {
            self.text(flag, "");
        }
        self.switch("web.systemd-socket", None);
        self.text("persistence.interval", "5m0s");
    }

    /// By name, as upstream has them.
    pub(super) fn sorted(mut self) -> Vec<(String, String)> {
        self.0.sort();
        self.0
    }
}
