//! Which groups go from a Pushgateway, whatever their labels.

use std::path::Path;

use anyhow::ensure;
use serde_json::{Value, json};

use crate::world::{Collecting, Gateway, key};

/// Stale after a second, unless the job says that it stays.
fn spec(gateway: &Gateway) -> Value {
    json!({"gateway": {"url": gateway.url()}, "staleAfter": "1s", "rules": [{"match": {"job": "stays.*"}}]})
}

pub(crate) fn hostile_labels_are_removed_and_bystanders_stay(program: &Path) -> anyhow::Result<()> {
    let mut gateway = Gateway::start(program, &[])?;
    let values = [
        "a,b",
        "x=y",
        "{id}",
        "}",
        "{",
        "say \"hi\"",
        "back\\slash",
        "trailing\\",
        "new\nline",
        "\r",
        "größe",
        "日本",
        "\u{2028}",
        "/path/to",
        "..",
        ".",
        " ",
        " padded ",
        "a b",
        "\t",
        "#",
        "100%",
        "+",
        "a/b,c=\"d\\\"}\n",
        "",
        "//",
        "?a=b",
        "@base64",
        "=",
    ];
    let mut stale = 0;
    for value in values {
        gateway.push(&key(&[("job", "goes"), ("value", value)])?)?;
        // The same values in a group that stays, and some that careless reading would take for one of the others.
        gateway.push(&key(&[("job", "stays"), ("value", value)])?)?;
        stale += 1;
        if !value.is_empty() {
            gateway.push(&key(&[("job", value)])?)?;
            stale += 1;
        }
    }
    let stays = values.len() as u64;
    let collecting = Collecting::start(spec(&gateway), &json!({}))?;
    collecting
        .until("only what stays to be left", |report| ((report.groups, report.stale) == (stays, 0)).then_some(()))?;
    let left = gateway.labels()?;
    ensure!(left.len() as u64 == stays && left.iter().all(|labels| labels["job"] == "stays"), "{left:?}");
    ensure!(gateway.removals()? == stale, "expected {stale} removals, found {}", gateway.removals()?);
    Ok(())
}

pub(crate) fn no_instance_and_an_empty_one_are_each_removed_by_their_own_key(program: &Path) -> anyhow::Result<()> {
    let mut gateway = Gateway::start(program, &[])?;
    let stale: [&[(&str, &str)]; 3] =
        [&[("job", "none")], &[("job", "empty"), ("instance", "")], &[("job", "some"), ("instance", "i")]];
    // Each has a neighbour that a wrong key would hit.
    let stays: [&[(&str, &str)]; 3] =
        [&[("job", "stays-none")], &[("job", "stays-empty"), ("instance", "")], &[("job", "stays"), ("instance", "i")]];
    for labels in stale.into_iter().chain(stays) {
        gateway.push(&key(labels)?)?;
    }
    let collecting = Collecting::start(spec(&gateway), &json!({}))?;
    collecting.until("three groups to be left", |report| ((report.groups, report.stale) == (3, 0)).then_some(()))?;
    let mut left = gateway.labels()?;
    left.sort_by_key(ToString::to_string);
    let expected = [
        json!({"instance": "", "job": "stays-empty"}),
        json!({"instance": "i", "job": "stays"}),
        json!({"job": "stays-none"}),
    ];
    ensure!(left == expected, "{left:?}");
    // Not one for each way to read a key.
    ensure!(gateway.removals()? == 3, "expected 3 removals, found {}", gateway.removals()?);
    Ok(())
}

pub(crate) fn a_group_that_was_only_ever_refused_ages_from_its_refusal(program: &Path) -> anyhow::Result<()> {
    let mut gateway = Gateway::start(program, &[])?;
    gateway.push(&key(&[("job", "stays")])?)?;
    let (status, _) = gateway.call("PUT", "/metrics/job/refused", "# TYPE some_metric counter\nsome_metric 1\n")?;
    ensure!(status == 400, "expected a refusal, found {status}");
    ensure!(gateway.page()?.contains("push_time_seconds{instance=\"\",job=\"refused\"} 0\n"));
    let collecting = Collecting::start(spec(&gateway), &json!({}))?;
    collecting
        .until("the refused group to be gone", |report| ((report.groups, report.stale) == (1, 0)).then_some(()))?;
    ensure!(gateway.labels()? == [json!({"job": "stays"})]);
    Ok(())
}
