//! Visits that end before they are done: the end was asked for, the term may be over, the `PushGroup` has changed.

use super::*;

/// Collects from one sidecar with two stale groups, and does something while the first is being removed, until enough
/// is done; the second stays.
async fn check_cut_short(
    address: &str,
    meanwhile: impl AsyncFnOnce(&stop::StopSender, &UnboundedSender<Event<PushGroup>>, &Cache<PushGroup>),
    enough: impl Fn(&Reports) -> bool,
) {
    let gate = Arc::new(Semaphore::new(0));
    let fake = Fake { gate: Some(gate.clone()), ..Fake::default() };
    let fake = serve(address, &[("a", 4000), ("b", 4000)], fake).await;
    let (groups, events) = watched(vec![group(json!({"selector": {}, "staleAfter": "1h"}))]);
    while groups.all().is_empty() {
        tokio::task::yield_now().await;
    }
    let mut passes = Passes::over(groups, vec![pod("one", address)]);
    let Passes { collector, agenda, stop, sender, .. } = &mut passes;
    let during = async {
        fake.removing.notified().await;
        meanwhile(sender, &events, &collector.groups).await;
        gate.add_permits(2);
        while !enough(&collector.reports) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), collector.collect_until(agenda, stop, during)).await.unwrap();
    assert_eq!(fake.groups.lock().unwrap().keys().collect::<Vec<_>>(), ["b"]);
    passes.page_has("sidegate_operator_collected_groups_total{limit=\"stale_after\",since=\"push\"} 1");
}

#[tokio::test]
async fn a_visit_that_is_stopped_tells_only_what_it_removed() {
    check_cut_short(
        "127.19.14.1",
        async |sender, _, _| sender.request(),
        |reports| {
            assert_eq!(reports.last("uid"), None);
            false
        },
    )
    .await;
}

#[tokio::test]
async fn a_pass_whose_term_may_end_within_a_request_removes_nothing_more() {
    let gate = Arc::new(Semaphore::new(0));
    let fake = Fake { gate: Some(gate.clone()), ..Fake::default() };
    let fake = serve("127.19.14.4", &[("a", 4000), ("b", 4000)], fake).await;
    let mut passes = Passes::of(json!({"selector": {}, "staleAfter": "1h"}), vec![pod("one", "127.19.14.4")]);
    let (terms, term) = Term::of_test();
    let Passes { collector, agenda, stop, .. } = &mut passes;
    let stop = stop.clone().within(term);
    let during = async {
        fake.removing.notified().await;
        let until = tokio::time::Instant::now() + LONGEST_WRITE;
        terms.send_modify(|held| held.as_mut().unwrap().until = until);
        gate.add_permits(2);
    };
    collector.collect_until(agenda, &stop, during).await;
    assert_eq!(fake.groups.lock().unwrap().keys().collect::<Vec<_>>(), ["b"]);
}

#[tokio::test]
async fn a_visit_ends_when_its_push_group_changes() {
    let change = async |_: &_, events: &UnboundedSender<_>, groups: &Cache<PushGroup>| {
        let mut dry = group(json!({"selector": {}, "staleAfter": "1h", "dryRun": true}));
        dry.metadata.generation = Some(2);
        events.unbounded_send(Event::Apply(dry)).unwrap();
        while groups.all()[0].metadata.generation != Some(2) {
            tokio::task::yield_now().await;
        }
    };
    let is_dry = |reports: &Reports| {
        let report = reports.last("uid").filter(|report| report.dry_run && report.targets == 1);
        report.is_some_and(|report| {
            assert_eq!((report.groups, report.stale), (1, 1));
            assert_eq!(reports.take_collected("uid"), 1);
            true
        })
    };
    check_cut_short("127.19.14.2", change, is_dry).await;
}

#[tokio::test]
async fn a_visit_ends_when_its_push_group_is_being_deleted() {
    let change = async |_: &_, events: &UnboundedSender<_>, groups: &Cache<PushGroup>| {
        let mut going = group(json!({"selector": {}, "staleAfter": "1h"}));
        going.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
        events.unbounded_send(Event::Apply(going)).unwrap();
        while !groups.all()[0].is_going() {
            tokio::task::yield_now().await;
        }
    };
    check_cut_short("127.19.14.5", change, |_| true).await;
}

#[tokio::test]
async fn a_visit_ends_when_its_pod_moves_to_another_push_group() {
    let gate = Arc::new(Semaphore::new(0));
    let fake = Fake { gate: Some(gate.clone()), ..Fake::default() };
    let fake = serve("127.19.14.5", &[("a", 4000), ("b", 4000)], fake).await;
    let mut passes = Passes::of(json!({"selector": {}, "staleAfter": "1h"}), vec![]);
    let (pods, events) = watched(vec![pod("one", "127.19.14.5")]);
    while pods.all().is_empty() {
        tokio::task::yield_now().await;
    }
    passes.collector.pods = pods.clone();
    let Passes { collector, agenda, stop, .. } = &mut passes;
    let during = async {
        fake.removing.notified().await;
        let mut moved = pod("one", "127.19.14.5");
        moved.labels_mut().insert("sidegate.dev/pushgroup".to_owned(), "another".to_owned());
        events.unbounded_send(Event::Apply(moved)).unwrap();
        while pods.of_group("data", Some("another")).is_empty() {
            tokio::task::yield_now().await;
        }
        gate.add_permits(2);
    };
    tokio::time::timeout(Duration::from_secs(60), collector.collect_until(agenda, stop, during)).await.unwrap();
    assert_eq!(fake.groups.lock().unwrap().keys().collect::<Vec<_>>(), ["b"], "the limits of the other may be others");
}

#[tokio::test]
async fn a_visit_ends_when_its_push_group_is_gone() {
    let remove = async |_: &_, events: &UnboundedSender<_>, groups: &Cache<PushGroup>| {
        let gone = group(json!({"selector": {}, "staleAfter": "1h"}));
        events.unbounded_send(Event::Delete(gone)).unwrap();
        while !groups.all().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    // What has begun is waited for.
    check_cut_short("127.19.14.3", remove, |_| true).await;
}
