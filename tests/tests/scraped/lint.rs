//! promtool reads every page we print.
//!
//! What it remarks about names and help is about what was pushed, and passes. It does not see that a series comes twice;
//! that is looked at here.
//!
//! *Never:* how a page came to be.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context as _, bail, ensure};
use e2e::parts::Parts;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::{
    gateway::{Gateway, Push, TEXT},
    hostile, random,
};

crate::tests![
    promtool_refuses_a_broken_page,
    promtool_accepts_every_type_value_and_label,
    promtool_accepts_names_in_utf8_under_every_escaping,
    promtool_accepts_what_has_timestamps,
    promtool_accepts_what_is_named_as_measurements,
    promtool_accepts_what_was_pushed_unchecked,
    promtool_accepts_random_pages,
    promtool_accepts_the_configuration_that_the_readme_shows,
    promtool_accepts_the_alerts_that_the_readme_shows,
];

/// What readers may ask for, and how promtool reads that.
const ACCEPTS: [(&str, Names); 6] = [
    ("", Names::Classic),
    ("text/plain; version=0.0.4; escaping=underscores", Names::Classic),
    ("text/plain; version=0.0.4; escaping=dots", Names::Classic),
    ("text/plain; version=0.0.4; escaping=values", Names::Classic),
    ("text/plain; version=0.0.4; escaping=allow-utf-8", Names::Quoted),
    (QUOTED, Names::Quoted),
];

const QUOTED: &str = "text/plain; version=1.0.0; escaping=allow-utf-8";

/// promtool's exit code when it has remarks.
const REMARKS: i32 = 3;

/// Which names a page may have.
#[derive(Clone, Copy)]
enum Names {
    Classic,
    /// promtool has two parsers, of which one knows no quotes; it does not read such a page.
    Quoted,
}

/// How many random pages are read, each under every escaping.
const RANDOM_PAGES: u32 = 20;

fn promtool_refuses_a_broken_page() -> anyhow::Result<()> {
    let promtool = promtool()?;
    for page in ["a 1 2 3\n", "a{b=\"\\x\"} 1\n", "# TYPE a gauge\n# TYPE a gauge\na 1\n", "a.b 1\n"] {
        for names in [Names::Classic, Names::Quoted] {
            ensure!(lint(&promtool, page, names).is_err(), "promtool accepts {page:?}");
        }
    }
    ensure!(lint(&promtool, "{\"a.b\"} 1\n", Names::Classic).is_err(), "promtool accepts quotes by both parsers");
    ensure!(series_once("a{b=\"} 1\"} 1\na{b=\"} 1\"} 2\n").is_err(), "a series that comes twice is not found");
    Ok(())
}

fn promtool_accepts_every_type_value_and_label() -> anyhow::Result<()> {
    let page = check(&Gateway::with(&[], &hostile::classic())?)?;
    let escaped = hostile::ODD_VALUE.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    for expected in [
        "types_summary{instance=\"\",job=\"types\",quantile=\"0.99\"} NaN\n",
        "number{instance=\"\",is=\"least\",job=\"numbers\"} 5e-324\n",
        "push_time_seconds{instance=\"\",job=\"failed\"} 0\n",
        "push_failure_time_seconds{instance=\"\",job=\"empty\"} 0\n",
        "proto_native_count{instance=\"\",job=\"protobuf\"} 6\n",
        &format!("odd=\"{escaped}\""),
    ] {
        ensure!(page.contains(expected), "expected {expected:?}, found\n{page}");
    }
    Ok(())
}

fn promtool_accepts_names_in_utf8_under_every_escaping() -> anyhow::Result<()> {
    let gateway = Gateway::with(&["--push.enable-utf8-names"], &hostile::names())?;
    check(&gateway)?;
    let quoted = gateway.page(QUOTED)?;
    for expected in
        ["\n{\"my.gauge\",instance=\"\",job=\"names\"} 1\n", "\"fire\u{1f525}\"", "\"{}\",\"=\\\"{},\"=\"x\""]
    {
        ensure!(quoted.contains(expected), "expected {expected:?}, found\n{quoted}");
    }
    Ok(())
}

