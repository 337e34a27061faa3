//! The command line of a group's sidecar: each field of `spec.sidecar` as a flag of the sidecar. Pure.
//!
//! What the schema lets pass never makes a command line that the sidecar refuses: a test gives both to the sidecar's own
//! parser.
//!
//! *Never:* the container around it, what a flag does.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use crds::{
    scrape::Scrape,
    sidecar::{Limits, Measurement, Sidecar},
};
use protocol::{
    endpoints::{PUSH_PORT, SCRAPE_PORT},
    flags,
};

use super::{
    container::{Circumstances, TERMINATION_MESSAGE_PATH},
    volumes::{STORAGE_DIR, TOKEN_FILE, TRUST_DIR, storage_medium},
};

/// What a scrape may need beyond its interval: discovery backs off up to 7.5 s, a reload comes up to 5 s later.
const BEYOND_THE_INTERVAL: u64 = 15;

/// Seconds to spare before the end of the grace period.
const MARGIN: u64 = 5;

/// The longest that a pod is held open, in seconds: a year. An interval may be longer than any kubelet counts.
const LONGEST: u64 = 365 * 24 * 3600;

/// The addresses a group wants besides the usual ones, those that make sense apart from those that do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenAddresses<'a> {
    /// Addresses, with their ports.
    pub good: Vec<(&'a str, u16)>,
    /// What is no address, or is not free.
    pub bad: Vec<&'a str>,
}

/// Flags so far.
struct Arguments(Vec<String>);

/// Reads the addresses of a group; the schema lets pass what only looks like one.
#[must_use]
pub fn listen_addresses(sidecar: &Sidecar) -> ListenAddresses<'_> {
    let mut addresses = ListenAddresses::default();
    for address in &sidecar.listen_addresses {
        match socket(address).filter(|socket| socket.port() != SCRAPE_PORT) {
            Some(socket) => addresses.good.push((address, socket.port())),
            None => addresses.bad.push(address),
        }
    }
    addresses
}

/// How many seconds the sidecar may hold a pod open; 0 is not at all. A deadline of the pod counts from its start and not
/// from its end, so it is for the sidecar to observe.
#[must_use]
pub fn hold_open_seconds(sidecar: &Sidecar, scrape: &Scrape) -> u64 {
    let whole = |length: Duration| length.as_secs() + u64::from(0 < length.subsec_nanos());
    let seconds = match &sidecar.hold_open {
        Some(hold_open) => whole(hold_open.length()),
        None => whole(scrape.interval.length()).saturating_add(BEYOND_THE_INTERVAL),
    };
    seconds.min(LONGEST)
}

/// The grace period in seconds that lets the sidecar hold a pod open for so long.
#[must_use]
pub fn grace_period_for(hold_open_seconds: u64) -> i64 {
    i64::try_from(hold_open_seconds.saturating_add(MARGIN)).unwrap_or(i64::MAX)
}

/// The whole command line, the sub-command first.
#[must_use]
pub fn arguments(sidecar: &Sidecar, hold_open_seconds: u64, pod: Circumstances) -> Vec<String> {
    let mut arguments = Arguments(vec![flags::SIDECAR_COMMAND.to_owned()]);
    arguments.set(flags::HOLD_OPEN_DEADLINE, &format!("{hold_open_seconds}s"));
    if let Some(deadline) = pod.active_deadline_seconds {
        arguments.set(flags::POD_DEADLINE, &format!("{deadline}s"));
    }
    arguments.set(flags::TERMINATION_MESSAGE_FILE, TERMINATION_MESSAGE_PATH);
    arguments.set(flags::TRUST_DIR, TRUST_DIR);
    if storage_medium(sidecar).is_some() {
        arguments.set(flags::STORAGE_DIR, STORAGE_DIR);
    }
    arguments.addresses(sidecar, pod.push_port);
    arguments.given(flags::ROUTE_PREFIX, sidecar.route_prefix.as_ref());
    if let Some(auth) = &sidecar.auth {
        arguments.set(flags::TOKEN_FILE, TOKEN_FILE);
        if auth.reads {
            arguments.set(flags::AUTH_READS, "true");
        }
    }
    arguments.given(flags::TIMESTAMPS, sidecar.timestamps.map(crds::sidecar::Timestamps::as_str));
    arguments.given(flags::IDENTITY_LABELS, sidecar.identity_labels.map(crds::sidecar::IdentityLabels::as_str));
    if let Some(measurement) = &sidecar.measurement {
        arguments.measurement(measurement);
    }
    if let Some(limits) = &sidecar.limits {
        arguments.limits(limits);
    }
    if let Some(log) = &sidecar.log {
        arguments.given(flags::LOG_LEVEL, log.level.map(crds::sidecar::LogLevel::as_str));
        arguments.given(flags::LOG_FORMAT, log.format.map(crds::sidecar::LogFormat::as_str));
    }
    arguments.0
}

