//! What a real Prometheus has in the end, however it scrapes.
//!
//! *Never:* how our page looks.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::TcpListener,
    thread,
};

use anyhow::{Context as _, ensure};
use e2e::{
    binaries,
    process::Process,
    prometheus::{Series, encoded},
    wait,
};
use serde_json::Value;

use crate::{
    gateway::{Push, TEXT},
    hostile,
    world::{LIMIT, Scene, Scraper, WAYS, block_on, scene},
};

crate::tests![
    every_scrape_is_complete_and_prometheus_complains_of_nothing,
    prometheus_complains_of_a_series_that_comes_twice,
    values_and_labels_are_the_same_whatever_the_format,
    odd_labels_and_numbers_arrive_as_they_were_pushed,
    names_in_utf8_arrive_as_they_are,
    names_in_utf8_arrive_as_the_scheme_has_them,
    exemplars_arrive,
    native_histograms_arrive,
    timestamps_arrive,
    push_times_are_those_of_the_pushes,
    a_sidecar_that_holds_open_leaves_once_prometheus_has_scraped_it,
];

/// Ways in which Prometheus asks for names as they are.
const WITH_UTF8: [&str; 3] = ["text1", "openmetrics", "usual"];

/// Ways in which names come with underscores: Prometheus says nothing of names where it asks for these formats first.
const WITH_UNDERSCORES: [&str; 3] = ["text", "native", "underscores"];

/// Debug lines that tell of something lost; but every scrape after the first brings the same exemplars.
const COMPLAINTS: [&str; 8] = [
    "Scrape failed",
    "Append failed",
    "Unexpected error",
    "Out of order",
    "Out of bounds",
    "Duplicate sample",
    "Error when",
    "Error while",
];

/// Without the name of the way, so that those of several ways can be compared.
type Values = BTreeMap<BTreeMap<String, String>, u64>;

fn every_scrape_is_complete_and_prometheus_complains_of_nothing() -> anyhow::Result<()> {
    let scene = scene()?;
    let targets: Value = block_on(scene.scraper.prometheus.ask("targets"))?;
    let targets = targets["activeTargets"].as_array().context("expected targets")?;
    ensure!(targets.len() == scene.gateways.len() * WAYS.len(), "{targets:?}");
    for target in targets {
        ensure!(target["health"] == "up" && target["lastError"] == "", "{target:#}");
    }
    ensure!(block_on(scene.scraper.prometheus.query("up != 1"))?.is_empty());
    let log = scene.scraper.log();
    let complaints = complaints(&log);
    ensure!(log.contains("level=DEBUG") && complaints.is_empty(), "{complaints:#?}");
    Ok(())
}

/// What would be seen above, were it there.
fn prometheus_complains_of_a_series_that_comes_twice() -> anyhow::Result<()> {
    let page = "HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n\r\ntwice 1\ntwice 2\n";
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for mut connection in listener.incoming().map_while(Result::ok) {
            // The request is short, and what is in it does not matter.
            let _ = connection.read(&mut [0; 4096]).and_then(|_| connection.write_all(page.as_bytes()));
        }
    });
    let scraper = Scraper::start(&[("twice", address)], &WAYS[..1], "")?;
    wait::blocking("a complaint", LIMIT, || Ok((!complaints(&scraper.log()).is_empty()).then_some(())))
        .with_context(|| scraper.log())
}

fn complaints(log: &str) -> Vec<&str> {
    let is_complaint = |line: &&str| {
        let is_loud = ["level=WARN", "level=ERROR"].iter().any(|level| line.contains(level));
        let is_usual = line.contains("err=\"duplicate exemplar\"");
        !is_usual && (is_loud || COMPLAINTS.iter().any(|words| line.contains(words)))
    };
    log.lines().filter(is_complaint).collect()
}