fn promtool_accepts_what_has_timestamps() -> anyhow::Result<()> {
    let page = check(&Gateway::with(&["--push.timestamps=honor"], &hostile::timed(1_700_000_010_000))?)?;
    let expected = "timed{instance=\"\",job=\"timed\"} 1 1700000000000\n";
    ensure!(page.contains(expected), "expected {expected:?}, found\n{page}");
    Ok(())
}

fn promtool_accepts_what_is_named_as_measurements() -> anyhow::Result<()> {
    let flags = ["--measurement.enabled", "--measurement.job-as-measurement", "--measurement.keep-metric-name=false"];
    for flags in [&flags[..1], &flags[1..2], &flags[1..], &[flags[0], flags[2]]] {
        let gateway = Gateway::start(flags)?;
        // Short names may meet, and so a push may be refused.
        let statuses = hostile::classic().into_iter().map(|push| Ok(push.answer(gateway.address)?.status));
        let statuses: Vec<u16> = statuses.collect::<anyhow::Result<_>>()?;
        ensure!(3 < statuses.iter().filter(|status| **status == 200).count(), "{flags:?}: {statuses:?}");
        let page = check(&gateway)?;
        ensure!(page.contains(",measurement=\""), "{flags:?}: expected measurements, found\n{page}");
    }
    Ok(())
}

fn promtool_accepts_what_was_pushed_unchecked() -> anyhow::Result<()> {
    let gateway = Gateway::start(&["--push.disable-consistency-check", "--push.enable-utf8-names"])?;
    let odd = [
        ("/metrics/job/j", "twice{instance=\"i\"} 1\n"),
        ("/metrics/job/j/instance/i", "twice 2\n"),
        ("/metrics/job/a", "# TYPE clash gauge\nclash 1\n"),
        ("/metrics/job/b", "# TYPE clash counter\nclash 2\n"),
        ("/metrics/job/c", "# TYPE whole summary\nwhole_sum 1\nwhole_count 1\n"),
        ("/metrics/job/d", "whole_sum 3\nwhole_count{a=\"b\"} 4\n"),
        ("/metrics/job/e", "# TYPE push_time_seconds counter\npush_time_seconds 5\n"),
        ("/metrics/job/f", "# TYPE pushgateway_build_info histogram\npushgateway_build_info_count 6\n"),
    ];
    let odd = odd.map(|(path, body)| Push::new(path, TEXT, body)).to_vec();
    for push in [hostile::classic(), hostile::names(), odd, random::any_pushes(false)?].concat() {
        ensure!(push.answer(gateway.address)?.status == 202, "{push:?}");
    }
    check(&gateway).map(drop)
}

fn promtool_accepts_random_pages() -> anyhow::Result<()> {
    let config = Config { cases: RANDOM_PAGES, max_shrink_iters: 40, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&random::pushes(false, 1..50), |pushes| {
        let page = page_of(&pushes).and_then(|gateway| check(&gateway));
        page.map(drop).map_err(|error| TestCaseError::fail(format!("{error:#}")))
    });
    outcome.map_err(|error| anyhow::anyhow!("{error}"))
}

fn promtool_accepts_the_configuration_that_the_readme_shows() -> anyhow::Result<()> {
    let examples = readme_examples("scrape_configs:")?;
    ensure!(
        examples.iter().any(|example| example.contains("http_sd_configs") && example.contains("honor_labels: true"))
    );
    examples.iter().try_for_each(|example| check_file("config", example))
}

fn promtool_accepts_the_alerts_that_the_readme_shows() -> anyhow::Result<()> {
    let examples = readme_examples("- alert:")?;
    ensure!(examples.iter().any(|example| example.contains("SidegateWebhookCertificateEnds")));
    for example in examples {
        check_file("rules", &rules(&example))?;
        // Nothing would be shown were everything accepted.
        let broken = rules(&example.replace("expr: ", "expr: ("));
        ensure!(check_file("rules", &broken).is_err(), "promtool accepts {broken}");
    }
    Ok(())
}

