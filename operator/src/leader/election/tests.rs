//! What is done next, row by row; and that no history makes two leaders.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn record(holder: &str, version: u32) -> Record {
    Record { holder: holder.to_owned(), length: 15 * SECOND, version: version.to_string() }
}

fn take(version: u32) -> Step {
    Step::Take { over: Some(version.to_string()) }
}

/// Replica `a`, and its clock's start.
fn replica() -> (Election, Instant) {
    (Election::new("a".to_owned(), Timings::default()), Instant::now())
}

/// Replica `a`, which leads by version 1 as of the clock's start.
fn leader() -> (Election, Instant) {
    let (mut election, start) = replica();
    assert_eq!(election.next(start), Step::Look);
    election.looked(start, Ok(None));
    assert_eq!(election.next(start), Step::Take { over: None });
    election.wrote(start, start, Written::Done(record("a", 1)));
    assert_eq!(election.held(), Some(Held { term: 1, until: start + 10 * SECOND }));
    (election, start)
}

#[test]
fn a_lease_that_nobody_has_is_taken_at_once() {
    let (mut election, start) = replica();
    assert_eq!(election.next(start), Step::Look);
    election.looked(start, Ok(Some(record("", 7))));
    assert_eq!(election.next(start), take(7));
}

#[test]
fn a_lease_of_another_is_taken_when_it_has_not_changed_for_its_length() {
    let (mut election, start) = replica();
    let mut looks = 0;
    for seconds in 0.. {
        let now = start + seconds * SECOND;
        match election.next(now) {
            Step::Look => {
                looks += 1;
                // It is renewed once.
                election.looked(now, Ok(Some(record("b", if seconds < 4 { 1 } else { 2 }))));
            }
            Step::Rest(until) => assert!(until <= now + 2 * SECOND),
            found @ Step::Take { .. } => {
                assert_eq!((found, seconds, looks), (take(2), 19, 11));
                break;
            }
        }
        // Each second is asked twice: what was read is acted upon in the same.
        if let found @ Step::Take { .. } = election.next(now) {
            assert_eq!((found, seconds, looks), (take(2), 19, 11));
            break;
        }
    }
}

#[test]
fn a_leader_renews_without_looking_and_leads_on() {
    let (mut election, start) = leader();
    assert_eq!(election.next(start + SECOND), Step::Rest(start + 2 * SECOND));
    let asked = start + 2 * SECOND;
    assert_eq!(election.next(asked), take(1));
    election.wrote(asked, asked + SECOND, Written::Done(record("a", 2)));
    // From when it was asked for, not from when it was confirmed.
    assert_eq!(election.held(), Some(Held { term: 1, until: asked + 10 * SECOND }));
    assert_eq!(election.next(asked + SECOND), Step::Rest(asked + 2 * SECOND));
}

#[test]
fn a_leader_that_cannot_renew_leads_until_its_deadline_and_no_longer() {
    let (mut election, start) = leader();
    let mut now = start + 2 * SECOND;
    assert_eq!(election.next(now), take(1));
    election.wrote(now, now + 5 * SECOND, Written::Unknown);
    now = start + 7 * SECOND;
    assert_eq!(election.next(now), Step::Look);
    election.looked(now + 2 * SECOND, Err(()));
    assert!(election.held().is_some());
    assert_eq!(election.next(start + 9 * SECOND), Step::Rest(start + 10 * SECOND));
    assert_eq!(election.next(start + 10 * SECOND), Step::Rest(start + 11 * SECOND));
    assert_eq!(election.held(), None);
}

#[test]
fn a_renewal_that_comes_after_the_deadline_is_a_new_term() {
    let (mut election, start) = leader();
    let asked = start + 8 * SECOND;
    assert_eq!(election.next(asked), take(1));
    election.wrote(asked, start + 12 * SECOND, Written::Done(record("a", 2)));
    assert_eq!(election.held(), Some(Held { term: 2, until: asked + 10 * SECOND }));
}

#[test]
fn a_confirmation_that_comes_too_late_is_no_term() {
    let (mut election, start) = leader();
    let asked = start + 2 * SECOND;
    assert_eq!(election.next(asked), take(1));
    election.wrote(asked, start + 12 * SECOND, Written::Done(record("a", 2)));
    assert_eq!(election.held(), None);
    assert_eq!(election.next(start + 12 * SECOND), take(2));
}

#[test]
fn a_leader_whose_renewal_is_refused_looks_at_once_and_steps_down_for_another() {
    let (mut election, start) = leader();
    let now = start + 2 * SECOND;
    assert_eq!(election.next(now), take(1));
    election.wrote(now, now, Written::Refused);
    assert_eq!(election.next(now), Step::Look);
    election.looked(now, Ok(Some(record("b", 2))));
    assert_eq!(election.held(), None);
    assert_eq!(election.next(now), Step::Rest(now + 2 * SECOND));
}

