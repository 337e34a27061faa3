//! The agenda, with visits that end as the test says.

use std::net::Ipv4Addr;

use serde_json::json;

use super::*;
use crate::gc::targets::Target;

const INTERVAL: Duration = Duration::from_secs(10);

fn group(generation: i64) -> Arc<PushGroup> {
    group_of("uid", generation)
}

fn group_of(uid: &str, generation: i64) -> Arc<PushGroup> {
    let object = json!({
        "apiVersion": "sidegate.dev/v1alpha1", "kind": "PushGroup",
        "metadata": {"namespace": "data", "name": "nightly", "uid": uid, "generation": generation},
        "spec": {"selector": {}, "staleAfter": "1h"},
    });
    Arc::new(serde_json::from_value(object).unwrap())
}

fn target(number: usize) -> CollectionTarget {
    let (pod, uid) = (format!("pod-{number}"), format!("uid-{number}"));
    CollectionTarget::Sidecar(Target { pod, uid, address: Ipv4Addr::LOCALHOST.into(), restarts: 0 })
}

fn targets(count: usize) -> Vec<CollectionTarget> {
    (0..count).map(target).collect()
}

/// An agenda with so many targets of one group.
fn filled(count: usize, now: Instant) -> Agenda {
    let mut agenda = Agenda::new(INTERVAL);
    agenda.take_over(vec![(group(1), Some(targets(count)))], now);
    agenda
}

/// A target was read and has a group.
fn report() -> PassReport {
    PassReport { targets: 1, groups: 1, ..PassReport::default() }
}

fn went(agenda: &mut Agenda, visit: &Visit, went: Went, now: Instant) {
    let look = (went == Went::Well).then_some(Look { at: now, first_staleness: None });
    let report = if look.is_some() { report() } else { PassReport { targets: 1, ..PassReport::default() } };
    agenda.ended(visit, &report, look, went, now);
}

const BADLY: Went = Went::Badly { is_cheap: false };

/// Makes all visits that are due until a moment, each at its moment; how many there were.
fn visit_all(agenda: &mut Agenda, end: Went, until: Instant) -> usize {
    let mut visits = 0;
    while let Some(now) = agenda.next().filter(|next| *next <= until) {
        agenda.news(now, Timestamp::UNIX_EPOCH);
        for visit in agenda.due(now) {
            went(agenda, &visit, end, now);
            visits += 1;
        }
    }
    visits
}

#[test]
fn all_are_due_at_the_start_as_far_as_there_are_places() {
    let now = Instant::now();
    let mut agenda = filled(PLACES + 5, now);
    let visits = agenda.due(now);
    assert_eq!(visits.len(), PLACES);
    assert!(agenda.due(now).is_empty());
    went(&mut agenda, &visits[0], Went::Well, now);
    assert_eq!(agenda.due(now).len(), 1);
}

#[test]
fn those_that_failed_have_places_of_their_own() {
    let now = Instant::now();
    let mut agenda = filled(PLACES, now);
    for visit in agenda.due(now) {
        went(&mut agenda, &visit, BADLY, now);
    }
    // All of them, and the same number of others, are due.
    let later = now + Duration::from_secs(1000);
    agenda.take_over(vec![(group(1), Some(targets(2 * PLACES)))], later - SOON);
    let visits = agenda.due(later);
    let is_new = |visit: &&Visit| visit.target.id().trim_start_matches("uid-").parse::<usize>().unwrap() >= PLACES;
    assert_eq!(visits.iter().filter(is_new).count(), PLACES, "none of them waits for those that fail");
    assert_eq!(visits.len(), PLACES + PLACES_OF_COSTLY);
    // One that answers again is among the others from then on.
    let failed = visits.iter().find(|visit| !is_new(visit)).unwrap();
    went(&mut agenda, failed, Went::Well, later);
    assert_eq!((agenda.costly.taken, agenda.answering.taken), (PLACES_OF_COSTLY - 1, PLACES));
    assert_eq!(agenda.due(later).len(), 1);
}

#[test]
fn those_that_take_long_stand_with_those_that_failed_and_are_no_failures() {
    let start = Instant::now();
    let mut agenda = filled(PLACES, start);
    let visits = agenda.due(start);
    let slow = start + LONG + Duration::from_millis(1);
    for visit in &visits {
        went(&mut agenda, visit, Went::Well, slow);
    }
    let told = agenda.all_news(slow, Timestamp::UNIX_EPOCH);
    assert_eq!((told[0].report.targets, told[0].report.failed), (PLACES as u64, 0));
    let later = start + INTERVAL * 10;
    let visits = agenda.due(later);
    assert_eq!((visits.len(), agenda.answering.taken), (PLACES_OF_COSTLY, 0));
    // One that is quick again is among the others from then on.
    went(&mut agenda, &visits[0], Went::Well, later + LONG);
    assert_eq!(agenda.due(later + INTERVAL * 10).len(), 2);
    assert_eq!((agenda.costly.taken, agenda.answering.taken), (PLACES_OF_COSTLY, 1));
}