/// A file of rules around some, which the README shows alone.
fn rules(alerts: &str) -> String {
    let lines: String = alerts.lines().map(|line| format!("      {line}\n")).collect();
    format!("groups:\n  - name: readme\n    rules:\n{lines}")
}

/// The README's examples that have some text.
fn readme_examples(text: &str) -> anyhow::Result<Vec<String>> {
    let readme = std::fs::read_to_string(e2e::binaries::repository().join("README.md"))?;
    let blocks = readme.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    Ok(blocks.filter(|block| block.contains(text)).map(str::to_owned).collect())
}

/// Has promtool check a file.
fn check_file(what: &str, text: &str) -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("sidegate-readme-{what}-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("prometheus.yml");
    std::fs::write(&file, text)?;
    let output = Command::new(promtool()?).args(["check", what]).arg(&file).output()?;
    std::fs::remove_dir_all(folder)?;
    ensure!(output.status.success(), "{}{text}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn page_of(pushes: &[Push]) -> anyhow::Result<Gateway> {
    let gateway = Gateway::start(&["--push.enable-utf8-names"])?;
    let mut accepted = 0;
    for push in pushes {
        let answer = push.answer(gateway.address)?;
        ensure!([200, 400].contains(&answer.status), "{push:?}: {}", answer.status);
        accepted += usize::from(answer.status == 200);
    }
    ensure!(pushes.len() < 3 * accepted + 5, "only {accepted} of {} random pushes are accepted", pushes.len());
    Ok(gateway)
}

/// Has the page read as every reader gets it, and returns the usual one.
fn check(gateway: &Gateway) -> anyhow::Result<String> {
    let promtool = promtool()?;
    for (accept, names) in ACCEPTS {
        let page = gateway.page(accept)?;
        lint(&promtool, &page, names).and_then(|()| series_once(&page)).with_context(|| format!("Accept: {accept}"))?;
    }
    gateway.page("")
}

fn promtool() -> anyhow::Result<PathBuf> {
    Parts::find_or_build_prometheus()?.program("promtool")
}

fn lint(promtool: &Path, page: &str, names: Names) -> anyhow::Result<()> {
    let mut command = Command::new(promtool);
    // The cardinality is counted by the other parser.
    command.args(["check", "metrics", "--extended"]);
    if matches!(names, Names::Quoted) {
        command.arg("--lint=none");
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let (mut stdin, mut stderr) = (child.stdin.take().context("piped")?, child.stderr.take().context("piped")?);
    let remarks = thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).map(|_| text)
    });
    // It leaves at the first fault, with the rest unread.
    let _ = stdin.write_all(page.as_bytes());
    drop(stdin);
    let status = child.wait()?;
    let remarks = remarks.join().map_err(|_| anyhow::anyhow!("the reader of promtool's words has panicked"))??;
    match status.code() {
        Some(0 | REMARKS) => Ok(()),
        _ => bail!("promtool: {status}: {}{}", remarks.trim_end(), line_named_in(&remarks, page)),
    }
}

/// The line of the page that a remark is about.
fn line_named_in(remark: &str, page: &str) -> String {
    let number = remark.split_once(" line ").and_then(|(_, rest)| rest.split(':').next()?.parse::<usize>().ok());
    let line = number.and_then(|number| page.split('\n').nth(number.checked_sub(1)?));
    line.map(|line| format!(": {line}")).unwrap_or_default()
}

/// Samples of one series are written alike, since labels are sorted.
fn series_once(page: &str) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    for line in page.split('\n').filter(|line| !line.starts_with('#')) {
        let end = line.rfind("} ").or_else(|| line.find(' ')).unwrap_or(line.len());
        let series = line.get(..end).unwrap_or(line);
        ensure!(series.is_empty() || seen.insert(series), "{series} comes twice");
    }
    Ok(())
}
