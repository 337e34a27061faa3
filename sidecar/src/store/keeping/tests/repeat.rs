//! Pushes that repeat the one before them leave what they would leave if they were read, after a restart too.

use proptest::prelude::*;

use super::*;
use crate::{
    exposition::outline::Outliner,
    store::{Repeat, repeat::Numbers},
};

/// Bodies with a `%` for each number.
const SHAPES: [&str; 8] = [
    "# TYPE a gauge\na{x=\"1\"} %\n# TYPE b counter\nb %\n",
    "# TYPE b counter\nb %\n# TYPE a gauge\na{x=\"1\"} %\n",
    "# HELP a Help.\n# TYPE a gauge\na{x=\"2\"} %\na{x=\"1\"} %\n",
    "a{x=\"1\"} %\nb %\na{x=\"2\"} %\n",
    "c %\npush_time_seconds %\n",
    "b %\n",
    "a{x=\"1\"} % 5\n",
    "# TYPE s summary\ns_sum %\ns_count 1\n",
];

#[derive(Clone, Debug)]
enum Step {
    Push { group: usize, is_put: bool, shape: usize, numbers: [f64; 3], stale_after: Option<u8> },
    Fail { group: usize },
    Remove { group: usize },
    Restart,
    Checkpoint,
}

/// Pushes as the handler does; also whether it was a repetition.
fn push(store: &Store, outliner: &Outliner, step: &Step, now: UnixSeconds) -> Option<(Verdict, bool)> {
    let Step::Push { group, is_put, shape, numbers, stale_after } = step else { return None };
    let mut numbers = numbers.iter();
    let parts: Vec<&str> = SHAPES[*shape].split('%').collect();
    let number = |at: usize| if at + 1 < parts.len() { numbers.next().unwrap().to_string() } else { String::new() };
    let mut number = number;
    let body: String = parts.iter().enumerate().map(|(at, part)| format!("{part}{}", number(at))).collect();
    let (key, stale_after) = (key(&group.to_string()), stale_after.map(|hours| Duration::from_hours(hours.into())));
    let outlined = outliner.text(body.as_bytes());
    if let Some(outlined) = &outlined {
        let repeat = Repeat { key: &key, outline: outlined.outline, numbers: &outlined.numbers, stale_after };
        if let Some(verdict) = store.repeat(&repeat, now) {
            return Some((verdict, true));
        }
    }
    let families = text::decode(body.as_bytes(), NameValidation::Legacy).unwrap();
    let outline = outlined.filter(|outlined| outlined.is_of(&families)).map(|outlined| outlined.outline);
    let change = if *is_put { Change::replace(key, families) } else { Change::merge(key, families) };
    let change = stale_after.into_iter().fold(change, Change::stale_after);
    Some((store.submit(outline.into_iter().fold(change, Change::outlined), now), false))
}

/// The same, read anew each time.
fn read(store: &Store, step: &Step, now: UnixSeconds) -> Option<Verdict> {
    // With another key each time, no outline is known.
    push(store, &Outliner::default(), step, now).map(|(verdict, _)| verdict)
}

fn step() -> impl Strategy<Value = Step> {
    let number = prop_oneof![Just(0.0), Just(-0.0), Just(1.0), Just(f64::NAN), Just(f64::INFINITY), any::<f64>()];
    let push =
        (0..2_usize, any::<bool>(), prop_oneof![3 => 0..2_usize, 1 => 0..SHAPES.len()], prop::array::uniform3(number));
    let push = (push, prop::option::of(1..3_u8)).prop_map(|((group, is_put, shape, numbers), stale_after)| {
        Step::Push { group, is_put, shape, numbers, stale_after }
    });
    prop_oneof![
        20 => push,
        1 => (0..2_usize).prop_map(|group| Step::Fail { group }),
        1 => (0..2_usize).prop_map(|group| Step::Remove { group }),
        1 => Just(Step::Restart),
        1 => Just(Step::Checkpoint),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_push_that_repeats_another_leaves_what_it_would_leave_if_it_were_read(steps in prop::collection::vec(step(), 1..40)) {
        let scratch = Scratch::new();
        let (mut store, model, outliner) = (scratch.open(), Store::new(), Outliner::default());
        for (second, step) in (1_u32..).zip(&steps) {
            let now = UnixSeconds(f64::from(second));
            match step {
                Step::Push { .. } => {
                    let found = push(&store, &outliner, step, now).map(|(verdict, _)| verdict);
                    prop_assert_eq!(found, read(&model, step, now));
                }
                Step::Fail { group } => {
                    prop_assert_eq!(store.submit(Change::fail(key(&group.to_string())), now), Verdict::Done);
                    model.submit(Change::fail(key(&group.to_string())), now);
                }
                Step::Remove { group } => {
                    prop_assert_eq!(store.submit(Change::remove(key(&group.to_string())), now), Verdict::Done);
                    model.submit(Change::remove(key(&group.to_string())), now);
                }
                Step::Restart => {
                    drop(store);
                    store = scratch.open();
                }
                Step::Checkpoint => store.write_checkpoint(),
            }
            prop_assert_eq!(seen(&store), seen(&model));
        }
    }
}

fn of(shape: usize, is_put: bool, numbers: [f64; 3]) -> Step {
    Step::Push { group: 0, is_put, shape, numbers, stale_after: None }
}

/// Whether the last of these pushes was a repetition.
#[track_caller]
fn repeats(steps: &[Step]) -> bool {
    let (store, outliner) = (Store::new(), Outliner::default());
    let done =
        steps.iter().zip(1_u32..).map(|(step, second)| push(&store, &outliner, step, UnixSeconds(second.into())));
    let (verdict, is_repetition) = done.last().flatten().unwrap();
    assert_eq!(verdict, Verdict::Done);
    is_repetition
}

#[test]
fn a_push_is_a_repetition_if_its_group_has_what_it_says_and_nothing_else() {
    let numbers = [1.0, 2.0, 3.0];
    for shape in 0..3 {
        for (first, second) in [(true, true), (true, false), (false, false), (false, true)] {
            assert!(repeats(&[of(shape, first, numbers), of(shape, second, [4.0; 3])]), "{shape}");
        }
    }
    assert!(!repeats(&[of(0, true, numbers), of(1, true, numbers)]), "in another order");
    assert!(!repeats(&[of(0, true, numbers), of(2, true, numbers), of(0, true, numbers)]), "something else in between");
    assert!(!repeats(&[of(5, true, numbers), of(0, false, numbers), of(5, true, numbers)]), "only a part");
    assert!(!repeats(&[of(0, true, numbers), of(0, true, [-0.0; 3])]), "in text, a zero has no sign");
    for shape in [3, 4, 7] {
        assert!(!repeats(&[of(shape, true, numbers), of(shape, true, numbers)]), "{shape}");
    }
}

#[test]
fn a_group_that_has_no_room_for_the_numbers_is_left_as_it_is() {
    let (store, outliner) = (Store::new(), Outliner::default());
    assert!(push(&store, &outliner, &of(0, true, [1.0; 3]), UnixSeconds(1.0)).is_some());
    let index = &store.lock().index;
    for (values, has_room) in [(1, false), (2, true), (3, false)] {
        assert_eq!(index.has_room_for(&key("0"), &Numbers::new(vec![1.0; values])), has_room, "{values}");
    }
    assert!(!index.has_room_for(&key("1"), &Numbers::new(vec![1.0; 2])));
}