#[test]
fn looks_are_as_rare_as_staleness_and_counts_allow() {
    let start = Instant::now();
    let mut agenda = filled(10, start);
    assert_eq!(visit_all(&mut agenda, Went::Well, start), 10);
    let visits = visit_all(&mut agenda, Went::Well, start + INTERVAL * 100);
    assert!((800..=1340).contains(&visits), "once an interval, more or less: {visits}");

    let mut agenda = filled(2000, start);
    assert_eq!(visit_all(&mut agenda, Went::Well, start), 2000);
    let visits = visit_all(&mut agenda, Went::Well, start + Duration::from_secs(1000));
    assert!((16_000..=26_800).contains(&visits), "some twenty a second: {visits}");
}

#[test]
fn the_first_report_waits_until_all_were_looked_at_but_not_for_ever() {
    let now = Instant::now();
    let mut agenda = filled(2, now);
    let visits = agenda.due(now);
    went(&mut agenda, &visits[0], Went::Well, now);
    assert!(agenda.news(now, Timestamp::UNIX_EPOCH).is_empty());
    went(&mut agenda, &visits[1], Went::Well, now);
    let told = agenda.news(now, Timestamp::UNIX_EPOCH);
    assert_eq!((told.len(), told[0].report.targets, told[0].report.groups), (1, 2, 2));

    let mut agenda = filled(2, now);
    let visits = agenda.due(now);
    went(&mut agenda, &visits[0], Went::Well, now);
    let told = agenda.news(now + FIRST_PATIENCE, Timestamp::UNIX_EPOCH);
    assert_eq!((told.len(), told[0].report.targets), (1, 1), "the other one hangs");
}

#[test]
fn a_report_is_told_once_an_interval_and_only_if_it_says_something_new() {
    let start = Instant::now();
    let mut agenda = filled(1, start);
    let mut look = |now, groups, newest| {
        let mut agenda_visits = agenda.due(now);
        agenda.everybody_is_due(now);
        agenda_visits.extend(agenda.due(now));
        let look = Some(Look { at: now, first_staleness: None });
        let report = PassReport { groups, newest_push: Some(newest), ..report() };
        agenda.ended(&agenda_visits[0], &report, look, Went::Well, now);
        agenda.news(now, Timestamp::UNIX_EPOCH).len()
    };
    assert_eq!(look(start, 1, 1.0), 1);
    assert_eq!(look(start + INTERVAL / 2, 2, 2.0), 0, "too soon");
    assert_eq!(look(start + INTERVAL, 2, 2.0), 1);
    assert_eq!(look(start + INTERVAL * 2, 2, 3.0), 0, "a time alone");
    assert_eq!(look(start + INTERVAL + TIMES_EVERY, 2, 3.0), 1);
}

#[test]
fn what_is_new_or_has_changed_is_looked_at_soon() {
    let start = Instant::now();
    let mut agenda = filled(1, start);
    visit_all(&mut agenda, Went::Well, start);
    let now = start + Duration::from_secs(1);
    let mut restarted = target(0);
    if let CollectionTarget::Sidecar(target) = &mut restarted {
        target.restarts = 1;
    }
    agenda.take_over(vec![(group(1), Some(vec![restarted.clone(), target(1)]))], now);
    assert!(agenda.due(now).is_empty());
    assert_eq!(agenda.due(now + SOON).len(), 2);

    // Nothing happens to those that are what they were.
    let mut agenda = filled(1, start);
    visit_all(&mut agenda, Went::Well, start);
    agenda.take_over(vec![(group(1), Some(targets(1)))], now);
    assert!(agenda.due(now + SOON).is_empty());
    // With another spec all may be different.
    agenda.take_over(vec![(group(2), Some(targets(1)))], now);
    assert_eq!(agenda.due(now).len(), 1);
}

#[test]
fn a_spec_that_changes_during_a_visit_makes_another_due_at_once() {
    let now = Instant::now();
    let mut agenda = filled(1, now);
    let visit = agenda.due(now).remove(0);
    agenda.take_over(vec![(group(2), Some(targets(1)))], now);
    went(&mut agenda, &visit, Went::CutShort, now);
    assert_eq!(agenda.due(now).len(), 1);
}

#[test]
fn what_was_known_of_who_is_gone_is_told_no_more() {
    let start = Instant::now();
    let mut agenda = filled(2, start);
    visit_all(&mut agenda, Went::Well, start);
    agenda.news(start, Timestamp::UNIX_EPOCH);
    agenda.take_over(vec![(group(1), Some(targets(1)))], start);
    let told = agenda.news(start + INTERVAL, Timestamp::UNIX_EPOCH);
    assert_eq!((told.len(), told[0].report.targets, told[0].report.groups), (1, 1, 1));
    agenda.take_over(Vec::new(), start);
    assert_eq!((agenda.next(), agenda.entries.len(), agenda.group_uids().len()), (None, 0, 0));
}

