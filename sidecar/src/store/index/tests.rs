//! The index, by changes in and page, times and objections out.

mod staleness;
mod times;

use protocol::{LabelSet, NameValidation, PathNames};

use super::*;
use crate::{
    exposition::{Escaping, MetricFamily, text},
    store::{
        Timestamps,
        page::{Ask, Form, KeyLabels, Packing, Page},
    },
};

const OWN: &[OwnFamily] = &[("own_total", Kind::Counter)];

/// An index whose clock is moved by a second with each change.
struct Fixture {
    index: Index,
    rules: Rules,
    now: f64,
}

impl Fixture {
    fn new() -> Self {
        Self::with(Rules::default())
    }

    fn with(rules: Rules) -> Self {
        Self { index: Index::new(OWN, rules.clone()), rules, now: 100.0 }
    }

    fn submit(&mut self, change: Change) -> Verdict {
        self.now += 1.0;
        let decision = self.index.decide(Request::new(change, &self.rules), UnixSeconds(self.now));
        self.index.commit(decision)
    }

    fn put(&mut self, key: &str, body: &str) -> Verdict {
        self.submit(Change::replace(path(key), families(body)))
    }

    fn post(&mut self, key: &str, body: &str) -> Verdict {
        self.submit(Change::merge(path(key), families(body)))
    }

    fn page(&self) -> String {
        let form = Form::Text(Escaping::default());
        let page = Page::of(
            &self.index,
            &Ask { form, packing: Packing::Plain, labels: KeyLabels::Shown, wanted: |_: &str| true },
        );
        String::from_utf8(page.text().to_vec()).unwrap()
    }

    /// The page without comments and without push times, which tests of them ask for.
    fn samples(&self) -> String {
        let is_sample = |line: &&str| !line.starts_with('#') && !line.starts_with("push_");
        self.page().lines().filter(is_sample).collect::<Vec<_>>().join("\n")
    }

    fn times(&self, key: &str) -> (f64, f64) {
        let group = self.index.groups.find(&path(key)).unwrap();
        (group.push_time.0, group.failure_time.0)
    }

    #[track_caller]
    fn refuses(&mut self, key: &str, body: &str, sentence: &str) {
        let before = self.samples();
        match self.put(key, body) {
            Verdict::Refused(objections) => assert_eq!(objections[0].to_string(), sentence),
            other @ (Verdict::Done
            | Verdict::PushedSince { .. }
            | Verdict::FailedSince { .. }
            | Verdict::NotStored(_)) => panic!("{other:?}"),
        }
        assert_eq!(self.samples(), before);
    }
}

fn path(key: &str) -> GroupingKey {
    GroupingKey::from_path(&format!("/metrics/job/{key}"), PathNames::Legacy).unwrap()
}

fn families(body: &str) -> Vec<MetricFamily> {
    text::decode(body.as_bytes(), NameValidation::Legacy).unwrap()
}

#[test]
fn a_push_is_shown_with_its_keys_labels_and_an_instance() {
    let mut it = Fixture::new();
    it.put("j/a/b", "x{a=\"lost\",c=\"d\"} 1\ny{instance=\"i\"} 2\n");
    assert_eq!(it.samples(), "x{a=\"b\",c=\"d\",instance=\"\",job=\"j\"} 1\ny{a=\"b\",instance=\"i\",job=\"j\"} 2");
}

#[test]
fn put_replaces_the_group_and_post_the_families_it_names() {
    let mut it = Fixture::new();
    it.put("j", "x{a=\"1\"} 1\nx{a=\"2\"} 1\ny 1\n");
    it.post("j", "x 2\n");
    assert_eq!(it.samples(), "x{instance=\"\",job=\"j\"} 2\ny{instance=\"\",job=\"j\"} 1");
    it.put("j", "z 3\n");
    assert_eq!(it.samples(), "z{instance=\"\",job=\"j\"} 3");
    it.put("j", "");
    assert_eq!(it.samples(), "");
    assert!(it.index.groups.find(&path("j")).is_some());
}

#[test]
fn a_post_may_change_the_type_of_its_own_family() {
    let mut it = Fixture::new();
    it.put("j", "# TYPE x gauge\nx 1\n");
    assert_eq!(it.post("j", "# TYPE x summary\nx_sum 1\n"), Verdict::Done);
    assert!(it.page().contains("# TYPE x summary\n"));
}

