//! Pages and snapshots of names that escaping makes alike, over the store.

use std::collections::BTreeSet;

use proptest::prelude::*;
use protocol::{GroupingKey, NameValidation, PathNames};

use super::*;
use crate::{
    clock::UnixSeconds,
    exposition::{
        Extra, Metric, MetricFamily,
        extra::Exemplar,
        family::allows_metric,
        openmetrics,
        protobuf::{self, ProtobufForm},
        text,
    },
    store::{Change, KeyLabels, Page, Store, Verdict},
};

fn submit(store: &Store, path: &str, families: Vec<MetricFamily>) -> Verdict {
    let key = GroupingKey::from_path(path, PathNames::Utf8).unwrap();
    store.submit(Change::replace(key, families), UnixSeconds(1.0))
}

/// A store with one body a group.
fn holding(bodies: &[&str]) -> Store {
    let store = Store::new();
    for (number, body) in bodies.iter().enumerate() {
        let families = text::decode(body.as_bytes(), NameValidation::Utf8).unwrap();
        assert_eq!(submit(&store, &format!("/metrics/job/{number}"), families), Verdict::Done);
    }
    store
}

fn page(store: &Store, escaping: Escaping) -> Page {
    store.page_of(KeyLabels::Shown, escaping, |name| !name.starts_with("push_"))
}

/// The page without the label that all series have, and what it lacks.
#[track_caller]
fn check(bodies: &[&str], escaping: Escaping, hidden: usize, expected: &str) {
    let store = holding(bodies);
    let page = page(&store, escaping);
    let text = String::from_utf8(page.text().to_vec()).unwrap().replace("instance=\"\",", "");
    assert_eq!((text.as_str(), page.hidden), (expected, hidden));
    let snapshot = store.snapshot(escaping, |name| !name.starts_with("push_"));
    let names: Vec<_> = snapshot.families.iter().map(|family| &*family.name).collect();
    assert_eq!(names, page.names().collect::<Vec<_>>());
    assert_eq!(snapshot.hidden, hidden);
}

#[test]
fn names_are_written_as_each_scheme_has_them() {
    let body = "# HELP \"h.x\" Help\n# TYPE \"h.x\" histogram\n{\"h.x_bucket\",le=\"1\",\"a.b\"=\"ö\"} 2\n\
                {\"h.x_count\",\"a.b\"=\"ö\"} 2\n";
    let lines = |header: &str, [bucket, sum, count]: [&str; 3], label: &str| {
        format!(
            "# HELP {header} Help\n# TYPE {header} histogram\n{bucket}{label}=\"ö\",job=\"0\",le=\"1\"}} 2\n\
             {bucket}{label}=\"ö\",job=\"0\",le=\"+Inf\"}} 2\n{sum}{label}=\"ö\",job=\"0\"}} 0\n\
             {count}{label}=\"ö\",job=\"0\"}} 2\n"
        )
    };
    let quoted = ["{\"h.x_bucket\",", "{\"h.x_sum\",", "{\"h.x_count\","];
    check(&[body], Escaping::AllowUtf8, 0, &lines("\"h.x\"", quoted, "\"a.b\""));
    check(&[body], Escaping::Underscores, 0, &lines("h_x", ["h_x_bucket{", "h_x_sum{", "h_x_count{"], "a_b"));
    let dots = ["h_dot_x_bucket{", "h_dot_x_sum{", "h_dot_x_count{"];
    check(&[body], Escaping::Dots, 0, &lines("h_dot_x", dots, "a_dot_b"));
    let values = ["U__h_2e_x_bucket{", "U__h_2e_x_sum{", "U__h_2e_x_count{"];
    check(&[body], Escaping::Values, 0, &lines("U__h_2e_x", values, "U__a_2e_b"));
}

#[test]
fn families_of_one_shown_name_are_one_family_with_the_header_of_the_classic_one() {
    let bodies =
        ["# HELP \"a.b\" dot\n{\"a.b\",x=\"1\"} 1\n{\"a-b\",x=\"0\"} 2\n", "# HELP a_b classic\na_b{x=\"1\"} 3\n"];
    let merged = "# HELP a_b classic\n# TYPE a_b untyped\na_b{job=\"0\",x=\"0\"} 2\na_b{job=\"0\",x=\"1\"} 1\n\
                  a_b{job=\"1\",x=\"1\"} 3\n";
    check(&bodies, Escaping::Underscores, 0, merged);
    let apart = "# TYPE \"a-b\" untyped\n{\"a-b\",job=\"0\",x=\"0\"} 2\n# HELP \"a.b\" dot\n# TYPE \"a.b\" untyped\n\
                 {\"a.b\",job=\"0\",x=\"1\"} 1\n# HELP a_b classic\n# TYPE a_b untyped\na_b{job=\"1\",x=\"1\"} 3\n";
    check(&bodies, Escaping::AllowUtf8, 0, apart);
}