/// The ports of a command line as above at which pushes are taken.
#[must_use]
pub fn push_ports<'a>(arguments: impl Iterator<Item = &'a str>) -> Vec<u16> {
    let given = arguments.filter_map(|argument| argument.split_once('='));
    let addresses = given.filter(|(flag, _)| *flag == flags::PUSH_LISTEN_ADDRESS);
    let ports: Vec<_> = addresses.filter_map(|(_, address)| Some(socket(address)?.port())).collect();
    if ports.is_empty() { vec![PUSH_PORT] } else { ports }
}

/// An address as the sidecar reads it; `:9091` is all addresses.
fn socket(address: &str) -> Option<SocketAddr> {
    match address.strip_prefix(':') {
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port.parse().ok()?))
        }
        Some(_) => None,
        None => address.parse().ok(),
    }
}

// === impl Arguments ===

impl Arguments {
    /// The kubelet expands `$(NAME)` in arguments; a dollar that is doubled stays one.
    fn set(&mut self, flag: &str, value: &str) {
        self.0.push(format!("{flag}={}", value.replace('$', "$$")));
    }

    fn given(&mut self, flag: &str, value: Option<impl AsRef<str>>) {
        if let Some(value) = value {
            self.set(flag, value.as_ref());
        }
    }

    /// Giving any address replaces the defaults, so they are given too, but where one of the group's stands for them. Both
    /// families: a client may try either for `localhost`.
    fn addresses(&mut self, sidecar: &Sidecar, push_port: u16) {
        let more = listen_addresses(sidecar).good;
        if more.is_empty() && push_port == PUSH_PORT {
            return;
        }
        let sockets: Vec<_> = more.iter().filter_map(|(address, _)| socket(address)).collect();
        for usual in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
            let stands_for = |ip: IpAddr| {
                ip == usual || ip == Ipv6Addr::UNSPECIFIED || (usual.is_ipv4() && ip == Ipv4Addr::UNSPECIFIED)
            };
            if !sockets.iter().any(|socket| socket.port() == push_port && stands_for(socket.ip())) {
                self.set(flags::PUSH_LISTEN_ADDRESS, &SocketAddr::new(usual, push_port).to_string());
            }
        }
        for (address, _) in more {
            self.set(flags::PUSH_LISTEN_ADDRESS, address);
        }
    }

    fn measurement(&mut self, measurement: &Measurement) {
        let Measurement { name, job_as_measurement, keep_metric_name } = measurement;
        let mut switch = |flag, is_on: Option<bool>| self.given(flag, is_on.map(|is_on| is_on.to_string()));
        switch(flags::MEASUREMENT_ENABLED, Some(true));
        switch(flags::JOB_AS_MEASUREMENT, *job_as_measurement);
        switch(flags::KEEP_METRIC_NAME, *keep_metric_name);
        self.given(flags::MEASUREMENT_NAME, name.as_ref());
    }

    fn limits(&mut self, limits: &Limits) {
        // Taken apart by name, so that a limit without a flag does not compile unnoticed.
        let Limits {
            body_bytes,
            decompressed_bytes,
            compression_ratio,
            body_time,
            push_series,
            push_page_bytes,
            groups,
            group_series,
            series,
            labels,
            label_name_bytes,
            label_value_bytes,
            metric_name_bytes,
            help_bytes,
            buckets,
            concurrent_pushes,
            concurrent_bytes,
            connections,
            header_bytes,
            header_time,
            idle_time,
        } = limits;
        for (flag, limit) in [
            (flags::MAX_BODY_BYTES, body_bytes),
            (flags::MAX_DECOMPRESSED_BYTES, decompressed_bytes),
            (flags::MAX_COMPRESSION_RATIO, compression_ratio),
            (flags::MAX_PUSH_SERIES, push_series),
            (flags::MAX_PUSH_PAGE_BYTES, push_page_bytes),
            (flags::MAX_GROUPS, groups),
            (flags::MAX_GROUP_SERIES, group_series),
            (flags::MAX_SERIES, series),
            (flags::MAX_LABELS, labels),
            (flags::MAX_LABEL_NAME_BYTES, label_name_bytes),
            (flags::MAX_LABEL_VALUE_BYTES, label_value_bytes),
            (flags::MAX_METRIC_NAME_BYTES, metric_name_bytes),
            (flags::MAX_HELP_BYTES, help_bytes),
            (flags::MAX_BUCKETS, buckets),
            (flags::MAX_CONCURRENT, concurrent_pushes),
            (flags::MAX_BYTES_AT_ONCE, concurrent_bytes),
            (flags::MAX_CONNECTIONS, connections),
            (flags::MAX_HEADER_BYTES, header_bytes),
        ] {
            self.given(flag, limit.map(|limit| limit.to_string()));
        }
        for (flag, time) in
            [(flags::BODY_TIMEOUT, body_time), (flags::HEADER_TIMEOUT, header_time), (flags::IDLE_TIMEOUT, idle_time)]
        {
            self.given(flag, time.as_ref().map(|time| format!("{}ms", time.length().as_millis())));
        }
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "cases of a test read better by value")]
mod tests {
    use serde_json::json;