fn values_and_labels_are_the_same_whatever_the_format() -> anyhow::Result<()> {
    let scene = scene()?;
    for gateway in ["names", "random_names"] {
        same(&scene, gateway, &WITH_UTF8)?;
        same(&scene, gateway, &WITH_UNDERSCORES)?;
    }
    for gateway in ["classic", "random", "timed"] {
        same(&scene, gateway, &WAYS.map(|(way, _)| way))?;
    }
    Ok(())
}

fn same(scene: &Scene, gateway: &str, ways: &[&str]) -> anyhow::Result<()> {
    let first = values(scene, gateway, ways[0])?;
    ensure!(3 < first.len(), "{gateway}: expected series, found {first:?}");
    for way in &ways[1..] {
        let other = values(scene, gateway, way)?;
        let missing: Vec<_> = first.iter().filter(|(labels, value)| other.get(*labels) != Some(value)).collect();
        let added: Vec<_> = other.iter().filter(|(labels, value)| first.get(*labels) != Some(value)).collect();
        let first = ways[0];
        ensure!(
            missing.is_empty() && added.is_empty(),
            "{gateway}: {first} alone has {missing:#?}, {way} alone has {added:#?}"
        );
    }
    Ok(())
}

/// All series that were pushed, but for two kinds: those of native histograms, which are not the same series in every
/// format, and the times of creation, which only OpenMetrics has as series.
fn values(scene: &Scene, gateway: &str, way: &str) -> anyhow::Result<Values> {
    let others = "__name__!~\"pro.?to_(native|both).*|pro.native.*|.*_created\"";
    let query = format!("{{gateway=\"{gateway}\",way=\"{way}\",job!=\"scrape-{way}\",{others}}}");
    let without_way = |mut series: Series| {
        series.labels.remove("way");
        // The text formats have one zero.
        (series.labels, (series.value + 0.0).to_bits())
    };
    Ok(block_on(scene.scraper.prometheus.query(&query))?.into_iter().map(without_way).collect())
}

fn odd_labels_and_numbers_arrive_as_they_were_pushed() -> anyhow::Result<()> {
    for (way, _) in WAYS {
        let labels = one(&format!("odd_labels{{way=\"{way}\"}}"))?;
        ensure!(labels.label("odd") == hostile::ODD_VALUE, "{way}: {labels:?}");
        ensure!(!labels.labels.contains_key("instance") && !labels.labels.contains_key("empty"), "{way}: {labels:?}");
        let key = one(&format!("odd_key{{way=\"{way}\"}}"))?;
        ensure!(key.label("job") == "odd / \"\n job" && key.label("path") == "/var/tmp", "{way}: {key:?}");
        for (is, expected) in [
            ("inf", f64::INFINITY),
            ("minus_inf", f64::NEG_INFINITY),
            ("least", 5e-324),
            ("greatest", f64::MAX),
            ("third", 0.3333333333333333),
            ("large", 123_456_789_012_345_678.0),
        ] {
            let found = one(&format!("number{{way=\"{way}\",is=\"{is}\"}}"))?.value;
            ensure!(found.to_bits() == expected.to_bits(), "{way}: expected {expected}, found {found}");
        }
        ensure!(one(&format!("number{{way=\"{way}\",is=\"nan\"}}"))?.value.is_nan());
    }
    Ok(())
}