#[test]
fn families_are_sorted_by_the_name_shown() {
    let bodies = ["{\"a.z\"} 1\na_b 2\n"];
    let expected = "# TYPE a_b untyped\na_b{job=\"0\"} 2\n# TYPE a_z untyped\na_z{job=\"0\"} 1\n";
    check(&bodies, Escaping::Underscores, 0, expected);
}

#[test]
fn a_family_of_another_type_is_left_out_and_the_classic_one_stays() {
    let classic = "# TYPE a_b gauge\na_b{job=\"1\"} 3\n";
    let bodies = ["# TYPE \"a.b\" counter\n{\"a.b\",x=\"1\"} 1\n{\"a.b\",x=\"2\"} 1\n", "# TYPE a_b gauge\na_b 3\n"];
    check(&bodies, Escaping::Underscores, 2, classic);
    let bodies = ["# TYPE \"a.b\" counter\n{\"a.b\"} 1\n", "# TYPE \"a-b\" gauge\n{\"a-b\"} 3\n"];
    check(&bodies, Escaping::Underscores, 1, classic);
}

#[test]
fn a_family_with_the_name_of_a_part_of_another_is_left_out() {
    let whole = "# TYPE \"a.b\" summary\n{\"a.b_sum\"} 1\n";
    let part = "# TYPE a_b_count untyped\na_b_count{job=\"1\"} 2\n";
    check(&[whole, "a_b_count 2\n"], Escaping::Underscores, 1, part);
    let whole = "# TYPE a_b summary\na_b_sum{job=\"0\"} 1\na_b_count{job=\"0\"} 0\n";
    check(&["# TYPE a_b summary\na_b_sum 1\n", "{\"a.b_sum\"} 2\n"], Escaping::Underscores, 1, whole);
}

#[test]
fn families_of_the_process_itself_come_first_too() {
    check(&["# TYPE \"sidegate.scrapes_total\" gauge\n{\"sidegate.scrapes_total\"} 1\n"], Escaping::Underscores, 1, "");
    let store = holding(&["# TYPE \"sidegate.scrapes_total\" gauge\n{\"sidegate.scrapes_total\"} 1\n"]);
    let alone = store.page_of(KeyLabels::Shown, Escaping::Underscores, |name| name == "sidegate.scrapes_total");
    assert_eq!((alone.names().len(), alone.hidden), (1, 0));
}

#[test]
fn no_name_is_escaped_to_a_push_time() {
    let store = holding(&["# TYPE \"push.time_seconds\" gauge\n{\"push.time_seconds\",a=\"b\"} 1\n"]);
    let page = store.page(Escaping::Underscores);
    assert_eq!((page.names().len(), page.hidden), (2, 1));
    assert_eq!(store.page(Escaping::AllowUtf8).names().len(), 3);
}

#[test]
fn a_series_that_would_come_twice_is_left_out() {
    let header = "# TYPE a untyped\n";
    let series = ["a{\"x.y\"=\"1\"} 1\na{x_y=\"1\"} 2\na{\"x-y\"=\"1\"} 3\na{\"x.y\"=\"2\"} 4\n"];
    let expected = format!("{header}a{{job=\"0\",x_y=\"1\"}} 2\na{{job=\"0\",x_y=\"2\"}} 4\n");
    check(&series, Escaping::Underscores, 2, &expected);
    let expected = "# TYPE a_b untyped\na_b{job=\"0\"} 2\n";
    check(&["{\"a.b\"} 1\na_b 2\n{\"a-b\"} 3\n"], Escaping::Underscores, 2, expected);
}

#[test]
fn a_series_that_would_have_a_label_twice_or_that_of_the_name_is_left_out() {
    let header = "# TYPE a untyped\na{job=\"0\"} 1\n";
    check(&["a 1\na{\"x.y\"=\"1\",x_y=\"1\"} 2\n"], Escaping::Underscores, 1, header);
    check(&["a 1\na{\"..name..\"=\"1\"} 2\n"], Escaping::Underscores, 1, header);
}

