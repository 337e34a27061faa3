//! Bodies, what they are but for their numbers, and what reading makes of them.

use bytes::Bytes;
use proptest::prelude::*;
use protocol::NameValidation;

use super::{text::sample, *};
use crate::exposition::{Kind, protobuf, text};

fn read(body: &str) -> Vec<MetricFamily> {
    text::decode(body.as_bytes(), NameValidation::Legacy).unwrap()
}

#[test]
fn bodies_that_differ_in_their_numbers_alone_have_one_outline() {
    let outliner = Outliner::default();
    let outlined = |body: &'static str| outliner.text(body.as_bytes()).unwrap();
    let first = outlined("# HELP x Help.\n# TYPE x gauge\nx{a=\"b 1\"} 1\ny 2\n");
    assert_eq!(first.numbers, [1.0, 2.0]);
    let second = outlined("# HELP x Help.\n# TYPE x gauge\nx{a=\"b 1\"} 1e3\ny +Inf\n");
    assert_eq!((second.outline, second.numbers), (first.outline, vec![1000.0, f64::INFINITY]));
    for other in [
        "# HELP x Other.\n# TYPE x gauge\nx{a=\"b 1\"} 1\ny 2\n",
        "# HELP x Help.\n# TYPE x counter\nx{a=\"b 1\"} 1\ny 2\n",
        "# HELP x Help.\n# TYPE x gauge\nx{a=\"b 2\"} 1\ny 2\n",
        "# HELP x Help.\n# TYPE x gauge\nx{a=\"b 1\"} 1\nz 2\n",
        "# HELP x Help.\n# TYPE x gauge\nx{a=\"b 1\"} 1\ny 2",
        "# HELP x Help.\n# TYPE x gauge\nx{a=\"b 1\"} 1\ny  2\n",
        "# HELP x Help.\n# TYPE x gauge\ny 2\nx{a=\"b 1\"} 1\n",
    ] {
        assert_ne!(outlined(other).outline, first.outline, "{other}");
    }
    assert_ne!(Outliner::default().text(b"x 1\n").unwrap().outline, outlined("x 1\n").outline, "each has its own key");
}

#[test]
fn bodies_of_two_formats_have_two_outlines() {
    let outliner = Outliner::default();
    let [text, messages] = [Format::Text, Format::Protobuf].map(|format| {
        let mut draft = outliner.draft(format, b"x 1");
        draft.number(1.0, 2, 3).unwrap();
        draft.finish().unwrap().outline
    });
    assert_eq!(text, outliner.text(b"x 2").unwrap().outline);
    assert_ne!(text, messages);
}

#[test]
fn what_is_not_plain_has_no_outline() {
    let outliner = Outliner::default();
    for body in
        ["", "# HELP x Help.\n", "x 1\r\n", "# c\r\nx 1\n", " x 1\n", "{\"x\"} 1\n", "x -0\n", "x\n", "x y\n", "x 1 \n"]
    {
        assert_eq!(outliner.text(body.as_bytes()), None, "{body:?}");
    }
    assert_eq!(outliner.text(b"x{a=\"\xff\"} 1\n"), None);
}

#[test]
fn an_outline_is_of_families_whose_numbers_it_has_in_their_order() {
    let is_of = |body: &str| Outliner::default().text(body.as_bytes()).unwrap().is_of(&read(body));
    assert!(is_of("# TYPE x counter\nx{a=\"1\"} 1\nx{a=\"2\"} NaN\ny 3\n"));
    assert!(!is_of("x{a=\"1\"} 0\ny 0\nx{a=\"2\"} 0\n"), "a family in two parts");
    assert!(!is_of("x 1 5\n"), "a timestamp");
    assert!(!is_of("# TYPE x summary\nx_sum 1\nx_count 1\n"));
}

/// What a line may be made of: enough of what lines are made of that many can be read.
fn line() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        Just("x"),
        Just("y"),
        Just("{a=\"1\"}"),
        Just("{a=\"b 2\"}"),
        Just("{a=\"} 1\"}"),
        Just(" "),
        Just("\t"),
        Just("1"),
        Just("2.5"),
        Just("NaN"),
        Just("# TYPE x "),
        Just("# HELP x "),
        Just("gauge"),
        Just("summary"),
        Just("\""),
        Just("5"),
    ];
    prop::collection::vec(token, 0..5).prop_map(|tokens| tokens.concat())
}

