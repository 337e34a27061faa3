//! What only the real process shows: sockets, signals, files, the exit.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use protocol::flags;
use tokio::time::Instant;

use crate::gateway::{Gateway, request, scrape};

fn put(to: std::net::SocketAddr, body: &str) {
    assert_eq!(request(to, "PUT", "/metrics/job/j", &[], body), (200, String::new()));
}

/// More than sockets hold, so that a scrape of it is under way until it is read.
fn large_body() -> String {
    (0..1000).map(|n| format!("x{{n=\"{n}\",pad=\"{}\"}} 1\n", "p".repeat(15_000))).collect()
}

fn message_file(test: &str) -> PathBuf {
    std::env::temp_dir().join(format!("sidegate-message-{}-{test}", std::process::id()))
}

#[test]
fn what_is_pushed_on_one_port_is_scraped_on_the_other() {
    let (_gateway, push, page) = Gateway::sidecar(&["--web.route-prefix=/prefix"]);
    assert_eq!(request(push, "PUT", "/prefix/metrics/job/j", &[], "x 1\n").0, 200);
    assert_eq!(request(push, "PUT", "/metrics/job/j", &[], "x 1\n").0, 404);
    assert!(scrape(page).contains("\nx{instance=\"\",job=\"j\"} 1\n"));
    assert_eq!(request(page, "GET", "/-/ready", &[], ""), (200, "OK".to_owned()));
    assert_eq!(request(page, "PUT", "/metrics/job/j", &[], "x 2\n").0, 405);
}

#[test]
fn alone_it_serves_everything_on_one_port_and_leaves_at_once() {
    let mut gateway = Gateway::start(&["--web.listen-address=127.0.0.1:0"]);
    let address = gateway.address("all");
    put(address, "x 1\n");
    assert!(scrape(address).contains("\nx{instance=\"\",job=\"j\"} 1\n"));
    put(address, "x 2\n");
    gateway.signal("TERM");
    let (status, log) = gateway.wait();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn a_port_of_all_addresses_takes_both_families() {
    let mut gateway = Gateway::start(&["--web.listen-address=:0"]);
    let port = gateway.address("all").port();
    assert_eq!(request(([127, 0, 0, 1], port).into(), "GET", "/-/healthy", &[], "").0, 200);
}

#[test]
fn alone_a_taken_port_is_an_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("--web.listen-address={}", taken.local_addr().unwrap());
    let (status, log) = Gateway::start(&[&address]).wait();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("cannot listen on 127.0.0.1:"), "{log}");
}

