//! `cargo webhook-bench`: how long an admission takes over TLS, beside the same server giving a fixed answer, and whether
//! memory stays what it is over a hundred thousand of them.
//!
//! Each server is a process of its own, and both are asked by turns over one kept connection, as an API server does. What
//! the fixed answer takes is what TLS, HTTP and this client take; the rest is ours. There is no peer in it: those that
//! there are need a cluster around them.
//!
//! ```text
//! cargo webhook-bench [-- [--reviews NUMBER]]
//! ```
//!
//! It fails where the memory is not what it was. Times are told and not judged: how idle a machine is, only its user knows.
//!
//! *Never:* whether a time is good enough to merge.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot go on is over")]

mod client;
mod server;

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::Instant;

use client::Connection;

/// Reviews whose times are told, for each server.
const TIMED: usize = 2_000;

/// Reviews of one server before it is the other's turn.
const ROUND: usize = 100;

/// Reviews before anything is measured.
const WARM_UP: usize = 500;

/// The most by which the memory of the server may differ after all reviews, in KiB.
const FLAT: u64 = 1024;

/// The most that the slowest of a hundred is to take.
const GOAL: Duration = Duration::from_millis(2);

/// A server in a process of its own; it ends with the value.
struct Server {
    child: Child,
    connection: Connection,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<_> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", kind] => server::serve(kind).await,
        ["--reviews", number] => compare(number.parse().unwrap()).await,
        _ => compare(100_000).await,
    }
}

async fn compare(reviews: usize) {
    let review = review().to_string();
    let (mut ours, mut fixed) = (Server::start("webhook").await, Server::start("fixed").await);
    for server in [&mut ours, &mut fixed] {
        server.ask(&review, WARM_UP).await;
    }
    let (mut times, mut least) = (Vec::new(), Vec::new());
    for _ in 0..TIMED / ROUND {
        times.extend(ours.ask(&review, ROUND).await);
        least.extend(fixed.ask(&review, ROUND).await);
    }
    println!("\nA review of {} bytes, answered with a patch; {TIMED} of each, by turns.\n", review.len());
    println!("| | p50 | p99 | slowest | to reach |\n| --- | --: | --: | --: | --- |");
    let p99 = row("the webhook over TLS", &mut times, true);
    row("a fixed answer over TLS", &mut least, false);
    let before = ours.memory();
    let mut done = 0;
    println!("\n| Reviews | memory of the webhook's process |\n| --: | --: |\n| {} | {before} KiB |", WARM_UP + TIMED);
    while done < reviews {
        let next = (reviews / 4).clamp(1, reviews - done);
        ours.ask(&review, next).await;
        done += next;
        println!("| {} | {} KiB |", WARM_UP + TIMED + done, ours.memory());
    }
    let grown = ours.memory().saturating_sub(before);
    assert!(grown <= FLAT, "expected memory to grow by at most {FLAT} KiB over {reviews} reviews, found {grown}");
    if GOAL < p99 {
        println!("\nThe p99 is more than {GOAL:?}: is the machine idle?");
    }
}

fn row(what: &str, times: &mut [Duration], has_goal: bool) -> Duration {
    times.sort();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    let shown = |time: Duration| format!("{:.3} ms", 1000.0 * time.as_secs_f64());
    let p99 = at(99);
    let met = if p99 <= GOAL { "met" } else { "**not met**" };
    let goal = if has_goal { format!("p99 ≤ 2 ms: {met}") } else { String::new() };
    let slowest = times.last().copied().unwrap_or_default();
    println!("| {what} | {} | {} | {} | {goal} |", shown(at(50)), shown(p99), shown(slowest));
    p99
}

/// A pod of a Job as the API server sends it for admission.
fn review() -> Value {
    let variable = |n: usize| json!({"name": format!("VARIABLE_{n}"), "value": "a value of some length"});
    let container = |name: &str| {
        json!({
            "name": name, "image": format!("registry.example/somewhere/{name}:1.2.3"), "command": ["run", "--all"],
            "env": (0..12).map(variable).collect::<Vec<_>>(),
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
            "volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets", "readOnly": true}],
            "terminationMessagePath": "/dev/termination-log", "imagePullPolicy": "IfNotPresent",
        })
    };
    let fields: serde_json::Map<_, _> = (0..40).map(|n| (format!("f:field{n}"), json!({"f:more": {}}))).collect();
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "generateName": "nightly-backup-", "creationTimestamp": null,
            "labels": {"app": "etl", "batch.kubernetes.io/job-name": "nightly-backup"},
            "annotations": {"sidegate.dev/inject": "true", "checksum": "5f1d3a6c0a4b8e7f9c2d1e0b3a495867788990aabbccddee"},
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "nightly-backup", "uid": "1", "controller": true}],
            "managedFields": [{"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1", "fieldsV1": fields}],
        },
        "spec": {
            "containers": [container("app"), container("helper")], "restartPolicy": "Never",
            "volumes": [{"name": "token", "projected": {"sources": []}}], "terminationGracePeriodSeconds": 30,
        },
    });
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "data", "operation": "CREATE", "dryRun": false, "object": pod, "oldObject": null,
            "userInfo": {"username": "system:serviceaccount:kube-system:job-controller", "groups": ["system:authenticated"]},
            "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
        },
    })
}

// === impl Server ===

impl Server {
    async fn start(kind: &str) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        let mut child = command.args(["serve", kind]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let (address, certificate) = (lines.next().unwrap(), lines.next().unwrap());
        Self { child, connection: Connection::open(&address, &certificate).await }
    }

    /// Sends a review so many times, one after the other; how long each took.
    async fn ask(&mut self, review: &str, times: usize) -> Vec<Duration> {
        let mut took = Vec::with_capacity(times);
        for _ in 0..times {
            let started = Instant::now();
            let answer = self.connection.post("/mutate-pods", review).await;
            took.push(started.elapsed());
            assert!(answer.contains("JSONPatch"), "{answer}");
        }
        took
    }

    /// Memory of the process, in KiB.
    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::io::stdout().flush();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