proptest! {
    /// Reading the second body would have made the same of it, but for the numbers.
    #[test]
    fn bodies_of_one_outline_are_read_alike(lines in prop::collection::vec(line(), 1..5), change in 0..99_u8) {
        let outliner = Outliner::default();
        let body = lines.join("\n");
        let Some(first) = outliner.text(body.as_bytes()) else { return Ok(()) };
        let Ok(families) = text::decode(body.as_bytes(), NameValidation::Legacy) else { return Ok(()) };
        if !first.is_of(&families) {
            return Ok(());
        }
        // Each number becomes another one.
        let other: Vec<String> = lines.iter().map(|line| match sample(line) {
            Some(Some((_, before, _))) => format!("{}{change}", &line[..before]),
            _ => line.clone(),
        }).collect();
        let other = other.join("\n");
        let second = outliner.text(other.as_bytes()).unwrap();
        prop_assert_eq!(second.outline, first.outline);
        let mut expected = families;
        for metric in expected.iter_mut().flat_map(|family| &mut family.metrics) {
            metric.value = Value::Number(change.into());
        }
        prop_assert_eq!(read(&other), expected);
    }
}

/// Families of plain numbers, and of some that are not.
fn families() -> impl Strategy<Value = Vec<MetricFamily>> {
    let metric =
        ("[a-c]{0,2}", prop_oneof![4 => any::<f64>(), 1 => Just(-0.0)], prop::option::weighted(0.05, any::<i64>()));
    let kind = prop_oneof![Just(Kind::Gauge), Just(Kind::Counter), Just(Kind::Untyped)];
    let family = ("[a-d]{1,2}", kind, prop::collection::vec(metric, 0..4)).prop_map(|(name, kind, metrics)| {
        let metrics = metrics.into_iter().map(|(label, number, timestamp)| Metric {
            labels: [("l", label.as_str())].into_iter().collect(),
            value: Value::Number(number),
            timestamp,
            extra: None,
        });
        MetricFamily { name, help: "Help.".to_owned(), unit: String::new(), kind, metrics: metrics.collect() }
    });
    prop::collection::vec(family, 0..4).prop_map(|mut families| {
        families.sort_by(|left, right| left.name.cmp(&right.name));
        // Of two of one name, one is left aside when they are read.
        families.dedup_by(|left, right| left.name == right.name);
        families
    })
}

proptest! {
    #[test]
    fn messages_that_differ_in_their_numbers_alone_have_one_outline(families in families(), change in 0..99_u8) {
        let outliner = Outliner::default();
        let (mut other, body) = (families.clone(), Bytes::from(protobuf::encode(&families)));
        let numbers = || families.iter().flat_map(|family| &family.metrics);
        let is_plain = |metric: &Metric| {
            metric.timestamp.is_none() && !matches!(metric.value, Value::Number(number) if number == 0.0 && number.is_sign_negative())
        };
        let outlined = outliner.protobuf(&body);
        prop_assert_eq!(outlined.is_some(), numbers().all(is_plain) && 0 < numbers().count());
        let Some(outlined) = outlined else { return Ok(()) };
        prop_assert!(outlined.is_of(&protobuf::decode(&body).unwrap()));
        for metric in other.iter_mut().flat_map(|family| &mut family.metrics) {
            metric.value = Value::Number(change.into());
        }
        let body = Bytes::from(protobuf::encode(&other));
        let second = outliner.protobuf(&body).unwrap();
        prop_assert_eq!(second.outline, outlined.outline);
        prop_assert!(second.is_of(&protobuf::decode(&body).unwrap()));
        other.iter_mut().for_each(|family| family.name.push('x'));
        let body = protobuf::encode(&other);
        prop_assert_ne!(outliner.protobuf(&body).map(|it| it.outline), Some(outlined.outline));
    }

    /// What is read from bytes of one outline is the same but for the numbers.
    #[test]
    fn bytes_that_are_no_messages_break_nothing(families in families(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let outliner = Outliner::default();
        let body = Bytes::from(protobuf::encode(&families));
        let mut damaged = body.to_vec();
        if damaged.is_empty() {
            return Ok(());
        }
        *at.get_mut(&mut damaged) = byte;
        let damaged = Bytes::from(damaged);
        let (Some(first), Some(second)) = (outliner.protobuf(&body), outliner.protobuf(&damaged)) else { return Ok(()) };
        if first.outline == second.outline {
            let (old, mut new) = (protobuf::decode(&body).unwrap(), protobuf::decode(&damaged).unwrap());
            prop_assert!(second.is_of(&new));
            let known = old.iter().flat_map(|family| &family.metrics);
            for (new, old) in new.iter_mut().flat_map(|family| &mut family.metrics).zip(known) {
                new.value = old.value.clone();
            }
            prop_assert_eq!(format!("{new:?}"), format!("{old:?}"));
        }
    }
}
