//! Words, strings and trees that YAML makes hard.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

#[track_caller]
fn check(text: &str, expected: Json) {
    let tree = read_yaml(text).unwrap();
    assert_eq!(serde_json::to_value(&tree.value).unwrap(), expected, "{text}");
    assert_eq!(tree.loss, None, "{text}");
    let written = write(&tree.value, Form::Yaml).unwrap();
    assert_eq!(read_yaml(&written).unwrap(), tree, "{text} became {written}");
}

#[test]
fn words_without_quotes_are_what_kubectl_reads_and_words_with_quotes_are_strings() {
    check(
        "{a: on, b: \"on\", c: 'on', d: 0644, e: \"0644\", f: 1e3, g: \"1e3\", h: 0o7, i: '0o7', j: 1_0, k: \"1_0\"}",
        json!({
            "a": true, "b": "on", "c": "on", "d": 420, "e": "0644", "f": 1000.0, "g": "1e3", "h": 7, "i": "0o7",
            "j": 10, "k": "1_0",
        }),
    );
    check("a: on # why\nb: [yes, \"no\",no]\n", json!({"a": true, "b": [true, "no", false]}));
    check(
        "a: !!str on\nb: &x !!str 0644\nc: !!str &y yes\nd: *x\n",
        json!({"a": "on", "b": "0644", "c": "yes", "d": "0644"}),
    );
    check("a: &x on\nb: *x\nc: &y 'on'\nd: *y\n", json!({"a": true, "b": true, "c": "on", "d": "on"}));
    check(
        "a: |\n  on\nb: >-\n  on\nc: 2026-01-01\nd: ~\ne:\nf: ''\n",
        json!({"a": "on\n", "b": "on", "c": "2026-01-01", "d": null, "e": null, "f": ""}),
    );
    check("on: 1\n\"on\": 2\n1: a\n\"010\": b\n010: c\n", json!({"true": 1, "on": 2, "1": "a", "010": "b", "8": "c"}));
}

#[test]
fn what_is_written_is_quoted_where_kubectl_would_read_something_else() {
    let value: Value = serde_yaml::from_str("[\"on\", \"0644\", \"1_0\", \"<<\", \"1e3\", \"null\", \"x\"]").unwrap();
    let expected = "- \"on\"\n- \"0644\"\n- \"1_0\"\n- \"<<\"\n- \"1e3\"\n- 'null'\n- x\n";
    assert_eq!(write(&value, Form::Yaml).unwrap(), expected);
}

#[test]
fn anchors_are_followed_and_merged_as_kubectl_does_it() {
    check("a: &a {x: 1, z: 1}\nb: {<<: *a, z: 2}\n", json!({"a": {"x": 1, "z": 1}, "b": {"x": 1, "z": 2}}));
    check("a: &a {x: 1}\nb: {x: 2, <<: *a}\n", json!({"a": {"x": 1}, "b": {"x": 1}}));
    check(
        "a: &a {x: 1}\nb: &b {x: 2, z: 2}\nc: {<<: [*a, *b]}\n",
        json!({"a": {"x": 1}, "b": {"x": 2, "z": 2}, "c": {"x": 1, "z": 2}}),
    );
    assert!(read_yaml("a: {<<: 1}").unwrap_err().to_string().contains("expected a mapping, or several, behind <<"));
}

#[test]
fn what_a_tree_cannot_hold_is_told() {
    for (text, loss) in [
        ("a: !secret b", "a value with the tag !secret"),
        ("a: !!binary aGk=", "a value with the tag !!binary"),
        ("{a: 1, a: 1}", "the key \"a\" twice"),
        ("a: .inf", "the number inf"),
        ("1.5: a", "the number 1.5 as a key"),
    ] {
        assert_eq!(read_yaml(text).unwrap().loss.as_deref(), Some(loss), "{text}");
    }
    assert_eq!(read_json("{\"a\": 1, \"a\": 2}").unwrap().loss.as_deref(), Some("the key \"a\" twice"));
    // A key of its own beside a merged one is no mistake.
    assert_eq!(read_yaml("a: &a {x: 1}\nb: {<<: *a, x: 2}").unwrap().loss, None);
}

