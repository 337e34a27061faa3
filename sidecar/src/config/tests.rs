//! Flags in, settings or mistakes out.

use std::time::Duration;

use super::*;
use crate::{exposition, http::BodyLimits, store::Timestamps};

mod limits;

const STARTED: UnixSeconds = UnixSeconds(1.0);

fn config(args: &[&str]) -> Result<Config, String> {
    let args = Args::read([&["sidegate"], args].concat()).map_err(|error| error.to_string())?;
    match Plan::from_args(args, STARTED).map_err(|error| error.to_string())? {
        Plan::Serve(config) => Ok(*config),
        Plan::Import { .. } => panic!("expected a process that serves"),
    }
}

fn settings(args: &[&str]) -> Settings {
    config(args).unwrap().settings
}

fn sidecar(args: &[&str]) -> Sidecar {
    match config(&[&["sidecar"], args].concat()).unwrap().role {
        Role::Sidecar(sidecar) => *sidecar,
        Role::Alone(_) => panic!("expected a sidecar"),
    }
}

fn shown(settings: &Settings) -> Vec<(&str, &str)> {
    settings.flags.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[test]
fn only_a_sidecar_keeps_groups_that_nobody_has_seen() {
    assert!(config(&["sidecar"]).unwrap().rules.keeps_unseen);
    assert!(!config(&[]).unwrap().rules.keeps_unseen);
}

#[test]
fn alone_it_has_upstreams_defaults() {
    let config = config(&[]).unwrap();
    let sockets = Sockets::Own(vec![ListenAddress::All(9091)]);
    assert_eq!(config.role, Role::Alone(Alone { sockets, web_config: None }));
    let flags = [
        ("log.format", "logfmt"),
        ("log.level", "info"),
        ("persistence.file", ""),
        ("persistence.interval", "5m0s"),
        ("push.disable-consistency-check", "false"),
        ("push.enable-utf8-names", "false"),
        ("web.config.file", ""),
        ("web.enable-admin-api", "false"),
        ("web.enable-lifecycle", "false"),
        ("web.external-url", ""),
        ("web.listen-address", ":9091"),
        ("web.route-prefix", ""),
        ("web.systemd-socket", "false"),
        ("web.telemetry-path", "/metrics"),
    ];
    assert_eq!(shown(&config.settings), flags);
    let flags = config.settings.flags.clone();
    assert_eq!(config.settings, Settings { flags, started: STARTED, ..Settings::default() });
    let limits = store::Limits { groups: 1_000_000, group_series: 1_000_000, series: 10_000_000 };
    assert_eq!(config.rules, Rules { limits, ..Rules::default() });
    assert_eq!(config.connections, ConnectionLimits::default());
    assert_eq!(config.settings.measurement, None);
    assert_eq!((config.log_level, config.log_format), (LevelFilter::INFO, telemetry::Format::Logfmt));
}

#[test]
fn a_sidecar_pushes_on_loopback_and_is_scraped_everywhere() {
    let found = sidecar(&[]);
    let push = ["127.0.0.1:9091", "[::1]:9091"].map(|address| ListenAddress::At(address.parse().unwrap()));
    assert_eq!(found.push, push);
    assert_eq!(found.scrape, ListenAddress::All(19091));
    let hold_open = HoldOpen { deadline: Duration::from_secs(30), pod_deadline: None, termination_message_file: None };
    assert_eq!(found.hold_open, hold_open);
    assert_eq!((found.trust_dir, found.pod_uid), (None, None));
}

#[test]
fn a_sidecar_shows_the_same_flags_as_the_process_alone() {
    let (alone, sidecar) = (settings(&[]), settings(&["sidecar"]));
    let names = |flags: Vec<(&str, &str)>| flags.into_iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
    assert_eq!(names(shown(&sidecar)), names(shown(&alone)));
    let differing: Vec<_> = shown(&sidecar).into_iter().filter(|flag| !shown(&alone).contains(flag)).collect();
    assert_eq!(differing, [("web.listen-address", "127.0.0.1:9091,[::1]:9091")]);
}

#[test]
fn what_is_given_is_in_the_settings_and_shown() {
    let found = settings(&[
        "--web.listen-address=127.0.0.1:1",
        "--web.listen-address=:2",
        "--web.external-url=http://host/a/",
        "--web.route-prefix=/b/",
        "--web.telemetry-path=/c/../page",
        "--web.enable-lifecycle",
        "--web.enable-admin-api=true",
        "--push.enable-utf8-names=1",
        "--push.disable-consistency-check",
        "--push.allow-missing-job",
        "--persistence.interval=90s",
        "--log.format=json",
    ]);
    let expected = Settings {
        measurement: None,
        route_prefix: "/b".into(),
        telemetry_path: "/page".into(),
        link_prefix: "/a".into(),
        bodies: BodyLimits::default(),
        pushes: exposition::Limits::default(),
        names: NameValidation::Utf8,
        is_unchecked: true,
        allows_missing_job: true,
        has_admin_api: true,
        has_lifecycle_api: true,
        flags: found.flags.clone(),
        started: STARTED,
    };
    assert_eq!(found, expected);
    for flag in [
        ("web.listen-address", "127.0.0.1:1,:2"),
        ("web.external-url", "http://host/a/"),
        ("web.route-prefix", "/b"),
        ("web.telemetry-path", "/page"),
        ("web.enable-lifecycle", "true"),
        ("web.enable-admin-api", "true"),
        ("push.enable-utf8-names", "true"),
        ("push.disable-consistency-check", "true"),
        ("persistence.interval", "1m30s"),
        ("log.format", "json"),
    ] {
        assert!(shown(&found).contains(&flag), "{flag:?}");
    }
}

#[test]
fn the_external_url_gives_the_prefix_of_links_and_the_default_of_routes() {
    let url = "--web.external-url=http://host/a/";
    let rows: [(&[&str], _, _); 6] = [
        (&[], "", ""),
        (&[url], "/a", "/a"),
        (&[url, "--web.route-prefix=/"], "", "/a"),
        (&[url, "--web.route-prefix="], "/a", "/a"),
        (&["--web.route-prefix=b"], "/b", "/b"),
        (&["--web.external-url=http://host", "--web.route-prefix=b"], "/b", ""),
    ];
    for (args, routes, links) in rows {
        for role in [&[][..], &["sidecar"]] {
            let found = settings(&[role, args].concat());
            assert_eq!((&*found.route_prefix, &*found.link_prefix), (routes, links), "{args:?}");
        }
    }
}

#[test]
fn a_switch_is_set_and_unset() {
    let rows = [
        ("--web.enable-lifecycle", true),
        ("--web.enable-lifecycle=true", true),
        ("--web.enable-lifecycle=1", true),
        ("--web.enable-lifecycle=false", false),
        ("--web.enable-lifecycle=0", false),
        ("--no-web.enable-lifecycle", false),
    ];
    for (written, expected) in rows {
        for role in [&[][..], &["sidecar"]] {
            assert_eq!(settings(&[role, &[written]].concat()).has_lifecycle_api, expected, "{written}");
        }
    }
    assert!(config(&["--web.enable-lifecycle", "true"]).is_err());
}

#[test]
fn what_only_makes_sense_with_measurements_turns_them_on() {
    let naming = |args: &[&str]| config(args).unwrap().settings.measurement;
    let plain = Naming { name: None, job_as_measurement: false, keep_metric_name: true };
    assert_eq!(naming(&["--measurement.enabled"]), Some(plain.clone()));
    let name = Some("m".to_owned());
    assert_eq!(naming(&["--measurement.name=m"]), Some(Naming { name, ..plain.clone() }));
    assert_eq!(
        naming(&["--measurement.job-as-measurement"]),
        Some(Naming { job_as_measurement: true, ..plain.clone() })
    );
    let parted = Some(Naming { keep_metric_name: false, ..plain });
    assert_eq!(naming(&["--no-measurement.keep-metric-name"]), parted);
    assert_eq!(naming(&["sidecar", "--measurement.keep-metric-name=false"]), parted);
    assert_eq!(naming(&["--measurement.name=", "--no-measurement.job-as-measurement"]), None);
}

#[test]
fn the_rules_of_the_store_are_read() {
    let rules = |args: &[&str]| config(args).unwrap().rules;
    assert_eq!(rules(&["--push.stale-after=7d"]).stale_after, Some(Duration::from_secs(604_800)));
    assert_eq!(rules(&["sidecar", "--push.stale-after="]).stale_after, None);
    for (word, expected) in [
        ("reject", Timestamps::Reject),
        ("strip", Timestamps::Strip),
        ("honor", Timestamps::Honor),
        ("honour", Timestamps::Honor),
    ] {
        assert_eq!(rules(&[&format!("--push.timestamps={word}")]).timestamps, expected);
    }
}

#[test]
fn sockets_of_systemd_take_the_place_of_addresses() {
    let role = config(&["--web.systemd-socket", "--web.listen-address=:1"]).unwrap().role;
    assert_eq!(role, Role::Alone(Alone { sockets: Sockets::Systemd, web_config: None }));
}

#[test]
fn an_empty_value_counts_as_not_given() {
    let found = sidecar(&["--pod.uid=", "--trust.dir=", "--hold-open.termination-message-file="]);
    assert_eq!((found.pod_uid, found.trust_dir, found.hold_open.termination_message_file), (None, None, None));
    assert!(config(&["--web.config.file=", "--persistence.file=", "--web.external-url="]).is_ok());
}

#[test]
fn every_mistake_of_a_sidecar_is_reported_at_once() {
    let found = config(&[
        "sidecar",
        "--push.listen-address=9091",
        "--push.listen-address=example.com:1",
        "--hold-open.deadline=soon",
        "--hold-open.pod-deadline=never",
        "--log.level=loud",
        "--log.format=xml",
        "--web.route-prefix=/a//b",
        "--push.max-body-bytes=1k",
    ]);
    let expected = "\
--push.listen-address: expected an IP address and a port, such as 127.0.0.1:9091, [::1]:9091 or :9091, found \"9091\"
--push.listen-address: expected an IP address and a port, such as 127.0.0.1:9091, [::1]:9091 or :9091, found \"example.com:1\"
--hold-open.deadline: expected a duration such as 30s or 1h30m, found \"soon\"
--hold-open.pod-deadline: expected a duration such as 30s or 1h30m, found \"never\"
--web.route-prefix: expected a path of letters, digits, `-`, `.`, `_` and `~` between single slashes, found \"/a//b\"
--push.max-body-bytes: expected a whole number, or 0 for no limit, found \"1k\"
--log.level: expected debug, info, warn or error, found \"loud\"
--log.format: expected logfmt or json, found \"xml\"";
    assert_eq!(found, Err(expected.to_owned()));
}

#[test]
fn every_mistake_of_the_process_alone_is_reported_at_once() {
    let found = config(&[
        "--web.listen-address=vsock://:9091",
        "--web.systemd-socket=maybe",
        "--web.config.file=web.yaml",
        "--web.telemetry-path=/",
        "--persistence.file=/data/metrics",
        "--persistence.interval=1d",
        "--web.external-url=example.com",
        "--web.enable-lifecycle=",
        "--web.enable-admin-api=yes",
        "--push.stale-after=0s",
        "--push.timestamps=keep",
        "--push.allow-missing-job=2",
        "--push.enable-utf8-names=on",
        "--push.disable-consistency-check=off",
        "--measurement.enabled=x",
        "--measurement.job-as-measurement=y",
        "--measurement.keep-metric-name=z",
    ]);
    let expected = "\
--web.listen-address: expected an IP address and a port, such as 127.0.0.1:9091, [::1]:9091 or :9091 (vsock is not served), found \"vsock://:9091\"
--web.systemd-socket: expected true or false, found \"maybe\"
--web.config.file: expected a file that can be read, found \"web.yaml\": No such file or directory (os error 2)
--web.telemetry-path: expected a path that nothing else is served at, such as /metrics or /federate, found \"/\"
--persistence.file: expected no value, since this version keeps metrics in memory only and does not act on this flag yet, found \"/data/metrics\"
--persistence.interval: expected a duration such as 30s or 1h30m, found \"1d\"
--web.external-url: expected a URL such as https://example.com/pushgateway, without query, found \"example.com\"
--web.enable-lifecycle: expected true or false, found \"\"
--web.enable-admin-api: expected true or false, found \"yes\"
--push.stale-after: expected a duration longer than 0 and of at most 292 years, such as 1h30m or 7d, or nothing to keep groups, found \"0s\"
--push.timestamps: expected reject, strip or honor, found \"keep\"
--push.allow-missing-job: expected true or false, found \"2\"
--push.enable-utf8-names: expected true or false, found \"on\"
--push.disable-consistency-check: expected true or false, found \"off\"
--measurement.enabled: expected true or false, found \"x\"
--measurement.job-as-measurement: expected true or false, found \"y\"
--measurement.keep-metric-name: expected true or false, found \"z\"";
    assert_eq!(found, Err(expected.to_owned()));
}