fn names_in_utf8_arrive_as_they_are() -> anyhow::Result<()> {
    for way in WITH_UTF8 {
        for (selector, expected) in [
            ("\"my.gauge\"", 1.0),
            ("\"my_gauge\"", 2.0),
            ("\"my gauge\"", 3.0),
            ("\"my.histogram_bucket\",le=\"1.0\"", 1.0),
            ("\"my.summary\",quantile=\"0.5\",\"a.b\"=\"c\"", 1.0),
            ("\"größe in m²\",\"über\"=\"1\"", 6.0),
            ("\"quote\\\"d\\\\ and\\n\"", 7.0),
            ("\"{}\",\"=\\\"{},\"=\"x\"", 10.0),
            ("\"in_a_named_group\",\"my.label\"=\"x\"", 1.0),
            ("\"in_a_named_group\",\"my label\"=\"y\"", 2.0),
            ("\"in_a_named_group\",my_label=\"x\"", 3.0),
            ("\"pro.to\",\"grün.es\"=\"\\n\\\"\\\\\"", 1.0),
            ("\"pro to\",\"grün.es\"=\"\\n\\\"\\\\\"", 2.0),
            ("\"o.p_total\",\"q.r\"=\"s\"", 1.0),
        ] {
            ensure_value(&format!("{{{selector},way=\"{way}\",gateway=\"names\"}}"), expected)?;
        }
    }
    Ok(())
}

/// What escaping makes the same is shown once, and nothing else is lost.
fn names_in_utf8_arrive_as_the_scheme_has_them() -> anyhow::Result<()> {
    for (way, selector, expected) in [
        ("underscores", "my_gauge{job=\"names\"}", 2.0),
        ("underscores", "gr__e_in_m_{_ber=\"1\"}", 6.0),
        ("dots", "my_dot_gauge{job=\"names\"}", 1.0),
        ("dots", "my_gauge{job=\"names\"}", 2.0),
        ("dots", "my__gauge{job=\"names\"}", 3.0),
        ("values", "U__my_2e_gauge{job=\"names\"}", 1.0),
        ("values", "U__my_20_gauge{job=\"names\"}", 3.0),
        ("values", "U__fire_1f525_{job=\"names\"}", 9.0),
        ("values", "in_a_named_group{U__my_2e_label=\"x\"}", 1.0),
        ("values", "U__o_2e_p__total{U__q_2e_r=\"s\"}", 1.0),
    ] {
        let selector = selector.replace('}', &format!(",way=\"{way}\",gateway=\"names\"}}"));
        ensure_value(&selector, expected)?;
    }
    Ok(())
}

fn exemplars_arrive() -> anyhow::Result<()> {
    for way in ["openmetrics", "native"] {
        for (series, trace, value) in [
            ("open_requests_total", "open-trace", "0.5"),
            ("open_seconds_bucket", "bucket-trace", "0.25"),
            ("proto_total", "protobuf-trace", "1.5"),
            ("proto_classic_bucket", "classic-trace", "0.25"),
        ] {
            ensure_exemplar(&format!("{series}{{way=\"{way}\"}}"), trace, value)?;
        }
    }
    ensure_exemplar("proto_native{way=\"native\"}", "native-trace", "1.1")
}

fn ensure_exemplar(selector: &str, trace: &str, value: &str) -> anyhow::Result<()> {
    let question = format!("query_exemplars?start=1&end=9999999999&query={}", encoded(selector));
    let answer: Value = block_on(scene()?.scraper.prometheus.ask(&question))?;
    let exemplar = &answer[0]["exemplars"][0];
    let is_it = exemplar["labels"]["trace_id"] == trace && exemplar["value"] == value;
    ensure!(is_it, "{selector}: expected {trace}, found {answer:#}");
    Ok(())
}

fn native_histograms_arrive() -> anyhow::Result<()> {
    for name in ["proto_native", "proto_native_gauge", "proto_both", "{\"pro_native\"}"] {
        let way = "way=\"native\"";
        let selector = match name.strip_suffix('}') {
            Some(open) => format!("{open},{way}}}"),
            None => format!("{name}{{{way}}}"),
        };
        ensure_value(&format!("histogram_count({selector})"), 6.0)?;
        ensure_value(&format!("histogram_sum({selector})"), 9.5)?;
        // The end of the second bucket of those that double in four steps.
        ensure_value(&format!("round(histogram_quantile(1, {selector}), 0.0001)"), 1.1892)?;
    }
    ensure_value("histogram_count(proto_native_float{way=\"native\"})", 2.5)?;
    // Elsewhere it has what a classic one has.
    for way in ["text", "text1", "openmetrics", "usual"] {
        ensure_value(&format!("proto_native_count{{way=\"{way}\"}}"), 6.0)?;
        ensure_value(&format!("proto_native_bucket{{way=\"{way}\",le=\"+Inf\"}}"), 6.0)?;
    }
    Ok(())
}