    use super::*;

    fn sidecar(fields: serde_json::Value) -> Sidecar {
        serde_json::from_value(fields).unwrap()
    }

    /// The flags that some fields add to those that are always there.
    #[track_caller]
    fn check(fields: serde_json::Value, expected: &[&str]) {
        let pod = Circumstances::default();
        let usual = arguments(&Sidecar::default(), 30, pod);
        let found = arguments(&sidecar(fields.clone()), 30, pod);
        let added: Vec<_> = found.iter().filter(|argument| !usual.contains(argument)).collect();
        assert_eq!(added, expected, "{fields}");
        for flag in found.iter().skip(1) {
            let name = flag.split('=').next().unwrap();
            assert!(flags::ALL.contains(&name), "{name}");
        }
    }

    #[test]
    fn the_pod_is_held_open_for_an_interval_and_the_slowness_of_discovery() {
        let check = |fields: serde_json::Value, expected: u64| {
            assert_eq!(hold_open_seconds(&sidecar(fields.clone()), &Scrape::default()), expected, "{fields}");
        };
        check(json!({}), 30);
        check(json!({"holdOpen": "90s"}), 90);
        check(json!({"holdOpen": "1s500ms"}), 2);
        check(json!({"holdOpen": "0s"}), 0);
        let scrape: Scrape = serde_json::from_value(json!({"interval": "999999y"})).unwrap();
        assert_eq!(hold_open_seconds(&sidecar(json!({})), &scrape), LONGEST);
    }

    #[test]
    fn what_is_no_address_or_is_taken_is_not_passed_on() {
        let fields = json!({"listenAddresses": [
            ":4318", "127.0.0.1:99999", "999.0.0.1:80", ":65536", ":", "[::1]:80", ":19091", "127.0.0.1:19091",
        ]});
        let sidecar = sidecar(fields);
        let expected = ListenAddresses {
            good: vec![(":4318", 4318), ("[::1]:80", 80)],
            bad: vec!["127.0.0.1:99999", "999.0.0.1:80", ":65536", ":", ":19091", "127.0.0.1:19091"],
        };
        assert_eq!(listen_addresses(&sidecar), expected);
    }