/// Runs it to its end and returns the exit code, standard output and standard error.
pub(crate) fn run(args: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    let output = command.args(args).envs(variables.iter().copied()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Each flag of a role, from its help.
fn flags_of(role: &[&str]) -> Vec<String> {
    let (_, help, _) = run(&[role, &["--help"]].concat(), &[]);
    let flag = |line: &str| Some(line.split_once("--")?.1.split([' ', '[']).next()?.to_owned());
    help.lines().filter(|line| line.trim_start().starts_with('-')).filter_map(flag).collect()
}

#[test]
fn bad_flags_are_an_error_and_help_is_not() {
    let (code, _, text) = run(&["sidecar", "--hold-open.deadline=soon", "--log.level=loud"], &[]);
    assert_eq!(code, Some(1));
    assert!(text.contains("--hold-open.deadline: expected") && text.contains("--log.level: expected"), "{text}");
    for bad in ["--no-such-flag", "--no-log.level", "--web.enable-lifecycle=true=", "stray"] {
        let (code, _, text) = run(&[bad], &[]);
        assert_eq!(code, Some(1), "{bad}: {text}");
        assert!(!text.is_empty());
    }
    for good in [&["--help"][..], &["-h"], &["sidecar", "--help"], &["--version"]] {
        let (code, text, errors) = run(good, &[]);
        assert_eq!((code, errors.as_str()), (Some(0), ""));
        assert!(!text.is_empty());
    }
    assert_eq!(run(&["--version"], &[]).1, format!("sidegate {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_help_has_headings_in_order_and_fits_a_narrow_screen() {
    let roles: [(&[&str], &[&str]); 2] = [
        (&[], &["Web", "Push", "Limits (0 for none)", "Measurement", "Auth", "Storage", "Log", "Other"]),
        (
            &["sidecar"],
            &["Ports", "Hold open", "Pod", "Web", "Push", "Limits (0 for none)", "Measurement", "Auth", "Log", "Other"],
        ),
    ];
    for (role, expected) in roles {
        let (_, help, _) = run(&[role, &["--help"]].concat(), &[("COLUMNS", "80")]);
        let is_heading = |line: &&str| line.ends_with(':') && !line.starts_with(' ') && *line != "Commands:";
        let headings: Vec<_> = help.lines().filter(is_heading).map(|line| line.trim_end_matches(':')).collect();
        assert_eq!(headings, expected);
        assert_eq!(help.lines().find(|line| 80 < line.chars().count()), None);
    }
}

/// Of the flags with defaults, none may find fault with its empty variable, or the injected pod stays in init.
#[test]
fn an_empty_environment_variable_counts_as_not_given() {
    let all: Vec<_> = [flags_of(&[]), flags_of(&["sidecar"])].concat();
    assert!(30 < all.len(), "{all:?}");
    let variables: Vec<_> = all.iter().map(|flag| flags::environment_variable(flag)).collect();
    let empty: Vec<_> = variables.iter().map(|variable| (variable.as_str(), "")).collect();

    let listen = ["sidecar", "--push.listen-address=127.0.0.1:0", "--scrape.listen-address=127.0.0.1:0"];
    let mut gateway = Gateway::start_with(&listen, &empty);
    put(gateway.address("push"), "x 1\n");
    gateway.address("scrape");

    // One mistake is reported, and no other.
    for bad in [&["--log.format=xml"][..], &["sidecar", "--log.format=xml"]] {
        let (status, log) = Gateway::start_with(bad, &empty).wait();
        assert_eq!(status.code(), Some(1), "{log}");
        assert_eq!(log.matches(": expected ").count(), 1, "{log}");
        assert!(log.contains("--log.format: expected logfmt or json, found \"xml\""), "{log}");
    }
}

/// What every flag makes of a value that no flag takes shows that its variable reaches it.
#[test]
fn the_environment_variable_of_every_flag_that_can_be_wrong_is_read() {
    let free = ["help", "version", "measurement.name", "hold-open.termination-message-file", "trust.dir"];
    for role in [&[][..], &["sidecar"]] {
        let checked = flags_of(role).into_iter().filter(|flag| !free.contains(&flag.as_str()));
        // A sidecar waits for a good file.
        let is_free = |flag: &str| flag.starts_with("pod.") || (!role.is_empty() && flag == "auth.token-file");
        let checked: Vec<_> = checked.filter(|flag| !is_free(flag)).collect();
        let variables: Vec<_> = checked.iter().map(|flag| flags::environment_variable(flag)).collect();
        let wrong: Vec<_> = variables.iter().map(|variable| (variable.as_str(), "\u{1}")).collect();
        let (code, _, errors) = run(role, &wrong);
        assert_eq!(code, Some(1));
        for flag in checked {
            assert!(errors.contains(&format!("--{flag}: expected ")), "{flag} in {errors}");
        }
    }
}

#[test]
fn an_environment_variable_sets_its_flag() {
    let variables = [("SIDEGATE_WEB_LISTEN_ADDRESS", "127.0.0.1:0"), ("SIDEGATE_WEB_ROUTE_PREFIX", "/prefix")];
    let mut gateway = Gateway::start_with(&[], &variables);
    let address = gateway.address("all");
    assert_eq!(request(address, "PUT", "/prefix/metrics/job/j", &[], "x 1\n").0, 200);
}

#[test]
fn a_switch_in_the_environment_is_undone_by_its_negative_flag() {
    for word in ["true", "1"] {
        let variables = [("SIDEGATE_WEB_SYSTEMD_SOCKET", word), ("SIDEGATE_WEB_LISTEN_ADDRESS", "127.0.0.1:0")];
        let (status, log) = Gateway::start_with(&[], &variables).wait();
        assert_eq!(status.code(), Some(1), "{log}");
        for negative in ["--no-web.systemd-socket", "--web.systemd-socket=false"] {
            Gateway::start_with(&[negative], &variables).address("all");
        }
    }
}

#[test]
fn a_variable_of_datakit_counts_where_ours_is_not_set_or_empty() {
    let (ours, theirs) = ("SIDEGATE_WEB_ROUTE_PREFIX", "ENV_INPUT_PUSHGATEWAY_ROUTE_PREFIX");
    let rows: [(&[(&str, &str)], &str); 4] = [
        (&[(theirs, "/v1/pushgateway")], "/v1/pushgateway"),
        (&[(ours, ""), (theirs, "/theirs")], "/theirs"),
        (&[(ours, "/ours"), (theirs, "/theirs")], "/ours"),
        (&[(theirs, "")], ""),
    ];
    for (variables, prefix) in rows {
        let mut gateway = Gateway::start_with(&["--web.listen-address=127.0.0.1:0"], variables);
        let path = format!("{prefix}/metrics/job/j");
        assert_eq!(request(gateway.address("all"), "PUT", &path, &[], "x 1\n").0, 200, "{variables:?}");
    }
    let variables = [
        ("ENV_INPUT_PUSHGATEWAY_JOB_AS_MEASUREMENT", "maybe"),
        ("ENV_INPUT_PUSHGATEWAY_KEEP_EXIST_METRIC_NAME", "2"),
        ("ENV_INPUT_PUSHGATEWAY_MEASUREMENT_NAME", "m"),
        (theirs, "/a//b"),
    ];
    for role in [&[][..], &["sidecar"]] {
        let (code, _, errors) = run(role, &variables);
        assert_eq!(code, Some(1));
        for expected in [
            "--measurement.job-as-measurement: expected true or false, found \"maybe\"",
            "--measurement.keep-metric-name: expected true or false, found \"2\"",
            "--web.route-prefix: expected a path",
        ] {
            assert!(errors.contains(expected), "{errors}");
        }
    }
}

#[test]
fn what_this_version_cannot_do_is_refused_and_not_ignored() {
    for flag in
        ["--persistence.file=metrics", "--web.listen-address=vsock://:9091", "--web.listen-address=gateway.test:9091"]
    {
        let (code, _, errors) = run(&[flag], &[]);
        assert_eq!(code, Some(1));
        assert!(errors.contains(&format!("{}: expected ", flag.split('=').next().unwrap())), "{errors}");
    }
}

#[test]
fn the_sockets_of_systemd_are_served() {
    let (first, second) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = [&first, &second].map(|listener| listener.local_addr().unwrap());
    let args = ["--web.systemd-socket", "--web.listen-address=127.0.0.1:0"];
    let mut gateway = Gateway::passed(&args, "2", first.into(), second.into());
    for address in addresses {
        gateway.line(|line| line.contains(&format!("msg=listening address={address} listener=all")));
        put(address, "x 1\n");
    }
    gateway.signal("TERM");
    let (status, log) = gateway.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(log.matches("msg=listening").count(), 2, "{log}");
}

#[test]
fn without_sockets_of_systemd_there_is_nothing_to_serve() {
    let (code, _, errors) = run(&["--web.systemd-socket"], &[]);
    assert_eq!(code, Some(1));
    let expected = "--web.systemd-socket: expected sockets passed by systemd (LISTEN_FDS and LISTEN_PID), found none";
    assert!(errors.contains(expected), "{errors}");
    // Passed to another process.
    let (code, _, errors) = run(&["--web.systemd-socket"], &[("LISTEN_FDS", "1"), ("LISTEN_PID", "1")]);
    assert_eq!(code, Some(1));
    assert!(errors.contains(expected), "{errors}");
}

#[test]
fn a_passed_socket_that_is_not_tcp_is_an_error() {
    let (tcp, udp) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let (status, log) = Gateway::passed(&["--web.systemd-socket"], "2", tcp.into(), udp.into()).wait();
    assert_eq!(status.code(), Some(1), "{log}");
    let expected = "expected every socket passed by systemd to be a TCP socket, found that number 2 is none";
    assert!(log.contains(expected), "{log}");
}

#[test]
fn with_nothing_unseen_it_leaves_at_once() {
    let (gateway, push, _) = Gateway::sidecar(&["--hold-open.deadline=1h"]);
    // None of these leaves anything to be seen.
    assert_eq!(request(push, "PUT", "/metrics/job/j", &[], "x 1 5\n").0, 400);
    put(push, "x 2\n");
    assert_eq!(request(push, "DELETE", "/metrics/job/j", &[], "").0, 202);
    gateway.signal("TERM");
    let (status, log) = gateway.wait();
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("signal=SIGTERM reason=\"nothing unseen\""), "{log}");
}

#[test]
fn after_a_scrape_of_everything_it_leaves_within_a_moment() {
    let (gateway, push, page) = Gateway::sidecar(&["--hold-open.deadline=1h"]);
    put(push, "x 1\n");
    scrape(page);
    gateway.signal("TERM");
    let (status, log) = gateway.wait();
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("signal=SIGTERM reason=\"everything was scraped\""), "{log}");
}

#[test]
fn an_unseen_push_keeps_it_until_a_scrape_and_a_look_is_none() {
    let message = message_file("seen");
    let flag = format!("--hold-open.termination-message-file={}", message.display());
    let (mut gateway, push, page) = Gateway::sidecar(&["--hold-open.deadline=1h", &flag]);
    put(push, "x 1\n");
    scrape(page);
    put(push, "x 2\n");
    gateway.signal("TERM");
    gateway.line(|line| line.contains("holding open"));
    assert_eq!(std::fs::read_to_string(&message).unwrap(), "1 groups unseen");

    // It still takes pushes, and none of these reads is a scrape.
    put(push, "x 3\n");
    let timeout = "x-prometheus-scrape-timeout-seconds: 10";
    assert_eq!(request(page, "GET", "/metrics", &[], "").0, 200);
    assert_eq!(request(page, "GET", "/metrics?name[]=x", &[timeout], "").0, 200);
    assert_eq!(request(page, "GET", "/metrics", &[timeout, "sidegate-operator-read: 1"], "").0, 200);
    assert_eq!(request(push, "GET", "/metrics", &[timeout], "").0, 200);

    let seen = Instant::now();
    assert!(scrape(page).contains("\nx{instance=\"\",job=\"j\"} 3\n"));
    let (status, log) = gateway.wait();
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("reason=\"everything was scraped\""), "{log}");
    assert!(Duration::from_millis(200) <= seen.elapsed());
    assert_eq!(std::fs::read_to_string(&message).unwrap(), "");
    std::fs::remove_file(&message).unwrap();
}

#[test]
fn a_scrape_that_began_before_the_push_does_not_count() {
    let (mut gateway, push, page) = Gateway::sidecar(&["--hold-open.deadline=1h"]);
    put(push, &large_body());
    let mut slow = TcpStream::connect(page).unwrap();
    let head =
        "GET /metrics HTTP/1.1\r\nhost: test\r\nconnection: close\r\nx-prometheus-scrape-timeout-seconds: 10\r\n\r\n";
    slow.write_all(head.as_bytes()).unwrap();
    slow.read_exact(&mut [0; 1]).unwrap();
    put(push, "x 1\n");
    gateway.signal("TERM");
    gateway.line(|line| line.contains("holding open"));
    slow.read_to_end(&mut Vec::new()).unwrap();
    let page_after = request(page, "GET", "/metrics", &[], "").1;
    assert!(page_after.contains("\nsidegate_scrapes_total 1\n"));
    scrape(page);
    let (status, log) = gateway.wait();
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("reason=\"everything was scraped\""), "{log}");
}

