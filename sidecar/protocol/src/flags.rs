//! Names of the flags and of the sub-command that the injector writes into a sidecar container.
//!
//! The sidecar has a test that its command line knows every one of them.
//!
//! *Never:* the command-line parser, defaults, how a value is checked.

/// The sub-command of the injected process.
pub const SIDECAR_COMMAND: &str = "sidecar";

/// `IP:port` of the push listener; may be repeated.
pub const PUSH_LISTEN_ADDRESS: &str = "--push.listen-address";

/// `IP:port` of the read-only scrape listener.
pub const SCRAPE_LISTEN_ADDRESS: &str = "--scrape.listen-address";

/// Prefix of all paths of the push listener.
pub const ROUTE_PREFIX: &str = "--web.route-prefix";

/// How long to stay after SIGTERM for a scrape that has seen the last push; a duration such as `30s`, `0s` for never.
pub const HOLD_OPEN_DEADLINE: &str = "--hold-open.deadline";

/// How long the pod may live in all, counted from the start of the process; a duration. Holding open ends before it.
pub const POD_DEADLINE: &str = "--hold-open.pod-deadline";

/// The file that tells how many groups nobody has seen when the process ends.
pub const TERMINATION_MESSAGE_FILE: &str = "--hold-open.termination-message-file";

/// The folder that `sidegate-trust` is mounted at.
pub const TRUST_DIR: &str = "--trust.dir";

/// Name of the pod, from the downward API.
pub const POD_NAME: &str = "--pod.name";

/// Namespace of the pod, from the downward API.
pub const POD_NAMESPACE: &str = "--pod.namespace";

/// UID of the pod, from the downward API: what signed requests are bound to.
pub const POD_UID: &str = "--pod.uid";

/// The file with the tokens that pushes and administration need.
pub const TOKEN_FILE: &str = "--auth.token-file";

/// Whether reading needs a token too.
pub const AUTH_READS: &str = "--auth.reads";

/// `debug`, `info`, `warn` or `error`.
pub const LOG_LEVEL: &str = "--log.level";

/// `logfmt` or `json`.
pub const LOG_FORMAT: &str = "--log.format";

/// Largest body of a push as it is sent, in bytes; 0 for no limit, as in all limits.
pub const MAX_BODY_BYTES: &str = "--push.max-body-bytes";

/// Largest body of a push once it is decompressed, in bytes.
pub const MAX_DECOMPRESSED_BYTES: &str = "--push.max-decompressed-bytes";

/// Most series in all groups together.
pub const MAX_SERIES: &str = "--storage.max-series";

/// Most groups.
pub const MAX_GROUPS: &str = "--storage.max-groups";

/// Every flag the injector may write.
pub const ALL: [&str; 18] = [
    PUSH_LISTEN_ADDRESS,
    SCRAPE_LISTEN_ADDRESS,
    ROUTE_PREFIX,
    HOLD_OPEN_DEADLINE,
    POD_DEADLINE,
    TERMINATION_MESSAGE_FILE,
    TRUST_DIR,
    POD_NAME,
    POD_NAMESPACE,
    POD_UID,
    TOKEN_FILE,
    AUTH_READS,
    LOG_LEVEL,
    LOG_FORMAT,
    MAX_BODY_BYTES,
    MAX_DECOMPRESSED_BYTES,
    MAX_SERIES,
    MAX_GROUPS,
];

/// The environment variable that sets a flag: `--pod.uid` is `SIDEGATE_POD_UID`.
#[must_use]
pub fn environment_variable(flag: &str) -> String {
    let name = flag.trim_start_matches('-').replace(['.', '-'], "_");
    format!("SIDEGATE_{}", name.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_names_its_environment_variable() {
        assert_eq!(environment_variable(PUSH_LISTEN_ADDRESS), "SIDEGATE_PUSH_LISTEN_ADDRESS");
        assert_eq!(environment_variable(POD_UID), "SIDEGATE_POD_UID");
    }
}
