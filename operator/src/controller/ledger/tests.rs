//! The account, alone and across processes.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn status(collected: i64, unseen: i64, last: Option<i64>) -> PushGroupStatus {
    PushGroupStatus {
        collected_total: Some(collected),
        unseen_total: Some(unseen),
        last_unseen_time: last.map(|last| Time(at(last))),
        ..PushGroupStatus::default()
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn ending(uid: &str, groups: u32, finished: i64) -> Ending {
    Ending { pod: uid.to_owned(), uid: uid.to_owned(), groups, finished: at(finished) }
}

/// A ledger that has begun to write three collected groups and one pod.
fn begun() -> Ledger {
    let mut ledger = Ledger::default();
    ledger.add(3);
    ledger.ended(ending("a", 2, 50));
    assert_eq!(ledger.settle(&status(7, 1, None), "1"), []);
    let due = ledger.due(&status(7, 1, None), None);
    assert_eq!((due.collected, due.unseen()), (3, 2));
    ledger.begin(&status(10, 3, Some(50)), due, "1");
    ledger
}

#[track_caller]
fn is_short_of(ledger: &Ledger, collected: i64, unseen: i64) {
    let due = ledger.due(&status(0, 0, None), None);
    assert_eq!((due.collected, due.unseen()), (collected, unseen));
}

#[test]
fn what_is_written_is_not_written_again() {
    let mut ledger = begun();
    ledger.add(2);
    assert_eq!(ledger.written(), [ending("a", 2, 50)]);
    is_short_of(&ledger, 2, 0);
    ledger.ended(ending("a", 2, 50));
    is_short_of(&ledger, 2, 0);
}

#[test]
fn what_is_refused_stays() {
    let mut ledger = begun();
    ledger.refused();
    is_short_of(&ledger, 3, 2);
}

#[test]
fn a_lost_answer_is_found_in_the_object() {
    let mut ledger = begun();
    assert_eq!(ledger.settle(&status(10, 3, Some(50)), "2"), [ending("a", 2, 50)]);
    is_short_of(&ledger, 0, 0);
}

#[test]
fn a_write_that_never_arrived_is_made_again() {
    let mut ledger = begun();
    assert_eq!(ledger.settle(&status(7, 1, None), "1"), []);
    is_short_of(&ledger, 3, 2);
    let mut ledger = begun();
    assert_eq!(ledger.settle(&status(7, 1, None), "2"), [], "somebody else wrote");
    is_short_of(&ledger, 3, 2);
}

#[test]
fn what_an_earlier_process_has_counted_is_not_counted_again() {
    let mut ledger = Ledger::default();
    for (uid, finished) in [("a", 40), ("b", 50), ("c", 60)] {
        ledger.ended(ending(uid, 1, finished));
    }
    let uids = |ledger: &Ledger, status: &PushGroupStatus, created| {
        ledger.due(status, created).endings.into_iter().map(|ending| ending.uid).collect::<Vec<_>>()
    };
    let known = status(0, 2, Some(50));
    assert_eq!(uids(&ledger, &known, None), ["c"]);
    assert_eq!(ledger.settle(&known, "1"), []);
    assert_eq!(uids(&ledger, &known, None), ["c"]);
    ledger.begin(&status(0, 3, Some(60)), ledger.due(&known, None), "1");
    assert_eq!(ledger.written().len(), 1);
    // One that ended before, and is seen only now, is new to this process all the same.
    ledger.ended(ending("d", 1, 55));
    assert_eq!(uids(&ledger, &status(0, 3, Some(60)), None), ["d"]);
    assert_eq!(uids(&ledger, &known, Some(at(56))), Vec::<String>::new(), "it is of an object that is gone");
}

#[test]
fn what_another_process_counted_between_two_terms_is_not_counted_again() {
    let mut ledger = begun();
    assert_eq!(ledger.written().len(), 1);
    ledger.may_be_behind();
    ledger.ended(ending("b", 1, 60));
    ledger.ended(ending("c", 1, 70));
    let known = status(10, 4, Some(60));
    assert_eq!(ledger.settle(&known, "9"), []);
    assert_eq!(ledger.due(&known, None).endings, [ending("c", 1, 70)]);
}

#[test]
fn pods_that_nobody_counts_are_remembered_up_to_a_limit() {
    let mut ledger = Ledger::default();
    for n in 0..10_000 {
        ledger.ended(ending(&n.to_string(), 1, n));
    }
    assert_eq!(ledger.noted.len(), MOST_PODS);
    assert!(ledger.noted.contains_key("9999"));
}

#[test]
fn counted_pods_are_remembered_up_to_a_limit() {
    let mut ledger = Ledger::default();
    assert_eq!(ledger.settle(&status(0, 0, None), "1"), []);
    let all = || (0_i64..10_000).map(|n| ending(&n.to_string(), 1, n + 1));
    let mut counted = 0;
    for ending in all() {
        ledger.ended(ending);
        let due = ledger.due(&status(0, 0, None), None);
        ledger.begin(&status(0, 0, None), due, "1");
        counted += ledger.written().len();
    }
    assert_eq!(counted, 10_000);
    assert!(ledger.counted.len() <= MOST_PODS);
    all().for_each(|ending| ledger.ended(ending));
    is_short_of(&ledger, 0, 0);
}

#[test]
fn an_ending_is_read_from_the_sidecars_state() {
    let pod = |name: &str, state: serde_json::Value| -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "etl-1", "uid": "uid"}, "status": {"initContainerStatuses": [
            {"name": name, "state": state, "ready": false, "restartCount": 0, "image": "", "imageID": ""},
        ]}}))
        .unwrap()
    };
    let ended = |message: &str| json!({"terminated": {"exitCode": 0, "message": message, "finishedAt": at(50)}});
    let found = Ending::of(&pod("sidegate", ended("2 groups unseen"))).unwrap();
    assert_eq!((found.groups, found.finished, found.uid.as_str()), (2, at(50), "uid"));
    assert_eq!(Ending::of(&pod("sidegate", ended(""))), None);
    assert_eq!(Ending::of(&pod("sidegate", json!({"running": {}}))), None);
    assert_eq!(Ending::of(&pod("app", ended("2 groups unseen"))), None, "anybody may write so");
}