#[test]
fn a_scrape_that_breaks_off_does_not_count() {
    let (mut gateway, push, page) = Gateway::sidecar(&["--hold-open.deadline=1h"]);
    put(push, &large_body());
    let mut broken = TcpStream::connect(page).unwrap();
    let head = "GET /metrics HTTP/1.1\r\nhost: test\r\nx-prometheus-scrape-timeout-seconds: 10\r\n\r\n";
    broken.write_all(head.as_bytes()).unwrap();
    broken.read_exact(&mut [0; 1]).unwrap();
    drop(broken);
    assert!(request(page, "GET", "/metrics", &[], "").1.contains("\nsidegate_scrapes_total 0\n"));
    gateway.signal("TERM");
    gateway.line(|line| line.contains("holding open") && line.contains("unseen=1"));
}

#[test]
fn the_deadline_ends_the_wait_and_tells_the_truth() {
    let message = message_file("deadline");
    let flag = format!("--hold-open.termination-message-file={}", message.display());
    let (gateway, push, _) = Gateway::sidecar(&["--hold-open.deadline=300ms", &flag]);
    put(push, "x 1\n");
    assert_eq!(request(push, "PUT", "/metrics/job/k", &[], "").0, 200);
    gateway.signal("TERM");
    let (status, log) = gateway.wait();
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("reason=\"deadline reached, 2 groups unseen\""), "{log}");
    assert_eq!(std::fs::read_to_string(&message).unwrap(), "2 groups unseen");
    std::fs::remove_file(&message).unwrap();
}

