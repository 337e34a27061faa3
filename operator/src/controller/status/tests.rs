//! Conditions and counts, from facts to status.

use crds::status::{READY_BY, REASONS};
use serde_json::json;

use super::*;
use crate::{
    audit::missing::MissingPods,
    controller::{ledger::Ending, plan::Kind},
    monitors::{
        Owner,
        monitoring::Monitoring,
        selection::{Selection, tests::prometheus},
    },
};

const NOW: Timestamp = Timestamp::constant(1_790_000_000, 700_000_000);

fn pass() -> PassReport {
    PassReport {
        ended: NOW,
        targets: 2,
        groups: 5,
        newest_push: Some(1_789_999_990.9),
        has_limits: true,
        generation: Some(3),
        ..PassReport::default()
    }
}

static NOTHING_DUE: Due = Due { collected: 0, endings: Vec::new() };
const ASSIGNED: Assigned = Assigned { waiting: 0, refused: None };

fn facts(monitors: &Outcome, pass: Option<PassReport>) -> Facts<'_> {
    Facts {
        mode: Mode::Pod,
        generation: Some(3),
        sidecars: Some(Sidecars { running: 2, outdated: 1 }),
        monitors,
        assigned: &ASSIGNED,
        overlaps: &[],
        shared: Sharing::default(),
        not_injected: Some(MissingPods::default()),
        takers: None,
        has_timestamps: false,
        pass,
        due: &NOTHING_DUE,
        by_url: false,
    }
}

/// The conditions as `Type=Status Reason`.
fn conditions(status: &PushGroupStatus) -> Vec<String> {
    for Condition { type_, status, reason, .. } in &status.conditions {
        let is_documented = REASONS.iter().any(|(condition, known, reasons)| {
            let is_ready_by = type_ == condition::READY && *known == "False" && READY_BY.contains(condition);
            (type_ == condition || is_ready_by) && status == known && reasons.contains(&reason.as_str())
        });
        assert!(is_documented, "expected {type_}={status} {reason} in crds::status::REASONS, found none");
    }
    let print = |condition: &Condition| format!("{}={} {}", condition.type_, condition.status, condition.reason);
    status.conditions.iter().map(print).collect()
}

#[track_caller]
fn check(monitors: Outcome, pass: Option<PassReport>, expected: [&str; 3]) {
    let status = next(&PushGroupStatus::default(), &facts(&monitors, pass), NOW);
    let [ready, synced, collected] = expected;
    let (assigned, seen) = ("PodsAssigned=True AllAssigned", "AllSeen=True NothingUnseen");
    let injected = "PodsInjected=True AllInjected";
    assert_eq!(conditions(&status), [ready, synced, assigned, injected, collected, seen]);
}

#[test]
fn conditions_follow_the_facts() {
    let applied = "MonitorsSynced=True Applied";
    let complete = "Collected=True PassComplete";
    check(Outcome::Applied, Some(pass()), ["Ready=True AsAsked", applied, complete]);
    check(Outcome::Applied, None, ["Ready=True AsAsked", applied, "Collected=Unknown NoPassYet"]);
    check(Outcome::NotWanted, Some(pass()), ["Ready=True AsAsked", "MonitorsSynced=True NotWanted", complete]);
    let absent = ["Ready=False MonitoringApiAbsent", "MonitorsSynced=False MonitoringApiAbsent", complete];
    check(Outcome::ApiAbsent, Some(pass()), absent);
    let foreign = ["Ready=False ForeignObject", "MonitorsSynced=False ForeignObject", complete];
    check(Outcome::foreign(Kind::Service, "sidegate-a"), Some(pass()), foreign);
    let failed = ["Ready=False ApplyFailed", "MonitorsSynced=False ApplyFailed", complete];
    check(Outcome::Failed("Service: no".to_owned()), Some(pass()), failed);
    let incomplete = PassReport { failed: 1, ..pass() };
    check(
        Outcome::Applied,
        Some(incomplete),
        ["Ready=False PassIncomplete", applied, "Collected=False PassIncomplete"],
    );
    let more = PassReport { has_more_to_do: true, stale: 2, ..pass() };
    check(Outcome::Applied, Some(more), ["Ready=True AsAsked", applied, "Collected=True MoreToDo"]);
    let held = PassReport { is_held: true, stale: 2, failed: 1, ..pass() };
    check(Outcome::Applied, Some(held), ["Ready=False NotHeard", applied, "Collected=False NotHeard"]);
    let unlimited = PassReport { has_limits: false, ..pass() };
    check(Outcome::Applied, Some(unlimited), ["Ready=True AsAsked", applied, "Collected=True NoLimit"]);
    let bad = PassReport { bad_rule: Some("rule".to_owned()), has_limits: false, ..pass() };
    check(Outcome::Applied, Some(bad), ["Ready=False BadRule", applied, "Collected=False BadRule"]);
}

