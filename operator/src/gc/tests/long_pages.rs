//! Sidecars with pages that need one of the few places for long ones.

use super::*;

/// Serves a sidecar with one stale group and a long page.
async fn serve_long(address: &str, fake: Fake) -> Fake {
    let fake = serve(address, &[("old", 4000)], fake).await;
    let young = (0..4000).map(|nth| (format!("young{nth}"), NOW.to_string()));
    fake.groups.lock().unwrap().extend(young);
    fake
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_the_removals_of_who_has_a_long_page() {
    let (mut pods, mut fakes) = (Vec::new(), Vec::new());
    for nth in 1..=5 {
        let address = format!("127.19.18.{nth}");
        // Within the timeout of a request, and longer than anybody waits for a place.
        fakes.push(serve_long(&address, Fake { takes: Duration::from_secs(4), ..Fake::default() }).await);
        pods.push(pod(&format!("long-{nth}"), &address));
    }
    let mut passes = Passes::of(json!({"selector": {}, "staleAfter": "1h"}), pods);
    assert_eq!(passes.next().await.collected, 5);
    assert!(fakes.iter().all(|fake| fake.groups.lock().unwrap().len() == 4000));
}

#[tokio::test(start_paused = true)]
async fn of_very_many_stale_groups_a_part_is_removed_at_a_time_until_all_are_gone() {
    let fake = serve("127.19.18.11", &[], Fake::default()).await;
    let stale = (0..102).map(|nth| (format!("{nth:05000}"), (NOW - 4000).to_string()));
    fake.groups.lock().unwrap().extend(stale);
    let mut passes = Passes::of(json!({"selector": {}, "staleAfter": "1h"}), vec![pod("one", "127.19.18.11")]);
    for left in [76, 50, 24] {
        let report = passes.next().await;
        assert_eq!((report.groups, report.stale, report.collected), (left, left, 26));
        assert_eq!((report.failed, report.has_more_to_do), (0, true), "it works as it should, look after look");
    }
    let report = passes.next().await;
    assert_eq!((report.groups, report.stale, report.failed, report.has_more_to_do), (0, 0, 0, false));
    let page = passes.collector.metrics.page().unwrap();
    assert!(!page.contains("collection_failures_total{"), "{page}");
    assert!(fake.groups.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_dry_run_over_very_many_stale_groups_leaves_nothing_to_do() {
    let fake = serve("127.19.18.12", &[], Fake::default()).await;
    let stale = (0..50).map(|nth| (format!("{nth:05000}"), (NOW - 4000).to_string()));
    fake.groups.lock().unwrap().extend(stale);
    let spec = json!({"selector": {}, "staleAfter": "1h", "dryRun": true});
    let mut passes = Passes::of(spec, vec![pod("one", "127.19.18.12")]);
    passes.next().await;
    let report = passes.next().await;
    assert_eq!((report.stale, report.failed, report.would_go.len()), (50, 0, 5));
}