#[test]
fn a_taken_push_port_does_not_end_a_sidecar_and_is_tried_again() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let push = format!("--push.listen-address={address}");
    let mut gateway = Gateway::start(&["sidecar", &push, "--scrape.listen-address=127.0.0.1:0"]);
    gateway.line(|line| line.contains("cannot listen") && line.contains(&address.to_string()));
    let page = gateway.address("scrape");
    assert_eq!(request(page, "GET", "/-/ready", &[], "").0, 200);
    drop(taken);
    assert_eq!(gateway.address("push"), address);
    put(address, "x 1\n");
}

#[test]
fn an_interrupt_ends_the_wait() {
    let (mut gateway, push, _) = Gateway::sidecar(&["--hold-open.deadline=1h"]);
    put(push, "x 1\n");
    gateway.signal("INT");
    gateway.line(|line| line.contains("holding open"));
    gateway.signal("INT");
    let (status, log) = gateway.wait();
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("signal=SIGINT reason=\"interrupted, 1 groups unseen\""), "{log}");
}

/// Upstream drops the connection, and its client does not know whether the push was taken.
#[test]
fn a_push_under_way_at_the_end_is_answered() {
    let mut gateway = Gateway::start(&["--web.listen-address=127.0.0.1:0"]);
    let mut slow = TcpStream::connect(gateway.address("all")).unwrap();
    let head = "PUT /metrics/job/j HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";
    slow.write_all(head.as_bytes()).unwrap();
    // The handler is at work once it asks for the body.
    let mut asked = [0; 25];
    slow.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    gateway.signal("TERM");
    gateway.line(|line| line.contains("msg=leaving"));
    slow.write_all(b"x 1\n").unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(gateway.wait().0.code(), Some(0));
}

#[test]
fn the_log_says_who_pushed_what_was_refused_and_does_not_fill_with_unsigned_deletes() {
    let (mut gateway, push, scrape) = Gateway::sidecar(&["--log.level=debug"]);
    assert_eq!(request(push, "POST", "/metrics/job/j", &[], "x 1 5\n").0, 400);
    let line = gateway.line(|line| line.contains("msg=\"push refused\""));
    assert!(line.contains("level=warn"), "{line}");
    assert!(line.contains(" method=post path=/metrics/job/j client=127.0.0.1:"), "{line}");
    assert_eq!(request(scrape, "DELETE", "/metrics/job/j", &[], "").0, 401);
    let line = gateway.line(|line| line.contains("msg=\"delete refused at the scrape port\""));
    assert!(line.contains("level=debug") && line.contains("reason=unsigned"), "{line}");
    assert_eq!(
        request(scrape, "DELETE", "/metrics/job/j", &["sidegate-signature: x", "sidegate-if-push-time: 1"], "").0,
        401
    );
    let line = gateway
        .line(|line| line.contains("msg=\"delete refused at the scrape port\"") && line.contains("reason=malformed"));
    assert!(line.contains("level=info"), "{line}");
}