#[test]
fn a_leader_whose_lease_somebody_annotated_renews_it_as_it_is() {
    let (mut election, start) = leader();
    let now = start + 2 * SECOND;
    assert_eq!(election.next(now), take(1));
    election.wrote(now, now, Written::Refused);
    election.looked(now, Ok(Some(record("a", 2))));
    assert_eq!(election.next(now), take(2));
    assert_eq!(election.held().map(|held| held.term), Some(1));
}

#[test]
fn a_write_without_answer_that_went_through_makes_no_leader_until_it_is_confirmed() {
    let (mut election, start) = replica();
    assert_eq!(election.next(start), Step::Look);
    election.looked(start, Ok(Some(record("", 1))));
    assert_eq!(election.next(start), take(1));
    election.wrote(start, start + 5 * SECOND, Written::Unknown);
    assert_eq!((election.held(), election.next(start + 5 * SECOND)), (None, Step::Look));
    election.looked(start + 5 * SECOND, Ok(Some(record("a", 2))));
    assert_eq!((election.held(), election.next(start + 5 * SECOND)), (None, take(2)));
}

#[test]
fn a_lease_that_was_deleted_is_made_once_its_holder_leads_no_more() {
    let (mut election, start) = replica();
    assert_eq!(election.next(start), Step::Look);
    election.looked(start, Ok(Some(record("b", 1))));
    for (seconds, expected) in [(4, Step::Rest(start + 6 * SECOND)), (15, Step::Take { over: None })] {
        let now = start + seconds * SECOND;
        if election.next(now) != Step::Look {
            assert_eq!(election.next(now + 2 * SECOND), Step::Look);
        }
        election.looked(now, Ok(None));
        assert_eq!(election.next(now), expected);
    }
}

#[test]
fn a_leader_whose_lease_was_deleted_steps_down() {
    let (mut election, start) = leader();
    let now = start + 2 * SECOND;
    assert_eq!(election.next(now), take(1));
    election.wrote(now, now, Written::Refused);
    election.looked(now, Ok(None));
    assert_eq!((election.held(), election.next(now)), (None, Step::Take { over: None }));
}

/// What happens to one request of a replica.
#[derive(Clone, Copy, Debug)]
struct Fate {
    /// Milliseconds on the way there.
    there: u64,
    /// Whether it never arrives.
    lost: bool,
    /// Milliseconds on the way back.
    back: u64,
    /// Whether its answer never arrives.
    unanswered: bool,
    /// Milliseconds the process stands still before it acts on what it knows.
    stall: u64,
}

/// A replica in a simulated world.
#[derive(Clone, Debug)]
struct Life {
    /// How far its clock is from that of the world, in milliseconds.
    ahead: u64,
    /// Its clock's milliseconds in a second of the world.
    pace: u64,
    fates: Vec<Fate>,
}

fn fate() -> impl Strategy<Value = Fate> {
    let way = || prop_oneof![4 => 0_u64..300, 1 => 0_u64..30_000];
    let stall = prop_oneof![6 => Just(0_u64), 1 => 0_u64..40_000];
    (way(), prop::bool::weighted(0.1), way(), prop::bool::weighted(0.1), stall)
        .prop_map(|(there, lost, back, unanswered, stall)| Fate { there, lost, back, unanswered, stall })
}

fn life() -> impl Strategy<Value = Life> {
    (0_u64..100_000_000, 900_u64..=1100, prop::collection::vec(fate(), 1..120)).prop_map(|(ahead, pace, fates)| Life {
        ahead,
        pace,
        fates,
    })
}

/// The API server: what is written, and the version of that.
#[derive(Debug, Default)]
struct Server {
    record: Option<Record>,
    version: u32,
}

/// What goes on in the world, at a millisecond of its time.
#[derive(Debug)]
enum Event {
    Wakes,
    /// A request arrives; if the replica hears of it, after so many milliseconds.
    Reads(Option<u64>),
    Writes(Option<u64>, Instant, Option<String>),
    HasRead(Result<Option<Record>, ()>),
    HasWritten(Instant, Written),
}

#[derive(Debug, Default)]
struct World {
    server: Server,
    /// By time, then in the order they were put in.
    events: BTreeMap<(u64, u64), (usize, Event)>,
    put: u64,
}

// === impl World ===

impl World {
    fn put(&mut self, at: u64, who: usize, event: Event) {
        self.put += 1;
        self.events.insert((at, self.put), (who, event));
    }

    /// What the API server does at once; the others are for a replica to learn.
    fn serve(&mut self, at: u64, who: usize, event: Event) -> Option<Event> {
        match event {
            Event::Reads(heard) => {
                if let Some(back) = heard {
                    self.put(at + back, who, Event::HasRead(Ok(self.server.record.clone())));
                }
                None
            }
            Event::Writes(heard, asked, over) => {
                let written = self.server.write(NAMES[who], over.as_deref());
                if let Some(back) = heard {
                    self.put(at + back, who, Event::HasWritten(asked, written));
                }
                None
            }
            learned @ (Event::Wakes | Event::HasRead(_) | Event::HasWritten(..)) => Some(learned),
        }
    }