#[test]
fn a_dry_run_says_what_would_go() {
    let message = |stale, names: &[&str]| {
        let would_go = names.iter().map(|name| (*name).to_owned()).collect();
        let pass = PassReport { dry_run: true, stale, would_go, ..pass() };
        let status = next(&PushGroupStatus::default(), &facts(&Outcome::Applied, Some(pass)), NOW);
        status.conditions.iter().find(|known| known.type_ == "Collected").unwrap().message.clone()
    };
    let start = "Every sidecar was looked at; dryRun: nothing is removed, ";
    assert_eq!(message(0, &[]), format!("{start}and nothing would be"));
    assert_eq!(message(2, &["a", "b"]), format!("{start}2 would be: a; b"));
    assert_eq!(message(9, &["a", "b"]), format!("{start}9 would be: a; b; and 7 more"));
}

#[test]
fn what_a_look_has_found_is_of_the_generation_that_was_looked_by() {
    let observed = |generation: Option<i64>| {
        let pass = PassReport { generation, failed: 1, ..pass() };
        let status = next(&PushGroupStatus::default(), &facts(&Outcome::Applied, Some(pass)), NOW);
        assert_eq!(status.observed_generation, Some(3));
        let observed = |type_| status.conditions.iter().find(|known| known.type_ == type_).unwrap().observed_generation;
        [condition::READY, condition::COLLECTED, condition::MONITORS_SYNCED, condition::PODS_ASSIGNED].map(observed)
    };
    assert_eq!(observed(Some(2)), [Some(2), Some(2), Some(3), Some(3)]);
    assert_eq!(observed(Some(3)), [Some(3); 4]);
    assert_eq!(observed(Some(4)), [Some(3); 4], "a look that was faster");
}

#[test]
fn counts_and_times_are_those_of_the_last_pass() {
    let monitors = Outcome::Applied;
    let status = next(&PushGroupStatus::default(), &facts(&monitors, Some(pass())), NOW);
    assert_eq!((status.sidecars, status.outdated_sidecars), (Some(2), Some(1)));
    assert_eq!((status.groups, status.stale_groups), (Some(5), Some(0)));
    assert_eq!(status.newest_push_time.as_ref().unwrap().0, Timestamp::from_second(1_789_999_990).unwrap());
    assert_eq!(status.last_collection_time.as_ref().unwrap().0, Timestamp::from_second(1_790_000_000).unwrap());
    assert_eq!((status.observed_generation, status.mode.as_deref()), (Some(3), Some("Pod")));

    let without = next(&status, &Facts { sidecars: None, ..facts(&monitors, None) }, NOW);
    assert_eq!(worth_writing(&status, &without, NOW), Worth::Nothing, "a restart changes nothing by itself");
    let older = PassReport { newest_push: Some(5.0), ..pass() };
    assert_eq!(next(&status, &facts(&monitors, Some(older)), NOW).newest_push_time, status.newest_push_time);
}

#[test]
fn a_status_reads_back_equal() {
    let monitors = Outcome::Applied;
    let status = next(&PushGroupStatus::default(), &facts(&monitors, Some(pass())), NOW);
    let read: PushGroupStatus = serde_json::from_value(serde_json::to_value(&status).unwrap()).unwrap();
    assert_eq!(read, status);
}