#[test]
fn who_is_not_told_of_stays_as_it_was() {
    let start = Instant::now();
    let mut agenda = filled(2, start);
    visit_all(&mut agenda, Went::Well, start);
    agenda.take_over(vec![(group(1), None), (group_of("other", 1), Some(vec![target(7)]))], start);
    assert_eq!((agenda.entries.len(), agenda.due(start + SOON).len()), (3, 1));
    agenda.take_over(vec![(group(1), None)], start);
    assert_eq!(agenda.entries.len(), 2, "the other group is gone with its target");
}

#[test]
fn a_changed_spec_is_told_of_once_each_target_was_looked_at_by_it() {
    let start = Instant::now();
    let mut agenda = filled(2, start);
    let visits = agenda.due(start);
    went(&mut agenda, &visits[0], Went::Well, start);
    went(&mut agenda, &visits[1], Went::Well, start);
    let told = |agenda: &mut Agenda, now| {
        let told = agenda.news(now, Timestamp::UNIX_EPOCH);
        told.iter().map(|telling| telling.report.generation.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(told(&mut agenda, start), [1]);

    let now = start + INTERVAL;
    agenda.everybody_is_due(now);
    let before = agenda.due(now);
    agenda.take_over(vec![(group(2), Some(targets(2)))], now);
    for visit in &before {
        went(&mut agenda, visit, Went::Well, now);
    }
    assert_eq!(told(&mut agenda, now), [0; 0], "they began before");
    let visits = agenda.due(now);
    went(&mut agenda, &visits[0], Went::Well, now);
    assert_eq!(told(&mut agenda, now), [0; 0], "one is left");
    agenda.take_over(vec![(group(2), Some(vec![visits[0].target.clone()]))], now);
    assert_eq!(told(&mut agenda, now), [2], "and gone");

    agenda.take_over(vec![(group(3), Some(targets(2)))], now);
    assert_eq!(told(&mut agenda, now + FIRST_PATIENCE - SOON), [0; 0]);
    assert_eq!(told(&mut agenda, now + FIRST_PATIENCE), [3], "whether they answer or not");
}

#[test]
fn somebody_who_is_gone_during_a_visit_gives_the_place_back() {
    let now = Instant::now();
    let mut agenda = filled(PLACES, now);
    let visits = agenda.due(now);
    agenda.take_over(vec![(group(1), Some(Vec::new()))], now);
    for visit in &visits {
        went(&mut agenda, visit, Went::Gone, now);
    }
    agenda.take_over(vec![(group(1), Some(targets(PLACES)))], now);
    assert_eq!(agenda.due(now + SOON).len(), PLACES);
}

#[test]
fn a_visit_that_ends_late_is_not_taken_for_its_successor() {
    let now = Instant::now();
    let mut agenda = filled(1, now);
    let old = agenda.due(now).remove(0);
    let moved = || vec![(group(1), Some(Vec::new())), (group_of("other", 1), Some(targets(1)))];
    agenda.take_over(moved(), now);
    let new = agenda.due(now).remove(0);
    assert_eq!((old.uid.as_str(), new.uid.as_str()), ("uid", "other"));

    went(&mut agenda, &old, Went::Well, now);
    assert!(agenda.due(now + INTERVAL * 2).is_empty(), "it is still being visited");
    let found = PassReport { groups: 7, ..report() };
    agenda.ended(&new, &found, Some(Look { at: now, first_staleness: None }), Went::Well, now);
    let told = agenda.all_news(now, Timestamp::UNIX_EPOCH);
    let groups = |uid: &str| told.iter().find(|telling| telling.uid == uid).unwrap().report.groups;
    assert_eq!((groups("uid"), groups("other")), (0, 7));
    assert_eq!(agenda.answering.taken, 0);
}

#[test]
fn targets_that_move_during_their_visits_make_no_more_visits_than_there_are_places() {
    let now = Instant::now();
    let mut agenda = filled(PLACES, now);
    let visits = agenda.due(now);
    agenda.take_over(vec![(group(1), Some(Vec::new())), (group_of("other", 1), Some(targets(PLACES)))], now);
    assert!(agenda.due(now).is_empty());
    went(&mut agenda, &visits[0], Went::Gone, now);
    assert_eq!(agenda.due(now).len(), 1);
}

#[test]
fn removals_are_told_once_even_of_a_visit_that_was_cut_short() {
    let now = Instant::now();
    let mut agenda = filled(2, now);
    let visits = agenda.due(now);
    let removed = PassReport { collected: 2, removed: vec!["a".to_owned()], ..report() };
    agenda.ended(&visits[0], &removed, None, Went::CutShort, now);
    went(&mut agenda, &visits[1], Went::Well, now);
    let told = agenda.news(now, Timestamp::UNIX_EPOCH);
    assert_eq!((told[0].report.collected, told[0].report.removed.len()), (2, 1));
    assert!(agenda.last_removals().is_empty());
    let again = agenda.due(now + SOON).remove(0);
    agenda.ended(&again, &removed, None, Went::CutShort, now);
    let last = agenda.last_removals();
    assert_eq!((last.len(), last[0].report.collected, last[0].report.targets), (1, 2, 0));
}
