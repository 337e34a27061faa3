//! Bodies in the text format: good ones in every style, and broken ones of every kind.
//!
//! *Never:* whether a body is accepted.

use crate::random::Random;

/// A family's name and the type it mostly has, so that most pushes fit together.
pub(super) const FAMILIES: [(&str, &str); 13] = [
    ("x", "gauge"),
    ("x", "gauge"),
    ("y", "counter"),
    ("y", "counter"),
    ("u", "untyped"),
    ("s", "summary"),
    ("s", "summary"),
    ("h", "histogram"),
    ("h", "histogram"),
    ("z:r_total", "counter"),
    ("h_created", "gauge"),
    ("s_bucket", "untyped"),
    ("_", "gauge"),
];

/// Names that get in the way of others.
pub(super) const RARE_FAMILIES: [(&str, &str); 8] = [
    ("s_count", "gauge"),
    ("s_sum", "untyped"),
    ("h_bucket", "gauge"),
    ("h_count", "untyped"),
    ("push_time_seconds", "gauge"),
    ("push_failure_time_seconds", "gauge"),
    ("pushgateway_build_info", "gauge"),
    ("push_time", "summary"),
];

pub(super) const KINDS: [&str; 5] = ["gauge", "counter", "untyped", "summary", "histogram"];

pub(super) const LABELS: [&str; 5] = ["a", "b", "c", "instance", "job"];