#[test]
fn collected_groups_add_up() {
    let monitors = Outcome::Applied;
    let previous = PushGroupStatus { collected_total: Some(7), unseen_total: Some(1), ..PushGroupStatus::default() };
    let finished = Timestamp::from_second(NOW.as_second() - 5).unwrap();
    let ending = Ending { pod: "a".to_owned(), uid: "a".to_owned(), groups: 2, finished };
    let due = Due { collected: 3, endings: vec![ending] };
    let status = next(&previous, &Facts { due: &due, ..facts(&monitors, None) }, NOW);
    assert_eq!((status.collected_total, status.unseen_total), (Some(10), Some(3)));
    assert_eq!(status.last_unseen_time, Some(Time(finished)));
    assert_eq!(conditions(&status).last().map(String::as_str), Some("AllSeen=False GroupsUnseen"));
    let later = next(&status, &facts(&monitors, None), NOW);
    assert_eq!((later.unseen_total, conditions(&later)), (Some(3), conditions(&status)), "it stands for a while");
}

#[test]
fn a_condition_keeps_its_time_while_its_status_stays() {
    let (applied, absent) = (Outcome::Applied, Outcome::ApiAbsent);
    let first = next(&PushGroupStatus::default(), &facts(&applied, Some(pass())), NOW);
    let later = NOW + SignedDuration::from_secs(10);
    let second = next(&first, &facts(&absent, Some(pass())), later);
    let time = |status: &PushGroupStatus, type_: &str| {
        status.conditions.iter().find(|condition| condition.type_ == type_).unwrap().last_transition_time.0.as_second()
    };
    assert_eq!(time(&first, "Collected"), 1_790_000_000);
    assert_eq!(time(&second, "Collected"), 1_790_000_000);
    assert_eq!(time(&second, "MonitorsSynced"), 1_790_000_010);
}

#[test]
fn the_time_of_collection_alone_is_written_once_a_minute() {
    let monitors = Outcome::Applied;
    let first = next(&PushGroupStatus::default(), &facts(&monitors, Some(pass())), NOW);
    let after = |seconds: i64| {
        let now = NOW + SignedDuration::from_secs(seconds);
        worth_writing(&first, &next(&first, &facts(&monitors, Some(PassReport { ended: now, ..pass() })), now), now)
    };
    assert_eq!([10, 59, 61].map(after), [Worth::Nothing, Worth::Nothing, Worth::Counts]);
}

#[test]
fn counts_may_wait_and_nothing_else() {
    let monitors = Outcome::Applied;
    let status = next(&PushGroupStatus::default(), &facts(&monitors, Some(pass())), NOW);
    let now = NOW + SignedDuration::from_secs(10);
    let worth = |facts: Facts<'_>| worth_writing(&status, &next(&status, &facts, now), now);
    let with = |pass| facts(&monitors, Some(PassReport { ended: now, ..pass }));
    let sidecars = Some(Sidecars { running: 3, outdated: 2 });
    assert_eq!(worth(Facts { sidecars, ..facts(&monitors, Some(pass())) }), Worth::Counts);
    assert_eq!(worth(with(PassReport { groups: 6, stale: 1, ..pass() })), Worth::Counts);
    assert_eq!(worth(with(PassReport { failed: 1, ..pass() })), Worth::More, "a condition");
    let due = Due { collected: 1, ..Due::default() };
    assert_eq!(worth(Facts { due: &due, ..facts(&monitors, Some(pass())) }), Worth::More, "a total");
    assert_eq!(worth(Facts { generation: Some(4), ..facts(&monitors, Some(pass())) }), Worth::More);
    assert_eq!(worth_writing(&PushGroupStatus::default(), &status, NOW), Worth::More);
}

#[test]
fn the_time_of_a_push_alone_is_written_once_a_minute() {
    let monitors = Outcome::Applied;
    let first = next(&PushGroupStatus::default(), &facts(&monitors, Some(pass())), NOW);
    let after = |seconds: i64| {
        let now = NOW + SignedDuration::from_secs(seconds);
        let pass = PassReport { ended: now, newest_push: Some(now.as_duration().as_secs_f64()), ..pass() };
        worth_writing(&first, &next(&first, &facts(&monitors, Some(pass)), now), now)
    };
    assert_eq!([10, 59, 61].map(after), [Worth::Nothing, Worth::Nothing, Worth::Counts]);
}

