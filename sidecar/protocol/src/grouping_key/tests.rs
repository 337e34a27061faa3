//! The path grammar by examples and its law: what is printed reads back.

use proptest::prelude::*;

use super::*;

fn check(path: &str, expected: &str) {
    check_read(GroupingKey::from_path(path, PathNames::Legacy), path, expected);
}

fn check_as(names: PathNames, path: &str, expected: &str) {
    check_read(GroupingKey::from_path(path, names), path, expected);
}

fn check_without_job(path: &str, expected: &str) {
    check_read(GroupingKey::from_path_without_job(path, PathNames::Legacy), path, expected);
}

fn check_read(found: Result<GroupingKey, GroupingKeyError>, path: &str, expected: &str) {
    let found = match found {
        Ok(key) => key.to_string(),
        Err(error) => error.to_string(),
    };
    assert_eq!(found, expected, "{path}");
}

fn bad_utf8_name(name: &str) -> String {
    format!(
        "improper label name {name:?}: expected text in UTF-8, not empty, without U+0000, and no `__` at the start, \
         nor once it is unescaped"
    )
}

#[test]
fn plain_paths_are_read() {
    check("/metrics/job/a", r#"{job="a"}"#);
    check("/metrics/job/a/", r#"{job="a"}"#);
    check("/metrics/job/a/instance/b", r#"{instance="b",job="a"}"#);
    check("/metrics/job/a/z/1/b/2", r#"{b="2",job="a",z="1"}"#);
    check("/metrics/job/a%20b/c/%C3%BC+%26", r#"{c="ü+&",job="a b"}"#);
}

#[test]
fn empty_values_and_path_steps_are_data() {
    check("/metrics/job/a/b/", r#"{b="",job="a"}"#);
    check("/metrics/job/a/b//c/d", r#"{b="",c="d",job="a"}"#);
    check("/metrics/job/../b/.", r#"{b=".",job=".."}"#);
    check("/metrics/job/a%2Fb/c/%2F", r#"{c="/",job="a/b"}"#);
}

/// The examples of the Pushgateway's README and the lengths that padding is got wrong with.
#[test]
fn base64_is_read_with_and_without_padding() {
    check("/metrics/job/directory_cleaner/path@base64/L3Zhci90bXA", r#"{job="directory_cleaner",path="/var/tmp"}"#);
    check("/metrics/job/directory_cleaner/path@base64/L3Zhci90bXA=", r#"{job="directory_cleaner",path="/var/tmp"}"#);
    check("/metrics/job/a/first_label@base64/=/second_label/b", r#"{first_label="",job="a",second_label="b"}"#);
    check("/metrics/job@base64/YQ", r#"{job="a"}"#);
    check("/metrics/job@base64/YWI", r#"{job="ab"}"#);
    check("/metrics/job@base64/YWJj", r#"{job="abc"}"#);
    check("/metrics/job@base64/YWJ", r#"{job="ab"}"#);
    check("/metrics/job@base64/YQ======", r#"{job="a"}"#);
    check("/metrics/job/Pr%CE%BFmetheus", r#"{job="Prοmetheus"}"#);
    check("/metrics/job@base64/UHLOv21ldGhldXM=", r#"{job="Prοmetheus"}"#);
    check("/metrics/job@base64/8J-Yig", r#"{job="😊"}"#);
    check("/metrics/job@base64/8J+Yig", r#"{job="😊"}"#);
    check("/metrics/job%40base64/YQ", r#"{job="a"}"#);
}

#[test]
fn what_is_no_key_is_explained() {
    let advice = "make it with `base64 -w0 | tr '+/' '-_'`";
    check("/metrics", "expected /metrics/job/JOB or /metrics/job@base64/JOB, found another path");
    check("/metrics/jobs/a", "expected /metrics/job/JOB or /metrics/job@base64/JOB, found another path");
    check("/metrics/job", "expected /metrics/job/JOB or /metrics/job@base64/JOB, found another path");
    let empty = "job name is required: expected a value for `job`, found an empty one";
    check("/metrics/job/", empty);
    check("/metrics/job//a/b", empty);
    check("/metrics/job@base64/=", empty);
    let odd = |labels: &str| {
        format!(
            "odd number of components in label string {labels:?}: expected a value after each label name; \
             write `/` in a value as `%2F`, or put the value in base64, {advice}"
        )
    };
    check("/metrics/job/a/b", &odd("b"));
    check("/metrics/job/a/b/c/", &odd("b/c/"));
    let name = |name: &str| {
        format!(
            "improper label name {name:?}: expected a letter or `_`, then letters, digits and `_`, \
             and no `__` at the start"
        )
    };
    check("/metrics/job/a/1b/c", &name("1b"));
    check("/metrics/job/a/__b/c", &name("__b"));
    check("/metrics/job/a/b@base64@base64/YQ", &name("b@base64"));
    check("/metrics/job/a//b", &name(""));
    check("/metrics/job/a/b/1/b/1", "expected each label once in the grouping key, found \"b\" again");
    check("/metrics/job/a/job/b", "expected each label once in the grouping key, found \"job\" again");
    check(
        "/metrics/job/a/b@base64/x%20y",
        &format!("invalid base64 encoding for label \"b\": expected the URL-safe alphabet, found \"x y\"; {advice}"),
    );
    check(
        "/metrics/job@base64/YWJjZ",
        &format!(
            "invalid base64 encoding for label \"job\": expected the URL-safe alphabet, found \"YWJjZ\"; {advice}"
        ),
    );
    let escape = |name: &str| {
        format!(
            "expected two hexadecimal digits after each `%` in label {name:?} and its value, found something else; \
             `%` itself is `%25`"
        )
    };
    check("/metrics/job/50%", &escape("job"));
    check("/metrics/job/a/b/%2", &escape("b"));
    check("/metrics/job/a/b/%zz", &escape("b"));
    check("/metrics/job/%ff", "expected UTF-8 as value of label \"job\", found other bytes");
    check("/metrics/job/a/b@base64/_w", "expected UTF-8 as value of label \"b\", found other bytes");
}

/// Section 14 of the reference: the `U__` form, and any other text as it is.
#[test]
fn names_of_any_text_are_read_where_they_are_allowed() {
    let check = |path: &str, expected: &str| check_as(PathNames::Utf8, path, expected);
    check("/metrics/job/a/foo.bar_x/1", r#"{"foo.bar_x"="1",job="a"}"#);
    check("/metrics/job/a/U__foo_2e_bar__x/1", r#"{"foo.bar_x"="1",job="a"}"#);
    check("/metrics/job/a/U__foo_2E_bar__x@base64/MQ", r#"{"foo.bar_x"="1",job="a"}"#);
    check("/metrics/job/a/gr%C3%B6%C3%9Fe%20y/1", r#"{"größe y"="1",job="a"}"#);
    check("/metrics/job/a/1a/%2F/a-b/", r#"{"1a"="/","a-b"="",job="a"}"#);
    check("/metrics/job/a/b@base64@base64/YQ", r#"{"b@base64"="a",job="a"}"#);
    check("/metrics/job/a/a%2Fb/../../c", r#"{".."="c","a/b"="..",job="a"}"#);
    // What does not fit is the name as written, whole.
    check("/metrics/job/a/U__a_2e_b_/1", r#"{U__a_2e_b_="1",job="a"}"#);
    check("/metrics/job/a/U___d800_/1", r#"{U___d800_="1",job="a"}"#);

    check("/metrics/job/a//b", &bad_utf8_name(""));
    check("/metrics/job/a/U__/b", &bad_utf8_name("U__"));
    check("/metrics/job/a/U__@base64/Yg", &bad_utf8_name("U__"));
    check("/metrics/job/a/__b/c", &bad_utf8_name("__b"));
    check("/metrics/job/a/U______b/c", &bad_utf8_name("U______b"));
    check("/metrics/job/a/%ff/c", &bad_utf8_name("\u{fffd}"));
    check("/metrics/job/a/b%00/c", &bad_utf8_name("b\0"));
    check("/metrics/job/a/U__b_0_/c", &bad_utf8_name("U__b_0_"));
    check("/metrics/job/a/%00@base64/Yw", &bad_utf8_name("\0"));
    check("/metrics/job/a/a.b/1/U__a_2e_b/1", "expected each label once in the grouping key, found \"a.b\" again");
    check("/metrics/job/a/U__job/b", "expected each label once in the grouping key, found \"job\" again");
    check("/metrics/job/", "job name is required: expected a value for `job`, found an empty one");
}

#[test]
fn a_literal_path_is_read_as_written() {
    let check = |path: &str, expected: &str| check_as(PathNames::Literal, path, expected);
    check("/metrics/job/a/U__foo_2e_bar/1", r#"{U__foo_2e_bar="1",job="a"}"#);
    check("/metrics/job/a/foo.bar/1", r#"{"foo.bar"="1",job="a"}"#);
    check("/metrics/job@base64/=/a%40base64@base64/YQ", r#"{"a@base64"="a",job=""}"#);
    check("/metrics/job/", r#"{job=""}"#);
    check("/metrics", "expected /metrics/job/JOB or /metrics/job@base64/JOB, found another path");
    check("/metrics/job/a/__b/c", &bad_utf8_name("__b"));
    check("/metrics/job/a/b%00/c", &bad_utf8_name("b\0"));
}

#[test]
fn a_job_may_be_missing_where_that_is_allowed() {
    let check = check_without_job;
    check("/metrics", r#"{job=""}"#);
    check("/metrics/", r#"{job=""}"#);
    check("/metrics/job/", r#"{job=""}"#);
    check("/metrics/job@base64/=", r#"{job=""}"#);
    check("/metrics/job//a/b", r#"{a="b",job=""}"#);
    check("/metrics/instance/x", r#"{instance="x",job=""}"#);
    check("/metrics/a@base64/Lw/b/", r#"{a="/",b="",job=""}"#);
    check("/metrics/instance/x/job/y", r#"{instance="x",job="y"}"#);
    check("/metrics/job/a/b/c", r#"{b="c",job="a"}"#);
    check("/metrics/jobs/a", r#"{job="",jobs="a"}"#);
    check("/metricsjob/a", "expected /metrics or a path below /metrics/, found another path");
    let odd = |labels: &str| {
        format!(
            "odd number of components in label string {labels:?}: expected a value after each label name; \
             write `/` in a value as `%2F`, or put the value in base64, make it with `base64 -w0 | tr '+/' '-_'`"
        )
    };
    check("/metrics/job", &odd("job"));
    check("/metrics/a/b/", &odd("a/b/"));
    let classic = "expected a letter or `_`, then letters, digits and `_`, and no `__` at the start";
    check("/metrics//a", &format!("improper label name \"\": {classic}"));
    check("/metrics/__a/b", &format!("improper label name \"__a\": {classic}"));
}

#[test]
fn labels_are_a_key_with_any_names_and_an_empty_job() {
    let check = |labels: &[(&str, &str)], expected: &str| {
        let labels: LabelSet = labels.iter().copied().collect();
        check_read(GroupingKey::from_labels(labels.clone()), &labels.to_string(), expected);
    };
    check(&[("job", ""), ("a.b", "1")], r#"{"a.b"="1",job=""}"#);
    check(&[("a", "1")], "job name is required: expected a value for `job`, found an empty one");
    check(&[("job", "a"), ("", "1")], &bad_utf8_name(""));
    check(&[("job", "a"), ("__b", "1")], &bad_utf8_name("__b"));
    check(&[("job", "a"), ("b\0", "1")], &bad_utf8_name("b\0"));
}

#[test]
fn a_key_without_instance_is_exposed_with_an_empty_one() {
    let key = GroupingKey::from_path("/metrics/job/a", PathNames::Legacy).unwrap();
    assert_eq!(key.exposed_labels().to_string(), r#"{instance="",job="a"}"#);
    let key = GroupingKey::from_path("/metrics/job/a/instance/b", PathNames::Legacy).unwrap();
    assert_eq!(key.exposed_labels().to_string(), r#"{instance="b",job="a"}"#);
}

#[test]
fn slashes_empty_values_and_steps_travel_in_base64() {
    let labels = [("job", "a/b"), ("c", ""), ("d", ".."), ("e", "x y")];
    let key = GroupingKey::from_labels(labels.into_iter().collect()).unwrap();
    assert_eq!(key.to_path(), "/metrics/job@base64/YS9i/c@base64/=/d@base64/Li4/e/x%20y");
}

#[test]
fn names_that_would_mean_something_else_are_written_so_that_they_do_not() {
    let labels = [("job", ""), ("a@base64", "x"), ("..", "y"), ("b/c", "z"), ("U__d", "w")];
    let key = GroupingKey::from_labels(labels.into_iter().collect()).unwrap();
    assert_eq!(key.to_path(), "/metrics/job@base64/=/..@base64/eQ/U__d/w/a%40base64@base64/eA/b%2Fc/z");
    assert_eq!(GroupingKey::from_path(&key.to_path(), PathNames::Literal), Ok(key));
}

/// A label name of any text, with the pieces that paths give a meaning to more often than chance would.
fn any_name() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        prop::sample::select(vec!["@base64", "/", ".", "..", "%", "%2F", "U__", "_", "_2e_", "a", "job", "=", "+"])
            .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 1..4).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_printed_key_reads_back(
        job in "\\PC+|.+",
        labels in prop::collection::vec(("[a-zA-Z][a-zA-Z0-9_]{0,8}", any::<String>()), 0..5),
    ) {
        let mut set: LabelSet = labels.into_iter().collect();
        set.insert("job", job);
        let key = GroupingKey::from_labels(set).unwrap();
        let path = key.to_path();
        prop_assert!(!path.contains("//"), "{}", path);
        prop_assert_eq!(GroupingKey::from_path(&path, PathNames::Literal), Ok(key.clone()));
        prop_assert_eq!(GroupingKey::from_path_without_job(&path, PathNames::Legacy), Ok(key.clone()));
        prop_assert_eq!(GroupingKey::from_path(&path, PathNames::Legacy), Ok(key.clone()));
        prop_assert_eq!(key.to_path_for(PathNames::Legacy), path);
    }

    #[test]
    fn a_printed_key_with_any_names_reads_back_as_it_was_printed(
        job in any::<String>(),
        labels in prop::collection::vec((any_name(), any_name()), 0..5),
    ) {
        let mut set: LabelSet = labels.into_iter().collect();
        set.insert("job", job);
        // Names that are empty or reserved make no key.
        let Ok(key) = GroupingKey::from_labels(set) else { return Ok(()) };
        for names in [PathNames::Literal, PathNames::Utf8] {
            let path = key.to_path_for(names);
            prop_assert!(!path.contains("//"), "{}", path);
            prop_assert!(path.split('/').all(|part| part != "." && part != ".."), "{}", path);
            prop_assert_eq!(GroupingKey::from_path_without_job(&path, names), Ok(key.clone()), "{}", path);
        }
    }

    #[test]
    fn no_path_breaks_the_parser(path in any::<String>()) {
        for names in [PathNames::Legacy, PathNames::Utf8, PathNames::Literal] {
            for path in [path.clone(), format!("/metrics/job/{path}"), format!("/metrics/{path}")] {
                let _ = GroupingKey::from_path(&path, names);
                let _ = GroupingKey::from_path_without_job(&path, names);
            }
        }
    }
}

#[test]
fn a_refusal_repeats_only_the_start_of_the_path() {
    let (long, name) = ("%01".repeat(1 << 16), "n".repeat(1 << 16));
    let paths = [
        format!("/metrics/job/j/{long}"),
        format!("/metrics/job/j/{long}/a"),
        format!("/metrics/job/j/{name}/a/{name}/a"),
        format!("/metrics/job/j/{name}@base64/{long}"),
        format!("/metrics/job/j/{name}/%ff"),
    ];
    for path in paths {
        let sentence = GroupingKey::from_path(&path, PathNames::Legacy).unwrap_err().to_string();
        assert!(sentence.len() < 1500 && sentence.contains('…'), "{} bytes: {sentence:.200}", sentence.len());
    }
}
