//! The path grammar by examples and its law: what is printed reads back.

use proptest::prelude::*;

use super::*;

fn check(path: &str, expected: &str) {
    let found = match GroupingKey::from_path(path) {
        Ok(key) => key.to_string(),
        Err(error) => error.to_string(),
    };
    assert_eq!(found, expected, "{path}");
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
             a value that holds `/` has to be in base64, {advice}"
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
            "expected two hexadecimal digits after each `%` in the value of label {name:?}, found something else; \
             `%` itself is `%25`"
        )
    };
    check("/metrics/job/50%", &escape("job"));
    check("/metrics/job/a/b/%2", &escape("b"));
    check("/metrics/job/a/b/%zz", &escape("b"));
    check("/metrics/job/%ff", "expected UTF-8 as value of label \"job\", found other bytes");
    check("/metrics/job/a/b@base64/_w", "expected UTF-8 as value of label \"b\", found other bytes");
}

#[test]
fn a_key_without_instance_is_exposed_with_an_empty_one() {
    let key = GroupingKey::from_path("/metrics/job/a").unwrap();
    assert_eq!(key.exposed_labels().to_string(), r#"{instance="",job="a"}"#);
    let key = GroupingKey::from_path("/metrics/job/a/instance/b").unwrap();
    assert_eq!(key.exposed_labels().to_string(), r#"{instance="b",job="a"}"#);
}

#[test]
fn slashes_empty_values_and_steps_travel_in_base64() {
    let labels = [("job", "a/b"), ("c", ""), ("d", ".."), ("e", "x y")];
    let key = GroupingKey::from_labels(labels.into_iter().collect()).unwrap();
    assert_eq!(key.to_path(), "/metrics/job@base64/YS9i/c@base64/=/d@base64/Li4/e/x%20y");
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
        prop_assert_eq!(GroupingKey::from_path(&path), Ok(key));
    }

    #[test]
    fn no_path_breaks_the_parser(path in any::<String>()) {
        let _ = GroupingKey::from_path(&path);
        let _ = GroupingKey::from_path(&format!("/metrics/job/{path}"));
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
        let sentence = GroupingKey::from_path(&path).unwrap_err().to_string();
        assert!(sentence.len() < 1500 && sentence.contains('…'), "{} bytes: {sentence:.200}", sentence.len());
    }
}