/// What happens to the account and to the process that keeps it.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A pod ends, a second after the one before.
    Ends,
    /// All pods are listed anew.
    Relist,
    Writes(Write),
    /// Another process takes over, and lists all pods.
    Restarts,
}

#[derive(Clone, Copy, Debug)]
enum Write {
    Answered,
    AnswerLost,
    NeverArrives,
    Refused,
}

fn step() -> impl Strategy<Value = Step> {
    let write = prop_oneof![
        3 => Just(Write::Answered),
        1 => Just(Write::AnswerLost),
        1 => Just(Write::NeverArrives),
        1 => Just(Write::Refused),
    ];
    prop_oneof![3 => Just(Step::Ends), 1 => Just(Step::Relist), 4 => write.prop_map(Step::Writes), 1 => Just(Step::Restarts)]
}

proptest! {
    #[test]
    fn each_pod_counts_once_whatever_happens(steps in prop::collection::vec(step(), 0..60)) {
        let (mut ledger, mut object, mut version) = (Ledger::default(), status(0, 0, None), 0);
        let (mut pods, mut told) = (Vec::new(), BTreeSet::new());
        let write = |ledger: &mut Ledger, object: &mut PushGroupStatus, version: &mut u32, how| {
            let mut counted = ledger.settle(object, &version.to_string());
            let due = ledger.due(object, None);
            let unseen = object.unseen_total.unwrap() + due.unseen();
            let last = due.endings.iter().map(|ending| ending.finished.as_second());
            let last = last.chain(object.last_unseen_time.as_ref().map(|time| time.0.as_second())).max();
            let next = status(0, unseen, last);
            ledger.begin(&next, due, &version.to_string());
            if matches!(how, Write::Answered | Write::AnswerLost) {
                (*object, *version) = (next, *version + 1);
            }
            match how {
                Write::Answered => counted.extend(ledger.written()),
                Write::Refused => ledger.refused(),
                Write::AnswerLost | Write::NeverArrives => {}
            }
            counted
        };
        for step in steps {
            let list = |ledger: &mut Ledger, pods: &[Ending]| pods.iter().cloned().for_each(|pod| ledger.ended(pod));
            match step {
                Step::Ends => {
                    let n = pods.len();
                    pods.push(ending(&n.to_string(), 1, 100 + i64::try_from(n).unwrap()));
                    list(&mut ledger, &pods[n..]);
                }
                Step::Relist => list(&mut ledger, &pods),
                Step::Restarts => {
                    ledger = Ledger::default();
                    list(&mut ledger, &pods);
                }
                Step::Writes(how) => {
                    for ending in write(&mut ledger, &mut object, &mut version, how) {
                        prop_assert!(told.insert(ending.uid.clone()), "{} is told twice", ending.uid);
                    }
                }
            }
            prop_assert!(object.unseen_total.unwrap() <= i64::try_from(pods.len()).unwrap());
        }
        write(&mut ledger, &mut object, &mut version, Write::Answered);
        // Pods that end one after the other are all counted.
        prop_assert_eq!(object.unseen_total.unwrap(), i64::try_from(pods.len()).unwrap());
    }
}