    #[test]
    fn additional_addresses_stand_beside_the_usual_ones_unless_they_stand_for_them() {
        let flag = |address: &str| format!("--push.listen-address={address}");
        let (v4, v6) = (flag("127.0.0.1:9091"), flag("[::1]:9091"));
        for (address, usual) in [
            ("127.0.0.1:4318", vec![v4.clone(), v6.clone()]),
            (":4318", vec![v4.clone(), v6.clone()]),
            (":9091", vec![]),
            ("[::]:9091", vec![]),
            ("0.0.0.0:9091", vec![v6.clone()]),
            ("127.0.0.1:9091", vec![v6]),
            ("[::1]:9091", vec![v4]),
        ] {
            let expected: Vec<_> = usual.into_iter().chain([flag(address)]).collect();
            let expected: Vec<_> = expected.iter().map(String::as_str).collect();
            check(json!({"listenAddresses": [address]}), &expected);
        }
    }

    #[test]
    fn another_port_is_listened_at_in_both_families() {
        let pod = Circumstances { push_port: 19092, ..Circumstances::default() };
        let addresses = |fields: serde_json::Value| -> Vec<String> {
            let all = arguments(&sidecar(fields), 30, pod).into_iter();
            all.filter_map(|flag| flag.strip_prefix("--push.listen-address=").map(str::to_owned)).collect()
        };
        assert_eq!(addresses(json!({})), ["127.0.0.1:19092", "[::1]:19092"]);
        assert_eq!(addresses(json!({"listenAddresses": [":19092"]})), [":19092"]);
        assert_eq!(
            addresses(json!({"listenAddresses": ["127.0.0.1:4318"]})),
            ["127.0.0.1:19092", "[::1]:19092", "127.0.0.1:4318"]
        );
    }

    #[test]
    fn without_any_field_there_is_what_the_pod_needs() {
        let pod = Circumstances { active_deadline_seconds: Some(600), ..Circumstances::default() };
        assert_eq!(
            arguments(&Sidecar::default(), 30, pod),
            [
                "sidecar",
                "--hold-open.deadline=30s",
                "--hold-open.pod-deadline=600s",
                "--hold-open.termination-message-file=/dev/termination-log",
                "--trust.dir=/etc/sidegate/trust",
                "--storage.dir=/var/lib/sidegate/groups",
            ]
        );
        let none = arguments(&sidecar(json!({"storage": "None"})), 30, pod);
        assert!(!none.iter().any(|argument| argument.starts_with(flags::STORAGE_DIR)), "{none:?}");
        check(json!({"storage": "Memory"}), &[]);
    }

    #[test]
    fn each_field_is_its_flag() {
        check(json!({"routePrefix": "/v1/pushgateway"}), &["--web.route-prefix=/v1/pushgateway"]);
        check(json!({"auth": {"secretName": "a"}}), &["--auth.token-file=/etc/sidegate/tokens/tokens"]);
        check(
            json!({"auth": {"secretName": "a", "reads": true}}),
            &["--auth.token-file=/etc/sidegate/tokens/tokens", "--auth.reads=true"],
        );
        check(json!({"timestamps": "Honor"}), &["--push.timestamps=honor"]);
        check(json!({"identityLabels": "Refuse"}), &["--push.identity-labels=refuse"]);
        check(json!({"measurement": {}}), &["--measurement.enabled=true"]);
        check(
            json!({"measurement": {"name": "$(HOME)", "jobAsMeasurement": true, "keepMetricName": false}}),
            &[
                "--measurement.enabled=true",
                "--measurement.job-as-measurement=true",
                "--measurement.keep-metric-name=false",
                "--measurement.name=$$(HOME)",
            ],
        );
        check(json!({"log": {"level": "debug", "format": "json"}}), &["--log.level=debug", "--log.format=json"]);
        check(
            json!({"limits": {"bodyBytes": 1, "series": 0, "concurrentPushes": 3, "bodyTime": "1m30s"}}),
            &[
                "--push.max-body-bytes=1",
                "--storage.max-series=0",
                "--push.max-concurrent=3",
                "--push.body-timeout=90000ms",
            ],
        );
    }
}
