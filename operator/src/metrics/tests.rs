//! The served page: its names, and the README's table of them.

use std::{collections::BTreeMap, env, fs, path::Path, time::Duration};

use crds::names::PUSH_GROUP_LABEL;
use serde_json::json;

use super::*;
use crate::{audit::missing::Missing, cache::Cache};

const HEADING: &str = "## The operator's metrics\n";

/// Metrics that have all been counted once; a family that never was is not on the page.
fn counted() -> Metrics {
    let metrics = Metrics::default();
    let runtime = &metrics.runtime;
    runtime.may_reconcile(8);
    drop(runtime.reconciling());
    runtime.reconciled(Duration::from_millis(3));
    runtime.reconcile_failed(Duration::from_secs(1));
    drop(runtime.admitting());
    runtime.webhook_answered(200, Duration::from_millis(1));
    runtime.leading("sidegate-operator", true);
    runtime.api_answered("GET", Some(200));
    runtime.api_answered("PATCH", None);
    metrics.injection("injected", "selected");
    metrics.review_refused("too_long");
    metrics.collected(Source::StaleAfter, Since::Push);
    metrics.collected(Source::Rule, Since::Failure);
    metrics.moved_on();
    metrics.unseen(3);
    metrics.collection_failed("timeout");
    metrics.unreadable(1);
    let pod = |name: &str, labels: &[(&str, &str)]| {
        let labels: BTreeMap<_, _> = labels.iter().copied().collect();
        serde_json::from_value(json!({"metadata": {"namespace": "data", "name": name, "labels": labels}})).unwrap()
    };
    let pods = vec![pod("unassigned", &[]), pod("orphaned", &[(PUSH_GROUP_LABEL, "gone")])];
    metrics.ungrouped.watch(Cache::of(pods), Cache::of(Vec::new()));
    metrics.missing.watch(Missing::of_test("data"));
    metrics.certificate_expires(Which::Serving, Timestamp::constant(1_790_000_000, 0));
    metrics.certificate_expires(Which::Authority, Timestamp::constant(1_800_000_000, 0));
    metrics
}

#[test]
fn names_are_those_of_controller_runtime() {
    let metrics = counted();
    let _running = metrics.runtime.reconciling();
    let page = metrics.page().unwrap();
    for line in [
        "controller_runtime_reconcile_total{controller=\"pushgroup\",result=\"success\"} 1",
        "controller_runtime_reconcile_total{controller=\"pushgroup\",result=\"error\"} 1",
        "controller_runtime_reconcile_errors_total{controller=\"pushgroup\"} 1",
        "controller_runtime_reconcile_time_seconds_count{controller=\"pushgroup\"} 2",
        "controller_runtime_active_workers{controller=\"pushgroup\"} 1",
        "controller_runtime_max_concurrent_reconciles{controller=\"pushgroup\"} 8",
        "workqueue_work_duration_seconds_count{name=\"pushgroup\",controller=\"pushgroup\"} 2",
        "workqueue_retries_total{name=\"pushgroup\",controller=\"pushgroup\"} 1",
        "controller_runtime_webhook_requests_total{webhook=\"/mutate-pods\",code=\"200\"} 1",
        "controller_runtime_webhook_latency_seconds_count{webhook=\"/mutate-pods\"} 1",
        "controller_runtime_webhook_requests_in_flight{webhook=\"/mutate-pods\"} 0",
        "leader_election_master_status{name=\"sidegate-operator\"} 1",
        "rest_client_requests_total{code=\"200\",method=\"GET\"} 1",
        "rest_client_requests_total{code=\"<error>\",method=\"PATCH\"} 1",
        "sidegate_operator_injections_total{result=\"injected\",reason=\"selected\"} 1",
        "sidegate_operator_collected_groups_total{limit=\"stale_after\",since=\"push\"} 1",
        "sidegate_operator_collected_groups_total{limit=\"rule\",since=\"failure\"} 1",
        "sidegate_operator_moved_on_groups_total 1",
        "sidegate_operator_unseen_groups_total 3",
        "sidegate_operator_collection_failures_total{reason=\"timeout\"} 1",
        "sidegate_operator_unreadable_samples_total 1",
        "sidegate_operator_unassigned_pods{namespace=\"data\"} 1",
        "sidegate_operator_orphaned_pods{namespace=\"data\"} 1",
        "sidegate_webhook_certificate_expiry_timestamp_seconds{certificate=\"serving\"} 1790000000",
        "sidegate_webhook_certificate_expiry_timestamp_seconds{certificate=\"ca\"} 1800000000",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
}

#[test]
fn every_metric_that_is_named_was_counted_by_the_test() {
    let sources = [
        include_str!("../metrics.rs"),
        include_str!("missing.rs"),
        include_str!("runtime.rs"),
        include_str!("silence.rs"),
        include_str!("ungrouped.rs"),
    ];
    let page = counted().page().unwrap();
    let mut seen = 0;
    for name in sources.iter().flat_map(|source| source.split('"')) {
        let is_name = [
            "controller_runtime_",
            "workqueue_",
            "leader_election_",
            "rest_client_",
            "sidegate_operator_",
            "sidegate_webhook_",
        ];
        if is_name.iter().any(|start| name.starts_with(start)) {
            assert!(page.contains(&format!("# TYPE {name} ")), "`counted` leaves {name} out");
            seen += 1;
        }
    }
    assert_eq!(seen, page.matches("# TYPE ").count());
}

#[test]
fn the_readme_has_a_table_of_them() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let (before, section) = readme.split_once(HEADING).unwrap();
    let start = section.find("| Metric |").unwrap();
    let end = start + section[start..].find("\n\n").unwrap() + 1;
    let made = table(&counted().page().unwrap());
    if env::var_os("SIDEGATE_BLESS").is_some() {
        fs::write(&path, [before, HEADING, &section[..start], &made, &section[end..]].concat()).unwrap();
        return;
    }
    assert_eq!(made, section[start..end], "{}: SIDEGATE_BLESS=1 rewrites it", path.display());
}

/// A row for each family of a page.
fn table(page: &str) -> String {
    let mut rows = "| Metric | Type | Labels | What it tells |\n| --- | --- | --- | --- |\n".to_owned();
    let helps: BTreeMap<_, _> = page.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' ')).collect();
    for (name, kind) in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')) {
        let sample = page.lines().find(|line| line.starts_with(name)).unwrap();
        let labels = sample.split_once('{').map_or("", |(_, labels)| labels.split_once('}').unwrap().0);
        let labels = labels.split(',').filter_map(|label| label.split_once('=')).map(|(name, _)| name);
        let labels: Vec<_> = labels.filter(|name| *name != "le").map(|name| format!("`{name}`")).collect();
        let total = if kind == "counter" { "_total" } else { "" };
        let help = helps[name].trim_end_matches('.');
        rows += &format!("| `{name}{total}` | {kind} | {} | {help} |\n", labels.join(", "));
    }
    rows
}