const VALUES: [&str; 12] =
    ["1", "1", "2", "2", "", "x y", r#"quote \" and \\"#, r"line\nfeed", "größe", "a,b=c}", "{id}", "\t"];

const NUMBERS: [&str; 26] = [
    "0",
    "1",
    "2",
    "3.14",
    "-1",
    "+5",
    "1.",
    ".5",
    "007",
    "1e3",
    "1E-7",
    "1e+20",
    "123456789",
    "0.0001",
    "1e-400",
    "-0",
    "NaN",
    "nan",
    "+Inf",
    "-inf",
    "Infinity",
    "inf",
    "4.9e-324",
    "1.7976931348623157e308",
    "1e21",
    "100000",
];

const HELPS: [&str; 9] = [
    "Help.",
    "Help.",
    "Other help.",
    "",
    " two  blanks ",
    r"a \\ and a \n",
    "größe {x=\"y\"}",
    "# TYPE x gauge",
    "trailing\t",
];

/// Lines that break a body, or nearly.
const ODD_LINES: [&str; 94] = [
    "x",
    "x 1 ",
    "x 1  ",
    "x 1 5",
    "x 1 -5",
    "x 1 0",
    "x 1 5 ",
    "x 1 1.5",
    "x 1 99999999999999999999",
    "x 1 x",
    "x x",
    "x 0x1",
    "x 1_0",
    "x 1e400",
    "x +nan",
    "x 1f",
    "x .",
    "x e3",
    "x -",
    "x{} 1",
    "x{ } 1",
    "x{,} 1",
    "x{a=\"1\",} 1",
    "x{a=\"1\",,} 1",
    "x{a=\"1\" b=\"2\"} 1",
    "x{a} 1",
    "x{a=} 1",
    "x{a=1} 1",
    "x{a=\"1} 1",
    "x{a=\"1\" 1",
    "x{a=\"1\"}1",
    "x {a=\"1\"} 1",
    "x{ a = \"1\" } 1",
    "x{\ta\t=\t\"1\"\t,\t}\t1",
    "x{a=\"\\t\"} 1",
    "x{a=\"\\\"} 1",
    "x{a=\"1\",a=\"2\"} 1",
    "x{a=\"1\",a=\"1\"} 1",
    "x{job=\"1\",job=\"2\"} 1",
    "x{__name__=\"y\"} 1",
    "x{__a=\"y\"} 1",
    "x{1a=\"y\"} 1",
    "x{a:b=\"y\"} 1",
    "x{a-b=\"y\"} 1",
    "x{größe=\"y\"} 1",
    "x-y 1",
    "x-5",
    "x.y 1",
    "1x 1",
    "größe 1",
    "{} 1",
    "{a=\"1\"} 1",
    "{\"x\"} 1",
    "{\"x\",a=\"1\"} 1",
    "\"x\" 1",
    "x{\"a\"=\"1\"} 1",
    "# HELP \"x\" help",
    "# TYPE \"x\" gauge",
    "  x 1",
    "\tx 1",
    "   ",
    "\t",
    "#",
    "# ",
    "##",
    // With one `#`, and last, it says that the body is OpenMetrics, which only ours reads.
    "## EOF",
    "#TYPE x gauge",
    "# type x gauge",
    "# TYPE x",
    "# TYPE x ",
    "# TYPE x Gauge",
    "# TYPE x GAUGE",
    "# TYPE x gauge ",
    "# TYPE x unknown",
    "# TYPE x info",
    "# TYPE x gauge_histogram",
    "# TYPE x gaugehistogram",
    "# TYPE x ga\\uge",
    "# TYPE",
    "# TYPE  x  gauge",
    "# TYPE x-y gauge",
    "# TYPE 1 gauge",
    "# HELP x",
    "# HELP x ",
    "# HELP x one",
    "# HELP x \\t",
    "# HELP x \\\"",
    "# HELP x \\",
    "# HELPx y",
    "# HELP x-y z",
    "x 1 # {a=\"b\"} 1",
    "\u{feff}x 1",
    "x\u{a0}1",
    "x 1\t\t5",
];

/// Lines of histograms and summaries that are odd.
const ODD_PARTS: [&str; 34] = [
    "s{quantile=\"x\"} 1",
    "s{quantile=\"\"} 1",
    "s 1",
    "s{quantile=\"NaN\"} 1",
    "s{quantile=\"0.5\",quantile=\"0.9\"} 1",
    "s{quantile=\"5e-1\"} 1",
    "s{quantile=\"+Inf\"} 1",
    "s_count 1.5",
    "s_count -1",
    "s_count NaN",
    "s_count 1e300",
    "s_sum NaN",
    "s_count{quantile=\"0.5\"} 7",
    "h_bucket{le=\"x\"} 1",
    "h_bucket{le=\"\"} 1",
    "h_bucket 1",
    "h_bucket{le=\"NaN\"} 1",
    "h_bucket{le=\"1\",le=\"2\"} 1",
    "h_bucket{le=\"1e3\"} 1",
    "h_bucket{le=\"inf\"} 1",
    "h_bucket{le=\"-Inf\"} 1",
    "h_bucket{le=\".50\"} 1",
    "h_bucket{le=\"1\"} 1.5",
    "h_bucket{le=\"1\"} -1",
    "h_bucket{le=\"1\"} NaN",
    "h_count 2.5",
    "h_count -1",
    "h_count 1e300",
    "h{le=\"1\"} 3",
    "h 3",
    "h_sum -1",
    "h_created 5",
    "s_bucket{le=\"1\"} 2",
    "h_sum{le=\"1\"} 5",
];

const NOT_UTF8: [&[u8]; 3] = [b"# caf\xe9\n", b"# HELP x \xff\n", b"x{a=\"\xff\"} 1\n"];

/// A body; odd in so many of a hundred cases.
pub(super) fn body(random: &mut Random, odd: usize) -> Vec<u8> {
    let is_odd = random.percent(odd);
    let mut lines = Vec::new();
    for _ in 0..random.below(4) {
        family(random, &mut lines, is_odd);
    }
    if random.percent(10) {
        lines.insert(random.below(lines.len() + 1), random.pick(&["# a comment", "", "  ", "#"]).to_owned());
    }
    if !is_odd {
        return end_lines(lines, b"\n");
    }
    match random.below(11) {
        0..3 => {
            let line = random.pick(&ODD_LINES).to_owned();
            lines.insert(random.below(lines.len() + 1), line);
        }
        3..5 => {
            let part = random.pick(&ODD_PARTS);
            let kind = if part.starts_with('s') { "# TYPE s summary" } else { "# TYPE h histogram" };
            if random.percent(80) {
                lines.retain(|line| line != kind);
            }
            lines.insert(0, kind.to_owned());
            lines.insert(1 + random.below(lines.len()), part.to_owned());
        }
        5 => random.shuffle(&mut lines),
        6 => return end_lines(lines, b"\r\n"),
        8 if random.percent(50) => return [&end_lines(lines, b"\n")[..], random.pick(&NOT_UTF8)].concat(),
        7 => {
            let mut body = end_lines(lines, b"\n");
            body.pop();
            return body;
        }
        _ => {
            let mut body = end_lines(lines, b"\n");
            (0..=random.below(2)).for_each(|_| mutate(random, &mut body));
            return body;
        }
    }
    end_lines(lines, b"\n")
}

/// The same body with other numbers, or what stands where they would.
pub(super) fn renumbered(random: &mut Random, body: &[u8]) -> Vec<u8> {
    let mut renumbered = Vec::new();
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let is_comment = line.first() == Some(&b'#');
        match line.iter().rposition(|byte| *byte == b' ').filter(|_| !is_comment && line.ends_with(b"\n")) {
            Some(blank) => {
                renumbered.extend(&line[..=blank]);
                renumbered.extend(random.pick(&NUMBERS).as_bytes());
                renumbered.push(b'\n');
            }
            None => renumbered.extend(line),
        }
    }
    renumbered
}