#[test]
fn a_family_of_which_nothing_can_be_shown_has_no_header() {
    check(&["a{\"x.y\"=\"1\",x_y=\"1\"} 2\n"], Escaping::Underscores, 1, "");
}

#[test]
fn one_page_is_kept_for_all_schemes_while_names_are_classic_and_one_for_each_later() {
    let store = holding(&["a 1\n"]);
    let classic = store.page(Escaping::Underscores);
    assert!(Arc::ptr_eq(&classic, &store.page(Escaping::AllowUtf8)));
    let families = text::decode(b"{\"a.b\"} 1\n", NameValidation::Utf8).unwrap();
    submit(&store, "/metrics/job/0", families);
    let (underscores, unescaped) = (store.page(Escaping::Underscores), store.page(Escaping::AllowUtf8));
    assert!(classic.revision < underscores.revision && underscores.text() != unescaped.text());
    assert!(Arc::ptr_eq(&underscores, &store.page(Escaping::Underscores)));
    assert!(Arc::ptr_eq(&unescaped, &store.page(Escaping::AllowUtf8)));
}

#[test]
fn an_openmetrics_page_is_kept_beside_that_in_text() {
    let store = holding(&["a 1\n"]);
    let (text, openmetrics) = (store.page(Escaping::Underscores), store.openmetrics_page(Escaping::Underscores));
    assert!(!Arc::ptr_eq(&text, &openmetrics));
    assert!(Arc::ptr_eq(&text, &store.page(Escaping::Dots)));
    assert!(Arc::ptr_eq(&openmetrics, &store.openmetrics_page(Escaping::Dots)));
    let samples = |page: &Page| {
        let text = String::from_utf8(page.text().to_vec()).unwrap();
        text.split_inclusive('\n').filter(|line| line.starts_with("a{")).collect::<String>()
    };
    assert_eq!(samples(&openmetrics), "a{instance=\"\",job=\"0\"} 1\n");
    submit(&store, "/metrics/job/1", text::decode(b"a 2\n", NameValidation::Utf8).unwrap());
    assert_eq!(samples(&store.openmetrics_page(Escaping::Dots)).lines().count(), 2);
}

#[test]
fn an_openmetrics_page_with_exemplars_of_other_names_is_for_one_scheme() {
    let store = Store::new();
    for (number, name) in ["trace_id", "\"trace.id\""].into_iter().enumerate() {
        let body = format!("# TYPE c counter\nc_total 1 # {{{name}=\"abc\"}} 1\n");
        let families = openmetrics::decode(body.as_bytes(), NameValidation::Utf8).unwrap();
        submit(&store, "/metrics/job/0", families);
        let pages = [Escaping::AllowUtf8, Escaping::Underscores].map(|escaping| store.openmetrics_page(escaping));
        assert_eq!(Arc::ptr_eq(&pages[0], &pages[1]), number == 0);
        for (page, name) in pages.iter().zip([name, "trace_id"]) {
            let text = page.text();
            let text = std::str::from_utf8(&text).unwrap();
            assert!(text.contains(&format!("# {{{name}=\"abc\"}} 1\n")), "{text}");
        }
    }
}

/// Names that schemes make alike in every way they can.
fn any_name() -> impl Strategy<Value = &'static str> {
    let names = [
        "a",
        "a.b",
        "a-b",
        "a_b",
        "a b",
        "a_sum",
        "a.sum",
        "a.b_count",
        "a_b_count",
        "a-b.count",
        "a:b",
        "..name..",
        "a_total",
        "a.total",
        "a.b_total",
        "a-b_total",
    ];
    prop::sample::select(names.to_vec())
}

fn any_body() -> impl Strategy<Value = String> {
    let labels = prop::collection::btree_map(any_name(), "[12]", 0..3);
    let family = (any_name(), prop::sample::select(vec!["gauge", "counter", "summary"]), labels);
    let families = prop::collection::vec(family, 1..8);
    families.prop_map(|families| {
        let mut body = String::new();
        let mut names = BTreeSet::new();
        for (name, kind, labels) in families {
            if names.insert(name) {
                body += &format!("# TYPE {name:?} {kind}\n");
            }
            let labels: String = labels.iter().map(|(name, value)| format!(",{name:?}={value:?}")).collect();
            let suffix = if body.contains(&format!("# TYPE {name:?} summary\n")) { "_sum" } else { "" };
            body += &format!("{{\"{name}{suffix}\"{labels}}} 1\n");
        }
        body
    })
}