#[test]
fn series_of_all_groups_are_in_one_order_under_one_header() {
    let mut it = Fixture::new();
    it.put("b", "# HELP x Of b\nx 1\n");
    it.put("a", "# HELP x Of a\nx{z=\"\"} 1\nx 2\n");
    let page = it.page();
    assert_eq!(page.matches("# HELP x Of b\n# TYPE x untyped\n").count(), 1);
    let expected = "x{instance=\"\",job=\"a\"} 2\nx{instance=\"\",job=\"b\"} 1\nx{instance=\"\",job=\"a\",z=\"\"} 1";
    assert_eq!(it.samples(), expected);
}

#[test]
fn help_stays_with_the_group_that_gave_it_first() {
    let mut it = Fixture::new();
    let mut check = |key: &str, help: &str, shown: &str| {
        it.put(key, &format!("# HELP x {help}\nx 1\n"));
        assert!(it.page().contains(&format!("# HELP x {shown}\n")), "{}", it.page());
    };
    check("a", "one", "one");
    check("b", "two", "one");
    check("a", "three", "three");
    it.submit(Change::remove(path("a")));
    assert!(it.page().contains("# HELP x two\n"));
}

#[test]
fn help_and_unit_of_a_giver_that_is_gone_are_those_of_the_first_group_that_gives_help() {
    let mut it = Fixture::new();
    let mut put = |key: &str, help: &str, unit: &str| {
        let mut pushed = families("x_s 1\nx_s{l=\"1\"} 1\n");
        pushed[0].help = help.to_owned();
        pushed[0].unit = unit.to_owned();
        it.submit(Change::replace(path(key), pushed));
    };
    put("e", "five", "s");
    put("d", "four", "");
    put("c", "three", "s");
    put("b", "", "s");
    put("a", "", "");
    let mut check = |gone: Change, expected: (&str, &str)| {
        it.submit(gone);
        let family = &it.index.families["x_s"];
        assert_eq!((&*family.help, &*family.unit), expected);
    };
    check(Change::remove(path("d")), ("five", "s"));
    check(Change::replace(path("e"), families("y 1\n")), ("three", "s"));
    check(Change::remove(path("c")), ("", "s"));
    check(Change::remove(path("b")), ("", ""));
}

#[test]
fn a_giver_that_pushes_without_help_leaves_it_to_the_others() {
    let mut it = Fixture::new();
    it.put("a", "# HELP x First.\nx 1\n");
    it.put("b", "# HELP x Second.\nx 1\n");
    it.put("a", "x 2\n");
    assert!(it.page().contains("# HELP x Second.\n"));
    it.submit(Change::remove(path("a")));
    assert!(it.page().contains("# HELP x Second.\n"));
}

#[test]
fn help_that_its_giver_keeps_no_longer_makes_room() {
    let mut it = Fixture::new();
    let mut check = |key: &str, body: &str, shown: Option<&str>| {
        it.put(key, body);
        let page = it.page();
        let found = page.lines().find_map(|line| line.strip_prefix("# HELP x "));
        assert_eq!(found, shown, "{page}");
    };
    check("a", "# HELP x one\nx 1\n", Some("one"));
    check("b", "x 1\n", Some("one"));
    // Given up by an empty one.
    check("a", "x 1\n", None);
    check("b", "# HELP x two\nx 1\n", Some("two"));
    check("a", "# HELP x three\nx 1\n", Some("two"));
    check("a", "x 1\n", Some("two"));
    // Given up with the family, and taken up again while another's is shown.
    check("b", "y 1\n", None);
    check("a", "# HELP x four\nx 1\n", Some("four"));
    check("b", "# HELP x two\nx 1\n", Some("four"));
    check("a", "y 1\n", Some("two"));
    check("b", "x 1\n", None);
}

#[test]
fn of_two_families_of_one_name_in_a_push_the_later_one_counts() {
    for change in [Change::replace, Change::merge] {
        let mut it = Fixture::new();
        let twice =
            [families("# HELP x One\nx{a=\"1\"} 1 5\ny 1\n"), families("# TYPE x gauge\nx{a=\"2\"} 2\n")].concat();
        assert_eq!(it.submit(change(path("j"), twice)), Verdict::Done);
        assert_eq!(it.samples(), "x{a=\"2\",instance=\"\",job=\"j\"} 2\ny{instance=\"\",job=\"j\"} 1");
        assert!(it.page().contains("\n# TYPE x gauge\n"));
        it.submit(Change::remove(path("j")));
        assert_eq!(it.page(), "");
    }
}

