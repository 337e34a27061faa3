//! Selectors, by texts in and the labels they match, or their fault, out.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(selector: &str, labels: &[(&str, &str)], expected: bool) {
    let labels: LabelSet = labels.iter().copied().collect();
    assert_eq!(Selector::parse(selector, MOST_MATCHERS).unwrap().matches(&labels), expected, "{selector} {labels}");
}

#[track_caller]
fn refused(selector: &str, sentence: &str) {
    assert_eq!(Selector::parse(selector, MOST_MATCHERS).unwrap_err().to_string(), sentence, "{selector}");
}

#[test]
fn all_matchers_have_to_match() {
    let key = [("job", "a"), ("instance", "i1")];
    check(r#"{job="a"}"#, &key, true);
    check(r#"{job="a",instance="i2"}"#, &key, false);
    check(r#"{job="a",instance!="i2"}"#, &key, true);
    check(r#"{job="a",instance!="i1"}"#, &key, false);
    check(r#"{job=~"a|b",instance=~"i\\d"}"#, &key, true);
    check(r#"{job="a",instance!~"i.*"}"#, &key, false);
    check(r#"{job="a",instance!~"x.*"}"#, &key, true);
}

#[test]
fn a_label_that_is_not_there_is_an_empty_one() {
    let key = [("job", "a")];
    check(r#"{job="a",zone=""}"#, &key, true);
    check(r#"{job="a",zone!="b"}"#, &key, true);
    check(r#"{job="a",zone=~".*"}"#, &key, true);
    check(r#"{job="a",zone!=""}"#, &key, false);
    check(r#"{zone=~".+"}"#, &key, false);
}

#[test]
fn patterns_match_whole_values() {
    check(r#"{job=~"a"}"#, &[("job", "ab")], false);
    check(r#"{job=~"a|b"}"#, &[("job", "ab")], false);
    check(r#"{job=~"a.b"}"#, &[("job", "a\nb")], true);
    check(r#"{job=~"a"}"#, &[("job", "a\n")], false);
    check(r#"{job=~"größe.?"}"#, &[("job", "größe→")], true);
    check(r#"{job=~"(?i)A"}"#, &[("job", "a")], true);
}

#[test]
fn names_and_values_are_quoted_in_three_ways() {
    check(r#"{"größe m"="x"}"#, &[("größe m", "x")], true);
    check(r#"{job='a"b'}"#, &[("job", "a\"b")], true);
    check(r#"{job=~`\d\x41`}"#, &[("job", "1A")], true);
    check(r#"{job="\\\"\n\t\r\'"}"#, &[("job", "\\\"\n\t\r'")], true);
    check(" { job = \"a\" , \n zone = \"\" , } ", &[("job", "a")], true);
}

#[test]
fn what_a_group_without_labels_matches_is_refused() {
    for all in ["{}", r#"{job=~".*"}"#, r#"{zone!="b"}"#, r#"{zone="",job!~"x"}"#] {
        let sentence = format!(
            "expected a selector with a matcher that refuses an empty value, found {all:?}, which a group \
             without labels matches"
        );
        refused(all, &sentence);
    }
}

#[test]
fn a_metric_name_is_refused() {
    let sentence = |at, name| {
        format!(
            "bad selector at character {at}: expected no metric name, since groups have none, found {name:?}; \
             select by labels, such as {{job=\"a\"}}"
        )
    };
    refused(r#"up{job="a"}"#, &sentence(1, "up"));
    refused("job", &sentence(1, "job"));
    refused(r#"{"my.metric",job="a"}"#, &sentence(2, "my.metric"));
    refused(r#"{job="a","my.metric"}"#, &sentence(10, "my.metric"));
    refused(r#"{__name__="up"}"#, &sentence(2, "up"));
}

#[test]
fn a_fault_names_place_expectation_and_finding() {
    let rows = [
        ("", 1, "`{`, found the end of the text"),
        (r#"{"#, 2, "a label name, found the end of the text"),
        (r#"{,}"#, 2, "a label name, found ','"),
        (r#"{1a="b"}"#, 2, "a label name, found '1'"),
        (r#"{""="b"}"#, 2, "a label name that is not empty, found '\"'"),
        (r#"{job}"#, 5, "`=`, `!=`, `=~` or `!~`, found '}'"),
        (r#"{job!"a"}"#, 5, "`=`, `!=`, `=~` or `!~`, found '!'"),
        (r#"{job=="a"}"#, 6, "a value in quotes, found '='"),
        (r#"{job=a}"#, 6, "a value in quotes, found 'a'"),
        (r#"{größe="a"}"#, 4, "`=`, `!=`, `=~` or `!~`, found 'ö'"),
        (r#"{job="ü"b="c"}"#, 9, "`,` or `}`, found 'b'"),
        (r#"{job="a"#, 8, "the closing quote, found the end of the text"),
        ("{job=\"a\n\"}", 8, "the closing quote, found '\\n'"),
        (r#"{job="a"} or"#, 11, "the end of the selector, found 'o'"),
        (
            r#"{job=~"\d"}"#,
            9,
            "`\\\\`, `\\\"`, `\\'`, `\\n`, `\\r` or `\\t` as escape (a pattern's backslash is doubled), found 'd'",
        ),
    ];
    for (selector, at, rest) in rows {
        refused(selector, &format!("bad selector at character {at}: expected {rest}"));
    }
}

#[test]
fn a_bad_pattern_is_told_with_its_fault() {
    for (pattern, at) in [("a(", 7), ("*", 7), ("a)|(b", 7), ("((a{1000}){1000})", 7)] {
        let error = Selector::parse(&format!("{{job=~{pattern:?}}}"), MOST_MATCHERS).unwrap_err().to_string();
        let start = format!("bad selector at character {at}: expected a regular expression, found {pattern:?}: ");
        assert!(error.starts_with(&start) && start.len() < error.len(), "{error}");
    }
}

proptest! {
    #[test]
    fn no_text_breaks_the_parser(
        any in any::<String>(),
        text in "[{}a_=~!\"'`,\\\\ \nnx0-9ä]{0,24}",
        pattern in "[a.*+?()|\\[\\]^$\\\\{},0-9pxuä\"-]{0,16}",
        value in any::<String>(),
    ) {
        let labels: LabelSet = [("a", value.as_str())].into_iter().collect();
        for selector in [any.clone(), text, format!("{{a=~`{pattern}`}}"), format!("{{a!~\"{pattern}\",b=\"{any}\"}}")] {
            match Selector::parse(&selector, usize::MAX) {
                Ok(selector) => drop(selector.matches(&labels)),
                Err(error) => prop_assert!(error.to_string().starts_with("bad selector at character ")
                    || error.to_string().starts_with("expected a selector with a matcher "), "{error}"),
            }
        }
    }

    #[test]
    fn a_quoted_value_selects_itself_and_nothing_else(value in any::<String>(), other in any::<String>()) {
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels = |value: &str| [("job", "j"), ("a", value)].into_iter().collect::<LabelSet>();
        let selector = Selector::parse(&format!("{{job=\"j\",a=\"{quoted}\"}}"), 2).unwrap();
        prop_assert!(selector.matches(&labels(&value)));
        prop_assert_eq!(selector.matches(&labels(&other)), other == value);
    }
}
