//! What only the real process shows: sockets, signals, files, the exit.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
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
    (0..150).map(|n| format!("x{{n=\"{n}\",pad=\"{}\"}} 1\n", "p".repeat(100_000))).collect()
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

#[test]
fn bad_flags_are_an_error_and_help_is_not() {
    let run = |args: &[&str]| Command::new(env!("CARGO_BIN_EXE_sidegate")).args(args).output().unwrap();
    let bad = run(&["sidecar", "--hold-open.deadline=soon", "--log.level=loud"]);
    assert_eq!(bad.status.code(), Some(1));
    let text = String::from_utf8(bad.stderr).unwrap();
    assert!(text.contains("--hold-open.deadline: expected") && text.contains("--log.level: expected"), "{text}");
    assert_eq!(run(&["--no-such-flag"]).status.code(), Some(1));
    for good in [&["--help"][..], &["sidecar", "--help"], &["--version"]] {
        assert_eq!(run(good).status.code(), Some(0));
    }
}

/// Of the flags with defaults, none may find fault with its empty variable, or the injected pod stays in init.
#[test]
fn an_empty_environment_variable_counts_as_not_given() {
    let of_the_gateway = ["--web.listen-address", "--push.max-body-bytes"];
    let variables: Vec<_> = flags::ALL.into_iter().chain(of_the_gateway).map(flags::environment_variable).collect();
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

#[test]
fn an_environment_variable_sets_its_flag() {
    let variables = [("SIDEGATE_WEB_LISTEN_ADDRESS", "127.0.0.1:0"), ("SIDEGATE_WEB_ROUTE_PREFIX", "/prefix")];
    let mut gateway = Gateway::start_with(&[], &variables);
    let address = gateway.address("all");
    assert_eq!(request(address, "PUT", "/prefix/metrics/job/j", &[], "x 1\n").0, 200);
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