#[test]
fn a_bomb_of_anchors_is_refused_and_so_is_what_is_too_deep() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let before = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    assert!(read_yaml(&bomb).unwrap_err().to_string().contains("repetition limit exceeded"));
    let deep = "[".repeat(10_000);
    assert!(
        read_yaml(&format!("{deep}{}", deep.replace('[', "]"))).unwrap_err().to_string().contains("recursion limit")
    );
    assert!(
        read_json(&format!("{deep}{}", deep.replace('[', "]"))).unwrap_err().to_string().contains("recursion limit")
    );
}

#[test]
fn json_stays_json() {
    let tree = read_json(r#"{"b": "on", "a": "\ud83d\ude00\/", "c": 1.50, "d": [true, null, 10]}"#).unwrap();
    assert_eq!(
        serde_json::to_value(&tree.value).unwrap(),
        json!({"b": "on", "a": "\u{1f600}/", "c": 1.5, "d": [true, null, 10]})
    );
    let written = write(&tree.value, Form::Json).unwrap();
    assert!(written.starts_with("{\n  \"b\": \"on\",\n  \"a\""), "{written}");
    assert_eq!(json_documents(" {} \n[1] {\"a\": 2}\n").unwrap(), [1..3, 5..8, 9..17]);
    assert!(json_documents("{} x").is_err());
}

/// Strings that some reader of YAML takes for something else, or that are hard to spell.
fn hard_string() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "on",
            "Off",
            "y",
            "N",
            "yes",
            "no",
            "true",
            "null",
            "~",
            "",
            " ",
            "<<",
            "=",
            "1e3",
            "0o7",
            "0644",
            "08",
            "1_000",
            "0x1F",
            ".inf",
            "-.5",
            "+1",
            "1.",
            ".nan",
            "2026-01-01",
            "1:30",
            "---",
            "...",
            "- a",
            "? a",
            ": a",
            "a: b",
            "a #b",
            "#",
            "&a",
            "*a",
            "!a",
            "%a",
            "@a",
            "`a",
            "[",
            "]",
            "{",
            "}",
            ",",
            "|",
            ">",
            "\"",
            "'",
            "\\",
            "\t",
            "a\tb",
            "\n",
            "\n\n",
            "a\n",
            "\na",
            " a\nb",
            "a \nb",
            "a\n\nb\n\n",
            "\ta\nb",
            "a\r\nb",
            "\r",
            "\u{85}",
            "a\u{85}\nb",
            "\u{2028}",
            "a\u{2029}\nb",
            "\u{feff}",
            "a\u{feff}",
            "\u{0}",
            "\u{1b}",
            "\u{7f}",
            "\u{1f600}",
            "\u{e000}",
            "---\na",
            "a\n---\nb",
            "a\n...\n",
        ])
        .prop_map(str::to_owned),
        "[ -~\\n]{0,12}",
        "[-+._0-9xobeE]{1,6}",
        any::<String>(),
    ]
}

fn hard_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // Those that `serde_json` reads exactly; Kubernetes has none in what makes pods.
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 16.0)),
        prop::sample::select(vec![1e21, 1e-7, -2.5e300]).prop_map(Value::from),
        hard_string().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Sequence),
            prop::collection::btree_map(hard_string(), inner, 0..6)
                .prop_map(|map| Value::Mapping(map.into_iter().map(|(k, v)| (Value::String(k), v)).collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same(value in hard_value()) {
        // As an object of Kubernetes: scalars at the top are no documents.
        let value = Value::Sequence(vec![value]);
        for form in [Form::Yaml, Form::Json] {
            prop_assert!(write(&value, form).is_ok(), "{:?}", serde_yaml::to_string(&value));
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[-a0:!&* \\n\"'{}\\[\\],<|>#%]{0,40}") {
        if let Ok(tree) = read_yaml(&text) {
            let _ = write(&tree.value, Form::Yaml);
        }
        let _ = (read_json(&text), json_documents(&text));
    }
}