    /// A request of a replica, at a moment of its own clock, which waits for the answer until a moment of the world.
    fn send(&mut self, at: u64, who: usize, fate: Fate, (now, step): (Instant, Step), waits: u64) {
        let sent = at + fate.stall;
        let arrives = sent + fate.there;
        let heard = !fate.lost && !fate.unanswered && arrives + fate.back <= sent + waits;
        let back = heard.then_some(fate.back + fate.stall);
        let (request, failure) = match step {
            Step::Look => (Event::Reads(back), Event::HasRead(Err(()))),
            Step::Take { over } => (Event::Writes(back, now, over), Event::HasWritten(now, Written::Unknown)),
            Step::Rest(_) => return,
        };
        if !fate.lost {
            self.put(arrives, who, request);
        }
        if !heard {
            self.put(sent + waits, who, failure);
        }
    }
}

// === impl Server ===

impl Server {
    fn write(&mut self, holder: &str, over: Option<&str>) -> Written {
        if self.record.as_ref().map(|record| record.version.as_str()) != over {
            return Written::Refused;
        }
        self.version += 1;
        let record = record(holder, self.version);
        self.record = Some(record.clone());
        Written::Done(record)
    }
}

// === impl Life ===

impl Life {
    /// Its clock at a millisecond of the world.
    fn local(&self, start: Instant, world: u64) -> Instant {
        start + Duration::from_micros(self.ahead * 1000 + world * self.pace)
    }

    /// The first millisecond of the world when its clock shows this.
    fn world(&self, start: Instant, local: Instant) -> u64 {
        let own = u64::try_from((local - start).as_micros()).unwrap();
        (own - self.ahead * 1000).div_ceil(self.pace)
    }
}

const NAMES: [&str; 3] = ["a", "b", "c"];

/// When each replica led, in milliseconds of the world.
fn live(lives: &[Life]) -> Vec<Vec<(u64, u64)>> {
    let (start, timings) = (Instant::now(), Timings::default());
    let mut replicas: Vec<_> = NAMES.iter().map(|name| Election::new((*name).to_owned(), timings)).collect();
    let mut led: Vec<Vec<(u64, u64)>> = vec![Vec::new(); lives.len()];
    let mut fates: Vec<_> = lives.iter().map(|life| life.fates.iter().copied()).collect();
    let mut world = World::default();
    for who in 0..lives.len() {
        world.put(0, who, Event::Wakes);
    }
    while let Some(((at, _), (who, event))) = world.events.pop_first() {
        let (life, replica) = (&lives[who], &mut replicas[who]);
        let now = life.local(start, at);
        match world.serve(at, who, event) {
            None => continue,
            Some(Event::HasRead(found)) => replica.looked(now, found),
            Some(Event::HasWritten(asked, written)) => replica.wrote(asked, now, written),
            Some(Event::Wakes | Event::Reads(_) | Event::Writes(..)) => {}
        }
        let step = replica.next(now);
        match (replica.held(), led[who].last_mut()) {
            (Some(held), Some((_, end))) if at < *end => *end = life.world(start, held.until),
            (Some(held), _) => led[who].push((at, life.world(start, held.until))),
            (None, Some((_, end))) => *end = at.min(*end),
            (None, None) => {}
        }
        if let Step::Rest(until) = step {
            world.put(life.world(start, until).max(at + 1), who, Event::Wakes);
        } else if let Some(fate) = fates[who].next() {
            let waits = life.world(start, now + timings.renew / 2) - at;
            world.send(at, who, fate, (now, step), waits);
        }
    }
    led
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_history_makes_two_leaders_at_once(lives in prop::collection::vec(life(), 2..=3)) {
        let led = live(&lives);
        for (one, others) in (1..).zip(&led) {
            for (from, until) in others {
                for (other_from, other_until) in led[one..].iter().flatten() {
                    prop_assert!(
                        until <= other_from || other_until <= from,
                        "{from}..{until} and {other_from}..{other_until}"
                    );
                }
            }
        }
    }
}

/// The property above would hold of replicas that never lead.
#[test]
fn where_requests_are_answered_somebody_leads_and_another_follows() {
    let fate = Fate { there: 10, lost: false, back: 10, unanswered: false, stall: 0 };
    let brief = Life { ahead: 5_000_000, pace: 1000, fates: vec![fate; 5] };
    let long = Life { ahead: 0, pace: 1050, fates: vec![fate; 50] };
    let led = live(&[brief, long]);
    assert_eq!((led[0].len(), led[1].len()), (1, 1), "{led:?}");
    let ((_, first_until), (second_from, _)) = (led[0][0], led[1][0]);
    assert!(first_until < second_from && second_from < first_until + 10_000, "{led:?}");
}