fn timestamps_arrive() -> anyhow::Result<()> {
    #[expect(clippy::cast_precision_loss, reason = "a double has room for these milliseconds")]
    let expected = scene()?.time_of_samples as f64 / 1000.0;
    for (way, _) in WAYS {
        for name in ["timed", "timed_open_total", "h_bucket", "h_sum"] {
            ensure_value(&format!("timestamp({name}{{way=\"{way}\",gateway=\"timed\"}})"), expected)?;
        }
    }
    Ok(())
}

fn push_times_are_those_of_the_pushes() -> anyhow::Result<()> {
    for (way, _) in WAYS {
        let age = one(&format!("time() - push_time_seconds{{way=\"{way}\",job=\"empty\"}}"))?.value;
        ensure!((0.0..120.0).contains(&age), "{way}: {age}");
        let age = one(&format!("time() - push_failure_time_seconds{{way=\"{way}\",job=\"failed\"}}"))?.value;
        ensure!((0.0..120.0).contains(&age), "{way}: {age}");
        ensure_value(&format!("push_time_seconds{{way=\"{way}\",job=\"failed\"}}"), 0.0)?;
        ensure_value(&format!("push_failure_time_seconds{{way=\"{way}\",job=\"empty\"}}"), 0.0)?;
    }
    Ok(())
}

fn ensure_value(query: &str, expected: f64) -> anyhow::Result<()> {
    let found = one(query)?.value;
    ensure!(found.to_bits() == expected.to_bits(), "{query}: expected {expected}, found {found}");
    Ok(())
}

/// The one series that a query gives.
fn one(query: &str) -> anyhow::Result<Series> {
    let found = block_on(scene()?.scraper.prometheus.query(query))?;
    let [series] = found.as_slice() else { anyhow::bail!("{query}: expected one series, found {found:?}") };
    Ok(series.clone())
}

fn a_sidecar_that_holds_open_leaves_once_prometheus_has_scraped_it() -> anyhow::Result<()> {
    let local = "127.0.0.1:0";
    let ports = [format!("--push.listen-address={local}"), format!("--scrape.listen-address={local}")];
    let arguments = [&["sidecar".to_owned(), "--hold-open.deadline=10m".to_owned()], ports.as_slice()].concat();
    let mut sidecar = Process::start(&binaries::sidegate()?, &arguments)?;
    let scraped = sidecar.address("listener=scrape")?;
    Push::new("/metrics/job/last", TEXT, "last_words 42\n").to(sidecar.address("listener=push")?)?;
    sidecar.signal("TERM")?;
    wait::blocking("the sidecar to hold open", LIMIT, || {
        Ok(sidecar.log().contains("holding open for a scrape").then_some(()))
    })?;
    ensure!(!sidecar.is_ended(), "{}", sidecar.log());
    // By zstd, which is not what it does by itself.
    let scraper = Scraper::start(&[("sidecar", scraped)], &WAYS[..1], ",zstd-scrape")?;
    let code = sidecar.ended().with_context(|| sidecar.log())?;
    ensure!(code == Some(0) && sidecar.log().contains("everything was scraped"), "{code:?}: {}", sidecar.log());
    let last = block_on(wait::until("the last push", LIMIT, || async {
        Ok(scraper.prometheus.query("last_over_time(last_words[1m])").await?.pop())
    }))?;
    ensure!((last.value, last.label("job")) == (42.0, "last"), "{last:?}");
    ensure!(scraper.log().contains("Using zstd-compressed scrape response"), "{}", scraper.log());
    Ok(())
}