#[test]
fn a_push_of_the_future_is_not_the_newest() {
    let monitors = Outcome::Applied;
    let pushed = |previous: &PushGroupStatus, ahead: f64| {
        let pass = PassReport { newest_push: Some(1_790_000_000.7 + ahead), ..pass() };
        next(previous, &facts(&monitors, Some(pass)), NOW).newest_push_time.map(|time| time.0.as_second())
    };
    let none = PushGroupStatus::default();
    assert_eq!(pushed(&none, 59.0), Some(1_790_000_059), "clocks differ a little");
    assert_eq!(pushed(&none, 3600.0), None);
    let future = Some(Time(NOW + SignedDuration::from_hours(1)));
    let wrong = PushGroupStatus { newest_push_time: future, ..PushGroupStatus::default() };
    assert_eq!(pushed(&wrong, -10.0), Some(1_789_999_990), "one that was written is put right");
}

#[test]
fn a_thousand_pods_are_too_many_for_endpoints() {
    let reason = |outcome: Outcome, running| {
        let facts = Facts { sidecars: Some(Sidecars { running, outdated: 0 }), ..facts(&outcome, Some(pass())) };
        conditions(&next(&PushGroupStatus::default(), &facts, NOW)).swap_remove(1)
    };
    assert_eq!(reason(Outcome::AppliedByEndpoints, 900), "MonitorsSynced=True Applied");
    assert_eq!(reason(Outcome::AppliedByEndpoints, 901), "MonitorsSynced=False TooManyMembers");
    assert_eq!(reason(Outcome::Applied, 901), "MonitorsSynced=True Applied");
}

/// The two conditions about Prometheuses, with their messages; the group has pushed timestamps.
fn about_takers(previous: &PushGroupStatus, takers: Takers) -> [String; 2] {
    let monitors = Outcome::Applied;
    let facts = Facts { takers: Some(takers), has_timestamps: true, ..facts(&monitors, Some(pass())) };
    let conditions = next(previous, &facts, NOW).conditions;
    assert_eq!(conditions[0].status, "True", "others than Prometheus may read the monitor");
    let told = |type_: &str| {
        let found = conditions.iter().find(|condition| condition.type_ == type_).unwrap();
        format!("{} {}: {}", found.status, found.reason, found.message)
    };
    [told(condition::SELECTED_BY_PROMETHEUS), told(condition::HONOR_LABELS_OVERRIDDEN)]
}

fn asked(spec: serde_json::Value) -> Takers {
    let group = crate::monitors::tests::group();
    Monitoring::of(vec![prometheus(spec)])
        .takers(&Owner::of(&group).unwrap().monitored(group.spec.scrape.kind).unwrap())
}