/// Gives a family a unit that some names end with, and exemplars to a counter.
fn carry_more(family: &mut MetricFamily) {
    family.unit = "b".to_owned();
    for metric in family.metrics.iter_mut().filter(|_| family.kind == Kind::Counter) {
        let labels = [("x.y", "1")].into_iter().collect();
        let exemplars = vec![Exemplar { labels, value: 1.0, timestamp: None }];
        metric.extra = Extra { exemplars, ..Extra::default() }.boxed();
    }
}

fn has_exemplar(metric: &Metric, escaping: Escaping) -> bool {
    let exemplar = metric.extra.as_ref().and_then(|extra| extra.exemplars.first());
    exemplar.is_some_and(|exemplar| exemplar.labels.contains(&escaping.label_name("x.y")))
}

/// How many families and series there are, of which none comes twice and each has legal names and a unit that fits.
fn each_once(families: &[MetricFamily], escaping: Escaping) -> Result<(usize, usize), TestCaseError> {
    let validation = if escaping == Escaping::AllowUtf8 { NameValidation::Utf8 } else { NameValidation::Legacy };
    let (mut names, mut series) = (BTreeSet::new(), BTreeSet::new());
    for family in families {
        prop_assert!(names.insert(&family.name) && allows_metric(validation, &family.name), "{}", family.name);
        prop_assert!(family.unit.is_empty() || family.head().shown_unit().is_some(), "{}", family.name);
        for metric in &family.metrics {
            prop_assert!(series.insert((&family.name, &metric.labels)), "{} {}", family.name, metric.labels);
            prop_assert!(metric.labels.iter().all(|(label, _)| validation.allows_label(label)), "{}", metric.labels);
            prop_assert!(escaping == Escaping::AllowUtf8 || !metric.labels.contains("__name__"));
        }
    }
    Ok((names.len(), series.len()))
}

proptest! {
    /// What cannot be told apart is not there, and what is not there was counted.
    #[test]
    fn every_page_has_each_family_and_each_series_once(bodies in prop::collection::vec(any_body(), 1..4)) {
        let store = Store::new();
        for (number, body) in bodies.iter().enumerate() {
            // Some do not fit beside others; those are refused.
            let families = text::decode(body.as_bytes(), NameValidation::Utf8);
            let Ok(mut families) = families else { continue };
            families.iter_mut().for_each(carry_more);
            submit(&store, &format!("/metrics/job/{number}"), families);
        }
        let stored: usize = store.snapshot(Escaping::AllowUtf8, |_| true).families.iter().map(|it| it.metrics().count()).sum();
        for escaping in Escaping::ALL {
            let page = store.page(escaping);
            let text = page.text();
            let text = std::str::from_utf8(&text).unwrap();
            let validation = if escaping == Escaping::AllowUtf8 { NameValidation::Utf8 } else { NameValidation::Legacy };
            let families = text::decode(text.as_bytes(), validation).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
            prop_assert!(page.names().is_sorted_by(|left, right| left < right));
            let expected = (page.names().len(), stored - page.hidden);
            prop_assert_eq!(each_once(&families, escaping)?, expected, "{}", text);

            let page = store.openmetrics_page(escaping);
            let text = page.text();
            let text = std::str::from_utf8(&text).unwrap();
            let families = openmetrics::decode(text.as_bytes(), validation).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
            prop_assert_eq!(each_once(&families, escaping)?, expected, "{}", text);
            let counters = families.iter().filter(|family| family.kind == Kind::Counter);
            prop_assert!(counters.flat_map(|family| &family.metrics).all(|metric| has_exemplar(metric, escaping)), "{}", text);

            let stored = store.snapshot(escaping, |_| true);
            let mut out = Vec::new();
            for family in &stored.families {
                protobuf::write_family(&mut out, family.head(), family.metrics(), escaping, ProtobufForm::Delimited);
            }
            let families = protobuf::decode(&out.into()).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(each_once(&families, escaping)?, expected, "{:?}", families);
            let counters = families.iter().filter(|family| family.kind == Kind::Counter);
            prop_assert!(counters.flat_map(|family| &family.metrics).all(|metric| has_exemplar(metric, Escaping::AllowUtf8)));
            if matches!(escaping, Escaping::AllowUtf8) {
                prop_assert_eq!(page.hidden, 0);
            }
        }
    }
}