fn end_lines(lines: Vec<String>, end: &[u8]) -> Vec<u8> {
    lines.into_iter().flat_map(|line| [line.as_bytes(), end].concat()).collect()
}

/// Name and type, mostly the one that the name has elsewhere.
pub(super) fn named(random: &mut Random) -> (&'static str, &'static str) {
    let (name, kind) = if random.percent(4) { random.pick(&RARE_FAMILIES) } else { random.pick(&FAMILIES) };
    (name, if random.percent(3) { random.pick(&KINDS) } else { kind })
}

fn family(random: &mut Random, lines: &mut Vec<String>, is_odd: bool) {
    let (name, kind) = named(random);
    let is_composed = kind == "summary" || kind == "histogram";
    let help = random.percent(50).then(|| format!("# HELP {name} {}", random.pick(&HELPS)));
    let is_typed = is_composed || kind != "untyped" || random.percent(50);
    let kind_line = is_typed.then(|| format!("# TYPE {name} {kind}"));
    let first = if random.percent(70) { [help, kind_line] } else { [kind_line, help] };
    lines.extend(first.into_iter().flatten());
    let at = lines.len();
    let mut sets: Vec<String> = Vec::new();
    for _ in 0..=random.below(3) {
        let set = labels(random, is_odd);
        if is_odd || !sets.contains(&set) {
            sets.push(set);
        }
    }
    for set in sets {
        series(random, lines, (name, kind), &set, is_odd);
    }
    if is_odd && random.percent(30) {
        random.shuffle(&mut lines[at..]);
    }
}

/// Pairs without braces.
fn labels(random: &mut Random, is_odd: bool) -> String {
    let mut names = LABELS;
    random.shuffle(&mut names);
    let count = random.pick(&[0, 0, 1, 1, 1, 2]);
    let pairs = names.into_iter().take(count).map(|name| {
        let values = if is_odd { &VALUES[..] } else { &VALUES[..if random.percent(85) { 4 } else { 12 }] };
        format!("{name}=\"{}\"", random.pick(values))
    });
    pairs.collect::<Vec<_>>().join(",")
}

fn series(random: &mut Random, lines: &mut Vec<String>, family: (&str, &str), labels: &str, is_odd: bool) {
    let (name, kind) = family;
    let sample = |random: &mut Random, suffix: &str, inner: Option<(&str, &str)>, value: &str| {
        let inner = inner.map(|(name, value)| format!("{name}=\"{value}\""));
        let inside = [labels, inner.as_deref().unwrap_or_default()].into_iter().filter(|part| !part.is_empty());
        let inside = inside.collect::<Vec<_>>().join(",");
        let blank = if random.percent(90) { " " } else { random.pick(&["  ", "\t", " \t "]) };
        if inside.is_empty() {
            format!("{name}{suffix}{blank}{value}")
        } else {
            format!("{name}{suffix}{{{inside}}}{blank}{value}")
        }
    };
    let whole = ["0", "1", "2", "3", "1e3", "4.0", "7"];
    match kind {
        "summary" => {
            for quantile in ["0.5", "0.9", "0.99"].into_iter().take(random.below(4)) {
                let number = random.pick(&NUMBERS);
                lines.push(sample(random, "", Some(("quantile", quantile)), number));
            }
        }
        "histogram" => {
            for bound in ["0.1", "1", "2.5e1", "+Inf"].into_iter().take(random.below(5)) {
                let number = random.pick(&whole);
                lines.push(sample(random, "_bucket", Some(("le", bound)), number));
            }
        }
        _ => {
            let number = random.pick(&NUMBERS);
            lines.push(sample(random, "", None, number));
            return;
        }
    }
    if !is_odd || random.percent(80) {
        let number = random.pick(&NUMBERS);
        lines.push(sample(random, "_sum", None, number));
    }
    if !is_odd || random.percent(80) {
        let number = random.pick(&whole);
        lines.push(sample(random, "_count", None, number));
    }
}

fn mutate(random: &mut Random, body: &mut Vec<u8>) {
    const LIKELY: &[u8] = b"{}\"=,\\# \t\n_:0a.-+e\rx\xc3\xff";
    if body.is_empty() {
        body.push(random.pick(LIKELY));
        return;
    }
    let at = random.below(body.len());
    match random.below(5) {
        0 => body[at] ^= 1 << random.below(8),
        1 => body[at] = random.pick(LIKELY),
        2 => body.insert(at, random.pick(LIKELY)),
        3 => drop(body.remove(at)),
        _ => body.truncate(at),
    }
}