#[test]
fn whoever_takes_the_monitor_is_named_with_what_it_overrides() {
    let with = |more: serde_json::Value| {
        let mut spec = json!({"serviceMonitorSelector": {}, "serviceMonitorNamespaceSelector": {}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        about_takers(&PushGroupStatus::default(), asked(spec))
    };
    assert_eq!(
        with(json!({})),
        ["True Selected: Taken by Prometheus monitoring/main", "False AsPushed: What was pushed arrives as pushed"]
    );
    assert_eq!(
        with(json!({"overrideHonorLabels": true, "overrideHonorTimestamps": true}))[1],
        "True OverrideHonorLabels: Prometheus monitoring/main has overrideHonorLabels: pushed job and instance arrive \
         as exported_job and exported_instance"
    );
    assert_eq!(
        with(json!({"overrideHonorTimestamps": true}))[1],
        "True OverrideHonorTimestamps: Prometheus monitoring/main has overrideHonorTimestamps: pushed timestamps are \
         replaced by the time of the scrape"
    );
    assert_eq!(
        with(json!({"enforcedNamespaceLabel": "tenant"}))[1],
        "True EnforcedNamespaceLabel: Prometheus monitoring/main has enforcedNamespaceLabel tenant: a pushed tenant is \
         replaced by the namespace"
    );
    assert_eq!(
        with(json!({"enforcedNamespaceLabel": "namespace"}))[1],
        "False AsPushed: What was pushed arrives as pushed"
    );
    let exempting = |namespace: &str| {
        let excluded = json!([{"resource": "servicemonitors", "namespace": namespace}]);
        with(json!({"enforcedNamespaceLabel": "tenant", "excludedFromEnforcement": excluded}))[1].clone()
    };
    assert_eq!(exempting("data"), "False AsPushed: What was pushed arrives as pushed");
    assert!(exempting("web").starts_with("True EnforcedNamespaceLabel: "));
}

#[test]
fn nobody_takes_a_monitor_that_is_not_there() {
    let takers = asked(json!({"serviceMonitorSelector": {}, "serviceMonitorNamespaceSelector": {}}));
    let unfit = Outcome::ServiceUnfit { what: "no".to_owned(), stands: false };
    for monitors in
        [Outcome::foreign(Kind::ServiceMonitor, "sidegate-a"), Outcome::foreign(Kind::PodMonitor, "sidegate-a"), unfit]
    {
        let facts = Facts { takers: Some(takers.clone()), ..facts(&monitors, Some(pass())) };
        let conditions = conditions(&next(&PushGroupStatus::default(), &facts, NOW));
        for told in ["SelectedByPrometheus=Unknown NoMonitor", "HonorLabelsOverridden=Unknown NotSelected"] {
            assert!(conditions.contains(&told.to_owned()), "{conditions:?}");
        }
    }
}

#[test]
fn a_monitor_that_is_there_is_taken_whatever_else_is_wrong() {
    let takers = asked(json!({"serviceMonitorSelector": {}, "serviceMonitorNamespaceSelector": {}}));
    for monitors in [
        Outcome::foreign(Kind::ConfigMap, "sidegate-trust"),
        Outcome::foreign(Kind::Service, "sidegate-a"),
        Outcome::foreign(Kind::NetworkPolicy, "sidegate-a"),
        Outcome::ServiceUnfit { what: "no".to_owned(), stands: true },
    ] {
        let facts = Facts { takers: Some(takers.clone()), ..facts(&monitors, Some(pass())) };
        let conditions = conditions(&next(&PushGroupStatus::default(), &facts, NOW));
        for told in ["SelectedByPrometheus=True Selected", "HonorLabelsOverridden=False AsPushed"] {
            assert!(conditions.contains(&told.to_owned()), "{monitors:?}: {conditions:?}");
        }
    }
}

#[test]
fn the_monitor_of_a_gateway_says_whether_it_stands_and_who_has_it() {
    let told = |monitors: Outcome, shared: Sharing| {
        let facts = Facts { mode: Mode::Gateway, shared, ..facts(&monitors, None) };
        let status = next(&PushGroupStatus::default(), &facts, NOW);
        let mut all = conditions(&status);
        all.retain(|one| one.starts_with("MonitorsSynced") || one.starts_with("Overlapping"));
        let synced = status.conditions.iter().find(|known| known.type_ == "MonitorsSynced").unwrap();
        (all.join(", "), synced.message.clone())
    };
    let unfit = |stands| Outcome::ServiceUnfit { what: "no Secret".to_owned(), stands };
    let synced = "MonitorsSynced=False ServiceUnfit".to_owned();
    assert_eq!(told(unfit(false), Sharing::default()), (synced.clone(), "No monitor: no Secret".to_owned()));
    let stands = "The monitor stands, made by what was known of the gateway before: no Secret".to_owned();
    assert_eq!(told(unfit(true), Sharing::default()), (synced, stands));
    let shared = Sharing { others: vec!["a".to_owned()], monitor_of: Some("a".to_owned()) };
    let left = "PushGroup a, which is older, names the same gateway, and has its monitor".to_owned();
    let both = "MonitorsSynced=True OlderPushGroup, Overlapping=True SharedGateway".to_owned();
    assert_eq!(told(Outcome::LeftToOlder("a".to_owned()), shared), (both, left));
}

#[test]
fn a_monitor_that_nobody_takes_says_why() {
    let nobody = "Unknown NotSelected: No Prometheus is known to take the monitor";
    let found = |takers: Takers| {
        let [selected, overridden] = about_takers(&PushGroupStatus::default(), takers);
        assert_eq!(overridden, nobody);
        selected
    };
    assert_eq!(
        found(asked(json!({"serviceMonitorSelector": {"matchLabels": {"release": "other"}}}))),
        "False NotSelected: Prometheus monitoring/main wants release=other (found release=stack) as labels of the \
         ServiceMonitor"
    );
    let many = Selection { refusals: ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec(), ..Selection::default() };
    assert_eq!(found(Takers::Asked(many)), "False NotSelected: a; b; c; and 2 more");
    let none = "False NoPrometheus: There is no Prometheus object that could take the monitor";
    assert_eq!(found(Takers::Asked(Selection::default())), none);
    assert!(found(Takers::Absent).starts_with("Unknown PrometheusApiAbsent: The API server does not know Prometheus"));
    assert!(
        found(Takers::Forbidden).starts_with("Unknown PrometheusNotReadable: The operator may not list Prometheuses")
    );
}

#[test]
fn what_was_known_of_prometheuses_stands_until_they_are_listed_again() {
    let monitors = Outcome::Applied;
    let at_first = about_takers(&PushGroupStatus::default(), Takers::NotListed);
    assert!(at_first.iter().all(|told| told.starts_with("Unknown NotLookedAtYet: ")), "{at_first:?}");
    let takers = Some(asked(json!({"serviceMonitorSelector": {}, "serviceMonitorNamespaceSelector": {}})));
    let known = next(&PushGroupStatus::default(), &Facts { takers, ..facts(&monitors, Some(pass())) }, NOW);
    let restarted = Facts { takers: Some(Takers::NotListed), ..facts(&monitors, Some(pass())) };
    assert_eq!(worth_writing(&known, &next(&known, &restarted, NOW), NOW), Worth::Nothing);
    let changed = Facts { generation: Some(4), ..restarted };
    let conditions = conditions(&next(&known, &changed, NOW));
    assert!(conditions.contains(&"SelectedByPrometheus=Unknown NotLookedAtYet".to_owned()), "{conditions:?}");
}

#[test]
fn pods_without_a_sidecar_are_told_and_heal_and_the_group_is_ready_all_the_same() {
    let told = |previous: &PushGroupStatus, not_injected: Option<MissingPods>| {
        let status = next(previous, &Facts { not_injected, ..facts(&Outcome::Applied, Some(pass())) }, NOW);
        let ready = conditions(&status).swap_remove(0);
        assert_eq!(ready, "Ready=True AsAsked");
        let found = status.conditions.iter().find(|found| found.type_ == "PodsInjected").unwrap().clone();
        (status, found.status, found.reason, found.message)
    };
    let missing = |pods: u64, named: &[&str]| {
        Some(MissingPods { pods, named: named.iter().map(|name| (*name).to_owned()).collect() })
    };
    let nothing = PushGroupStatus::default();
    let (_, status, reason, _) = told(&nothing, None);
    assert_eq!((status.as_str(), reason.as_str()), ("Unknown", "NotLookedAtYet"));
    let (_, _, _, message) = told(&nothing, missing(1, &["a"]));
    assert!(
        message.starts_with("1 pod that asks for a sidecar of this PushGroup has none: a; the webhook"),
        "{message}"
    );
    let (known, status, reason, message) = told(&nothing, missing(5, &["a", "b", "c"]));
    assert_eq!((status.as_str(), reason.as_str()), ("False", "SidecarsMissing"));
    assert!(message.starts_with("5 pods that ask for a sidecar of this PushGroup have none: a, b, c and 2 more; the"));
    // The next leader has not looked yet.
    assert_eq!(told(&known, None).2, "SidecarsMissing");
    let (_, status, reason, _) = told(&known, missing(0, &[]));
    assert_eq!((status.as_str(), reason.as_str()), ("True", "AllInjected"));
}
