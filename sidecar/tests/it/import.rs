//! `sidegate import` between two real processes. That it takes over from a Pushgateway of somebody else's is shown by
//! the end-to-end tests.

use std::{
    net::SocketAddr,
    process::{Command, Output},
};

use crate::gateway::{Gateway, request};

const ADMIN: &str = "--web.enable-admin-api";

fn gateway(args: &[&str]) -> (Gateway, SocketAddr) {
    let mut gateway = Gateway::start(&[&["--web.listen-address=127.0.0.1:0"], args].concat());
    let address = gateway.address("all");
    (gateway, address)
}

fn import(from: SocketAddr, to: SocketAddr, args: &[&str]) -> (bool, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    command.args(["import", &format!("--from=http://{from}"), &format!("--to=http://{to}")]);
    let Output { status, stdout, stderr } = command.args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.success(), text(stdout), text(stderr))
}

fn push(to: SocketAddr, method: &str, path: &str, body: &str) {
    let (status, text) = request(to, method, path, &[], body);
    assert!(status == 200 || status == 400, "{status} {text}");
}

/// The page without what the processes say of themselves.
fn page(of: SocketAddr) -> String {
    let (_, page) = request(of, "GET", "/metrics", &["accept: text/plain;escaping=allow-utf-8"], "");
    let own = |line: &&str| !["process_", "pushgateway_", "sidegate_"].iter().any(|name| line.contains(name));
    page.lines().filter(own).map(|line| format!("{line}\n")).collect()
}

/// All that a group can be: pushed in parts, hostile, without series, refused only.
fn fill(source: SocketAddr) {
    push(
        source,
        "PUT",
        "/metrics/job/parts/instance/i",
        "# HELP a helpful\n# TYPE a counter\na{b=\"c\\\\\\\"\\nd\"} NaN\n",
    );
    push(
        source,
        "POST",
        "/metrics/job/parts/instance/i",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 0.5\nh_sum -1\nh_count 2\n",
    );
    push(source, "PUT", "/metrics/job@base64/YS9i/empty@base64/=", "# TYPE s summary\ns{quantile=\"0.5\"} +Inf\n");
    push(source, "PUT", "/metrics/job/nothing", "");
    push(source, "PUT", "/metrics/job/parts/instance/i", "a 1 5\n");
    push(source, "PUT", "/metrics/job/refused", "a 1 5\n");
}

#[test]
fn everything_is_taken_over_with_its_times_and_said() {
    let ((_source, from), (_target, to)) = (gateway(&[]), gateway(&[ADMIN]));
    fill(from);
    let (all, said, error) = import(from, to, &[]);
    assert!(all, "{said}{error}");
    assert_eq!(page(to), page(from));
    assert!(said.starts_with(&format!("took 4 groups with 3 series from http://{from} to http://{to}\n")), "{said}");
    assert!(said.contains("\n  {empty=\"\",job=\"a/b\"}: 1 series, pushed at 20"), "{said}");
    assert!(said.contains("\n  {job=\"refused\"}: 0 series, never pushed with success, refused at 20"), "{said}");
    assert!(!said.contains("left"), "{said}");
    let groups = |of| request(of, "GET", "/api/v1/metrics", &[], "").1;
    assert_eq!(groups(to), groups(from));
}

#[test]
fn taking_over_again_finds_all_of_it_there() {
    let ((_source, from), (_target, to)) = (gateway(&[]), gateway(&[ADMIN]));
    fill(from);
    let first = import(from, to, &[]);
    let before = page(to);
    assert_eq!(import(from, to, &[]), first);
    assert_eq!(page(to), before);
}

#[test]
fn what_the_target_has_newer_is_left_and_said() {
    let ((_source, from), (_target, to)) = (gateway(&[]), gateway(&[ADMIN]));
    push(from, "PUT", "/metrics/job/old", "a 1\n");
    push(from, "PUT", "/metrics/job/other", "b 1\n");
    push(to, "PUT", "/metrics/job/old", "a 2\n");
    let (all, said, _) = import(from, to, &[]);
    assert!(!all);
    assert!(said.starts_with("took 1 groups with 1 series"), "{said}");
    assert!(said.contains("\nleft 1:\n  {job=\"old\"}: the target has a newer push: "), "{said}");
    assert!(page(to).contains("\na{instance=\"\",job=\"old\"} 2\n"));
}

#[test]
fn a_group_that_does_not_fit_the_target_is_left_with_its_sentence() {
    let ((_source, from), (_target, to)) = (gateway(&[]), gateway(&[ADMIN]));
    push(from, "PUT", "/metrics/job/a", "# TYPE x counter\nx 1\n");
    push(to, "PUT", "/metrics/job/b", "# TYPE x gauge\nx 1\n");
    let (all, said, _) = import(from, to, &[]);
    assert!(!all);
    assert!(
        said.contains("  {job=\"a\"}: the target refuses it: pushed metrics are invalid or inconsistent"),
        "{said}"
    );
}

#[test]
fn a_dry_run_says_the_same_and_changes_nothing() {
    let ((_source, from), (_target, to)) = (gateway(&[]), gateway(&[]));
    fill(from);
    let (all, said, _) = import(from, to, &["--dry-run"]);
    assert!(all);
    assert!(said.starts_with("would take 4 groups with 3 series from "), "{said}");
    assert_eq!(page(to), "");
}

#[test]
fn a_target_without_the_admin_api_is_named() {
    let ((_source, from), (_target, to)) = (gateway(&[]), gateway(&[]));
    push(from, "PUT", "/metrics/job/a", "x 1\n");
    let (all, said, error) = import(from, to, &[]);
    assert!(!all && said.is_empty());
    let expected =
        format!("error: expected a Sidegate with `--web.enable-admin-api` at http://{to}, found one that refuses");
    assert!(error.starts_with(&expected), "{error}");
}

#[test]
fn a_source_that_is_not_there_is_named() {
    let (_target, to) = gateway(&[ADMIN]);
    let nobody: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let (all, _, error) = import(nobody, to, &[]);
    assert!(!all);
    assert!(error.starts_with("error: cannot read the source: http://127.0.0.1:1/metrics: "), "{error}");
}

#[test]
fn names_in_utf8_are_taken_over_as_they_are() {
    let names = "--push.enable-utf8-names";
    let ((_source, from), (_target, to)) = (gateway(&[names]), gateway(&[names, ADMIN]));
    push(from, "PUT", "/metrics/job/a/U__b_2e_c/d", "{\"x.y\",\"ö\"=\"1\"} 1\n");
    let (all, said, error) = import(from, to, &[]);
    assert!(all, "{said}{error}");
    assert_eq!(page(to), page(from));
    assert!(page(to).contains("{\"x.y\",\"b.c\"=\"d\""));
}
