//! Labels that name another pod: a sidecar that knows its pod, scraped with labels honoured, leaves Prometheus with what
//! it has of any other exporter, scraped as usual.
//!
//! *Never:* what is on the page.

use std::{collections::BTreeMap, net::SocketAddr};

use anyhow::ensure;
use e2e::{binaries, process::Process, wait};

use crate::{
    gateway::{Push, TEXT},
    world::{LIMIT, Scraper, block_on},
};

crate::tests![prometheus_has_what_it_would_have_without_honouring_labels];

/// As a monitor gives a target its pod. One that honours labels, and one that does not.
const WAYS: [(&str, &str); 2] = [
    (
        "honouring",
        "{relabel_configs: [{target_label: pod, replacement: web-0}, {target_label: namespace, replacement: data}]}",
    ),
    (
        "usual",
        "{honor_labels: false, relabel_configs: [{target_label: pod, replacement: web-0}, \
         {target_label: namespace, replacement: data}]}",
    ),
];

/// Labels that the two ways have apart from those of the pod.
const OTHERS: [&str; 5] = ["exported_job", "gateway", "instance", "job", "way"];

const PUSHED: [(&str, &str); 2] = [
    (
        "/metrics/job/body",
        "none 1\none{pod=\"db-1\"} 2\nboth{pod=\"db-1\",namespace=\"x\"} 3\ntrue_namespace{pod=\"db-1\"} 4\n\
         taken{pod=\"db-1\",exported_pod=\"a\"} 5\ntaken_twice{pod=\"db-1\",exported_pod=\"a\",\
         exported_exported_pod=\"b\"} 6\nhalf_taken{pod=\"db-1\",exported_pod=\"\",exported_exported_pod=\"b\"} 7\n\
         free{exported_pod=\"a\"} 8\n",
    ),
    ("/metrics/job/key/pod/db-1/namespace/x", "in_the_key 1\nlost{pod=\"db-2\"} 2\n"),
];

type Values = BTreeMap<BTreeMap<String, String>, u64>;

fn sidecar(rule: &str) -> anyhow::Result<(Process, SocketAddr)> {
    let rule = format!("--push.identity-labels={rule}");
    let ports = ["--push.listen-address=127.0.0.1:0", "--scrape.listen-address=127.0.0.1:0"];
    let pod = ["--pod.name=web-0", "--pod.namespace=data"];
    let process = Process::start(&binaries::sidegate()?, &[&["sidecar", &rule], &ports[..], &pod[..]].concat())?;
    let push = process.address("listener=push")?;
    for (path, body) in PUSHED {
        Push::new(path, TEXT, body).to(push)?;
    }
    // What is the pod's own, or says nothing, is not renamed here.
    Push::new("/metrics/job/own", TEXT, "own{pod=\"web-0\"} 1\nempty{pod=\"\"} 1\n").to(push)?;
    let address = process.address("listener=scrape")?;
    Ok((process, address))
}

fn prometheus_has_what_it_would_have_without_honouring_labels() -> anyhow::Result<()> {
    let (_renames, renaming) = sidecar("rename")?;
    let (_allows, allowing) = sidecar("allow")?;
    let scraper = Scraper::start(&[("renaming", renaming), ("allowing", allowing)], &WAYS, "")?;
    block_on(wait::until("a scrape of each in each way", LIMIT, || async {
        Ok((scraper.prometheus.query("up == 1").await?.len() == 4).then_some(()))
    }))?;
    let (found, expected) = (values(&scraper, "renaming", "honouring")?, values(&scraper, "allowing", "usual")?);
    let missing: Vec<_> = expected.iter().filter(|(labels, value)| found.get(*labels) != Some(value)).collect();
    let added: Vec<_> = found.iter().filter(|(labels, value)| expected.get(*labels) != Some(value)).collect();
    ensure!(missing.is_empty() && added.is_empty(), "expected also {missing:#?}, not {added:#?}");
    // Of eight and two series, and of two groups two failure times.
    ensure!(found.len() == 12, "{found:#?}");

    for (query, pod) in [("own", Some("web-0")), ("empty", None)] {
        let found = block_on(scraper.prometheus.query(&format!("{query}{{gateway=\"renaming\",way=\"honouring\"}}")))?;
        let pods: Vec<_> = found.iter().map(|series| series.labels.get("pod").map(String::as_str)).collect();
        ensure!(pods == [pod], "{query}: {found:#?}");
        ensure!(!found[0].labels.contains_key("exported_pod"), "{query}: {found:#?}");
    }
    Ok(())
}

/// What was pushed to be renamed, without the labels that no pod has to do with. Push times differ.
fn values(scraper: &Scraper, gateway: &str, way: &str) -> anyhow::Result<Values> {
    let pushed = "job=~\"body|key\"";
    let selector = |job: &str| format!("{{gateway=\"{gateway}\",way=\"{way}\",__name__!=\"push_time_seconds\",{job}}}");
    let mut values = Values::new();
    for job in [pushed.to_owned(), format!("exported_{pushed}")] {
        for mut series in block_on(scraper.prometheus.query(&selector(&job)))? {
            series.labels.retain(|name, _| !OTHERS.contains(&name.as_str()));
            let twice = values.insert(series.labels, series.value.to_bits());
            ensure!(twice.is_none(), "a series comes twice");
        }
    }
    Ok(values)
}