#[test]
fn an_objection_repeats_only_the_start_of_what_was_pushed() {
    let long = "v".repeat(1 << 20);
    let bodies = [
        format!("{long} 1 5\n"),
        format!("x{{a=\"{long}\"}} 1\nx{{a=\"{long}\"}} 1\n"),
        format!("x{{__{long}=\"1\"}} 1\n"),
        format!("{long}_sum 1\n# TYPE {long} summary\n{long}{{quantile=\"1\"}} 1\n"),
    ];
    for body in bodies {
        match Fixture::new().put("j", &body) {
            Verdict::Refused(objections) => {
                let sentence = objections[0].to_string();
                assert!(sentence.len() < 500 && sentence.contains('…'), "{} bytes", sentence.len());
            }
            other @ (Verdict::Done
            | Verdict::PushedSince { .. }
            | Verdict::FailedSince { .. }
            | Verdict::NotStored(_)) => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_push_sets_the_push_time_and_a_refusal_the_failure_time() {
    let mut it = Fixture::new();
    it.put("j", "x 1\n");
    assert_eq!(it.times("j"), (101.0, 0.0));
    it.put("j", "x 1 5\n");
    assert_eq!(it.times("j"), (101.0, 102.0));
    it.post("j", "");
    assert_eq!(it.times("j"), (103.0, 102.0));
    it.put("new", "x 1 5\n");
    assert_eq!(it.times("new"), (0.0, 104.0));
    let page = it.page();
    assert!(page.contains("push_time_seconds{instance=\"\",job=\"new\"} 0\n"), "{page}");
    assert!(page.contains("push_failure_time_seconds{instance=\"\",job=\"j\"} 102\n"), "{page}");
}

#[test]
fn push_times_of_a_group_only_ever_rise() {
    let mut it = Fixture::new();
    it.put("j", "");
    it.now = 50.0;
    it.put("j", "");
    let (second, _) = it.times("j");
    assert!(101.0 < second && second < 101.001, "{second}");
    it.put("j", "x 1 5\n");
    let (push_time, failure_time) = it.times("j");
    assert_eq!(push_time, second);
    assert!(push_time < failure_time);
}

#[test]
fn pushed_push_times_are_left_out() {
    let mut it = Fixture::new();
    let body = "# TYPE push_time_seconds counter\npush_time_seconds 9\npush_failure_time_seconds{a=\"b\"} 9\n";
    assert_eq!(it.put("j", body), Verdict::Done);
    assert_eq!(it.post("j", body), Verdict::Done);
    assert_eq!(it.times("j"), (102.0, 0.0));
    let page = it.page();
    assert!(
        page.contains("# TYPE push_time_seconds gauge\npush_time_seconds{instance=\"\",job=\"j\"} 102\n"),
        "{page}"
    );
    assert!(page.contains("push_failure_time_seconds{instance=\"\",job=\"j\"} 0\n"), "{page}");
}

#[test]
fn a_removed_group_leaves_nothing() {
    let mut it = Fixture::new();
    it.put("j", "x 1\n# TYPE h histogram\nh_sum 1\n");
    it.put("j/instance/i", "x 1\n");
    it.submit(Change::remove(path("j")));
    assert_eq!(it.samples(), "x{instance=\"i\",job=\"j\"} 1");
    it.submit(Change::remove(path("j/instance/i")));
    assert_eq!(it.page(), "");
    assert_eq!(it.submit(Change::remove(path("j"))), Verdict::Done);
}

#[test]
fn a_group_is_removed_only_at_the_push_time_that_was_seen() {
    let mut it = Fixture::new();
    it.put("j", "x 1\n");
    let stale = it.submit(Change::remove_if(path("j"), UnixSeconds(100.0)));
    assert_eq!(stale, Verdict::PushedSince { push_time: UnixSeconds(101.0) });
    assert!(it.page().contains("job=\"j\""));
    assert_eq!(it.submit(Change::remove_if(path("j"), UnixSeconds(101.0))), Verdict::Done);
    assert_eq!(it.page(), "");
    assert_eq!(it.submit(Change::remove_if(path("j"), UnixSeconds(101.0))), Verdict::Done);
}

#[test]
fn a_group_never_pushed_is_removed_at_zero_whatever_failed_since() {
    let mut it = Fixture::new();
    it.put("j", "x 1 5\n");
    it.put("j", "x 1 5\n");
    assert_eq!(it.submit(Change::remove_if(path("j"), UnixSeconds::NEVER)), Verdict::Done);
    assert_eq!(it.page(), "");
}

#[test]
fn a_group_is_removed_only_at_the_failure_time_that_was_seen_where_one_is_named() {
    let mut it = Fixture::new();
    it.put("j", "x 1 5\n");
    it.put("j", "x 1 5\n");
    let seen_at = |time| Change::remove_if(path("j"), UnixSeconds::NEVER).and_failure_time(UnixSeconds(time));
    assert_eq!(it.submit(seen_at(101.0)), Verdict::FailedSince { failure_time: UnixSeconds(102.0) });
    assert!(it.page().contains("job=\"j\""));
    assert_eq!(it.submit(seen_at(102.0)), Verdict::Done);
    assert_eq!(it.page(), "");
}

#[test]
fn a_refusal_has_a_time_of_its_own_even_when_the_clock_stands() {
    let mut it = Fixture::new();
    let refuse = |it: &mut Fixture| {
        let decision = it.index.decide(
            Request::new(Change::replace(path("j"), families("x 1 5\n")), &Rules::default()),
            UnixSeconds(50.0),
        );
        it.index.commit(decision);
        it.times("j").1
    };
    let first = refuse(&mut it);
    assert!(first < refuse(&mut it));
}

#[test]
fn timestamps_are_refused() {
    Fixture::new().refuses("j", "x 1 0\n", "expected no timestamps, found one on a sample of \"x\"");
}

#[test]
fn timestamps_are_stripped_or_honored_where_the_rules_say_so() {
    let check = |timestamps, expected: &str| {
        let mut it = Fixture::with(Rules { timestamps, ..Rules::default() });
        assert_eq!(it.put("j", "x 1 1000\ny 2\npush_time_seconds 3 4000\n"), Verdict::Done);
        assert_eq!(it.samples(), expected);
        let page = it.page();
        assert!(page.contains("push_time_seconds{instance=\"\",job=\"j\"} 101\n"), "{page}");
    };
    check(Timestamps::Strip, "x{instance=\"\",job=\"j\"} 1\ny{instance=\"\",job=\"j\"} 2");
    check(Timestamps::Honor, "x{instance=\"\",job=\"j\"} 1 1000\ny{instance=\"\",job=\"j\"} 2");
}

#[test]
fn honored_timestamps_do_not_tell_series_apart() {
    let mut it = Fixture::with(Rules { timestamps: Timestamps::Honor, ..Rules::default() });
    let sentence = "expected each series once, found x{a=\"b\",instance=\"\",job=\"j\"} \
                    twice in the push, once the labels of the grouping key are set";
    it.refuses("j/a/b", "x{a=\"1\"} 1 1000\nx{a=\"2\"} 1 2000\n", sentence);
}

/// OpenMetrics has words for infos and statesets; everything else shows them as gauges, and so they get on.
#[test]
fn an_info_and_a_gauge_of_one_name_are_shown_as_gauges() {
    let mut it = Fixture::new();
    let mut info = families("# HELP x Help\n# TYPE x gauge\nx{version=\"1\"} 1\n");
    info[0].kind = Kind::Info;
    let kind = |it: &Fixture| it.index.families["x"].kind;
    for scope in [Change::replace, Change::merge] {
        assert_eq!(it.submit(scope(path("info"), info.clone())), Verdict::Done);
        assert_eq!(kind(&it), Kind::Info);
        assert_eq!(it.put("gauge", "# TYPE x gauge\nx 2\n"), Verdict::Done);
        assert_eq!(kind(&it), Kind::Gauge);
        assert_eq!(it.submit(scope(path("info"), info.clone())), Verdict::Done);
        assert_eq!(kind(&it), Kind::Gauge);
        let expected = "# HELP x Help\n# TYPE x gauge\nx{instance=\"\",job=\"gauge\"} 2\n\
                        x{instance=\"\",job=\"info\",version=\"1\"} 1\n";
        assert!(it.page().contains(expected), "{}", it.page());
        it.submit(Change::remove(path("gauge")));
        assert_eq!(kind(&it), Kind::Info);
    }
    it.refuses("c", "x 1\n", "expected \"x\" to be of type gauge, as it is known already, found type untyped");
}

#[test]
fn one_name_has_one_type_over_all_groups_and_the_process() {
    let mut it = Fixture::new();
    it.put("a", "# TYPE x gauge\nx 1\n");
    it.refuses("b", "x 1\n", "expected \"x\" to be of type gauge, as it is known already, found type untyped");
    let own = "expected \"own_total\" to be of type counter, as it is known already, found type untyped";
    it.refuses("b", "own_total 1\n", own);
    assert_eq!(it.put("a", "x 1\n"), Verdict::Done);
    assert_eq!(it.put("b", "x 1\n"), Verdict::Done);
}

#[test]
fn equal_series_are_refused_within_a_push_and_across_groups() {
    let mut it = Fixture::new();
    it.refuses(
        "j/a/b",
        "x{a=\"1\"} 1\nx{a=\"2\"} 1\n",
        "expected each series once, found x{a=\"b\",instance=\"\",job=\"j\"} \
         twice in the push, once the labels of the grouping key are set",
    );
    it.put("j", "x{instance=\"i\"} 1\n");
    it.refuses(
        "j/instance/i",
        "x 1\n",
        "expected each series once, found x{instance=\"i\",job=\"j\"} in another group already",
    );
    assert_eq!(it.put("j/instance/i", "x{c=\"\"} 1\n"), Verdict::Done);
}

#[test]
fn labels_that_prometheus_or_the_value_needs_are_refused() {
    let mut it = Fixture::new();
    it.refuses("j", "x{__a=\"b\"} 1\n", "expected no label name that starts with `__`, found \"__a\" on \"x\"");
    let inner =
        |label, kind| format!("expected no label {label:?} on the {kind} \"x\", found one, maybe in the grouping key");
    it.refuses("j/quantile/1", "# TYPE x summary\nx_sum 1\n", &inner("quantile", "summary"));
    it.refuses("j/le/1", "# TYPE x histogram\nx_sum 1\n", &inner("le", "histogram"));
    assert_eq!(it.put("j/le/1", "x{quantile=\"1\"} 1\n"), Verdict::Done);
}

#[test]
fn names_of_parts_collide_whichever_came_first() {
    let sentence = |whole: &str, kind: &str, part: &str| {
        format!("expected no family {part:?} beside the {kind} {whole:?}, which has a series of that name, found both")
    };
    let mut it = Fixture::new();
    it.put("a", "x_count 1\n");
    it.refuses("b", "# TYPE x summary\nx_sum 1\n", &sentence("x", "summary", "x_count"));
    it.put("a", "# TYPE y histogram\ny_sum 1\n");
    it.refuses("b", "y_bucket 1\n", &sentence("y", "histogram", "y_bucket"));
    it.refuses("c", "z_count 1\n# TYPE z summary\nz_sum 1\n", &sentence("z", "summary", "z_count"));
    it.put("a", "# TYPE x summary\nx_sum 1\n");
    assert_eq!(it.put("b", "x_bucket 1\nx_total 1\n"), Verdict::Done);

    // What a PUT takes away is no rival, what a POST keeps is one.
    assert_eq!(it.put("d", "w_sum 1\n"), Verdict::Done);
    assert_eq!(it.put("d", "# TYPE w summary\nw_count 1\n"), Verdict::Done);
    assert!(matches!(it.post("d", "w_sum 1\n"), Verdict::Refused(_)));
}

#[test]
fn two_keys_that_look_the_same_are_not_both_taken() {
    let mut it = Fixture::new();
    it.put("j", "x 1\n");
    it.refuses(
        "j/instance/",
        "y 1\n",
        "expected a grouping key that can be told from {job=\"j\"}, found {instance=\"\",job=\"j\"}: \
         both are shown as {instance=\"\",job=\"j\"}",
    );
    assert!(it.index.groups.find(&path("j/instance/")).is_none());
    it.submit(Change::remove(path("j")));
    assert_eq!(it.put("j/instance/", "y 1\n"), Verdict::Done);
}

#[test]
fn the_operator_sees_keys_as_they_were_pushed() {
    let mut it = Fixture::new();
    it.put("a", "");
    it.put("b/instance/", "");
    let wanted = |name: &str| name == "push_time_seconds";
    let form = Form::Text(Escaping::AllowUtf8);
    let page = Page::of(&it.index, &Ask { form, packing: Packing::Plain, labels: KeyLabels::AsPushed, wanted });
    let text = String::from_utf8(page.text().to_vec()).unwrap();
    assert!(
        text.ends_with("push_time_seconds{job=\"a\"} 101\npush_time_seconds{instance=\"\",job=\"b\"} 102\n"),
        "{text}"
    );
    assert_eq!(page.names().len(), 1);
}

#[test]
fn only_accepted_pushes_of_groups_still_there_are_unseen() {
    let mut it = Fixture::new();
    it.put("a", "");
    let seen = it.index.revision;
    assert_eq!((it.index.groups_pushed_after(0), it.index.groups_pushed_after(seen)), (1, 0));
    it.put("b", "x 1 5\n");
    it.put("a", "x 1 5\n");
    assert_eq!(it.index.groups_pushed_after(seen), 0);
    it.put("a", "");
    it.put("b", "");
    assert_eq!(it.index.groups_pushed_after(seen), 2);
    it.submit(Change::remove(path("b")));
    assert_eq!(it.index.groups_pushed_after(seen), 1);
}

#[test]
fn the_revision_rises_with_what_the_page_can_tell() {
    let mut it = Fixture::new();
    it.put("j", "");
    assert_eq!(it.index.revision, 1);
    it.submit(Change::remove(path("other")));
    it.submit(Change::remove_if(path("j"), UnixSeconds(1.0)));
    it.put("j/instance/", "");
    assert_eq!(it.index.revision, 1);
    it.put("j", "x 1 5\n");
    assert_eq!(it.index.revision, 2);
}

mod law {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Put(usize, usize),
        Post(usize, usize),
        PutWithLimit(usize, usize),
        Delete(usize),
    }

    const KEYS: [&str; 5] = ["a", "a/instance/", "a/instance/i", "b/c/d", "b/le/1"];
    const BODIES: [&str; 10] = [
        "",
        "x 1\n",
        "# HELP x Help\n# TYPE x gauge\nx 1\ny 2\n",
        "x{instance=\"i\"} 1\n",
        "x{c=\"1\"} 1\nx{c=\"2\"} 2\n",
        "# TYPE x summary\nx_sum 1\n",
        "x_count 1\nx_sum 1\n",
        "# TYPE x histogram\nx_bucket{le=\"1\"} 1\n",
        "x 1 5\n",
        "push_time_seconds 1\nown_total 1\n",
    ];

    fn any_step() -> impl Strategy<Value = Step> {
        let (key, body) = (0..KEYS.len(), 0..BODIES.len());
        prop_oneof![
            (key.clone(), body.clone()).prop_map(|(key, body)| Step::Put(key, body)),
            (key.clone(), body.clone()).prop_map(|(key, body)| Step::Post(key, body)),
            (key.clone(), body).prop_map(|(key, body)| Step::PutWithLimit(key, body)),
            key.prop_map(Step::Delete),
        ]
    }

    proptest! {
        #[test]
        fn the_page_can_always_be_read_and_is_what_the_groups_hold(steps in prop::collection::vec(any_step(), 0..20)) {
            let mut it = Fixture::with(Rules { stale_after: Some(Duration::from_secs(10)), ..Rules::default() });
            for step in steps {
                match step {
                    Step::Put(key, body) => drop(it.put(KEYS[key], BODIES[body])),
                    Step::Post(key, body) => drop(it.post(KEYS[key], BODIES[body])),
                    Step::PutWithLimit(key, body) => {
                        let change = Change::replace(path(KEYS[key]), families(BODIES[body]));
                        it.submit(change.stale_after(Duration::from_secs(5)));
                    }
                    Step::Delete(key) => drop(it.submit(Change::remove(path(KEYS[key])))),
                }
            }
            let page = it.page();
            let families = text::decode(page.as_bytes(), NameValidation::Legacy).unwrap();
            prop_assert_eq!(text::encode(&families), page);
            let mut seen = std::collections::BTreeSet::<(String, LabelSet)>::new();
            for family in &families {
                for metric in &family.metrics {
                    prop_assert!(seen.insert((family.name.clone(), metric.labels.clone())));
                }
            }
            let groups: Vec<_> = it.index.groups.keys().map(|key| it.index.groups.find(key).unwrap()).collect();
            let held: usize = groups.iter().flat_map(|group| &group.families).map(|family| family.series.len()).sum();
            prop_assert_eq!(seen.len(), held + 2 * groups.len());
            prop_assert_eq!(it.index.counts(), Counts { groups: groups.len(), series: held });
            let stored = it.index.stored();
            prop_assert!(it.index.families.values().all(|family| !family.series.is_empty() && family.is_sorted(stored)));
            prop_assert_eq!(it.index.stale(UnixSeconds(f64::MAX)).count(), groups.len());
            for key in KEYS {
                it.submit(Change::remove(path(key)));
            }
            prop_assert!(it.index.families.is_empty());
            prop_assert_eq!(it.index.slots.len(), 0);
            prop_assert_eq!(it.index.next_staleness(), None);
        }
    }
}
