//! What the rows ask about a body in text, line by line, without a parser: whether something odd may be in it.
//!
//! *Never:* whether a body is accepted.

use crate::request::Request;

/// The lines that are samples: name, and the rest after it.
fn samples(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = text.split('\n').map(|line| line.trim_start_matches([' ', '\t']));
    lines.filter(|line| !line.starts_with('#')).map(|line| {
        let end = line.find(|c: char| c != '_' && c != ':' && !c.is_ascii_alphanumeric()).unwrap_or(line.len());
        line.split_at(end)
    })
}

/// The families that a `TYPE` line makes a summary or a histogram, with their inner label.
fn composed(text: &str) -> Vec<(&str, &'static str)> {
    let declared = text.split('\n').filter_map(|line| {
        let mut words = line
            .trim_start_matches([' ', '\t'])
            .strip_prefix('#')?
            .split([' ', '\t', '\r'])
            .filter(|it| !it.is_empty());
        let (keyword, name, kind) = (words.next()?, words.next()?, words.next()?.to_ascii_lowercase());
        let label = match kind.as_str() {
            "summary" => "quantile",
            "histogram" | "gauge_histogram" | "gaugehistogram" => "le",
            _ => return None,
        };
        (keyword == "TYPE").then_some((name, label))
    });
    declared.collect()
}

/// The samples of summaries and histograms: inner label, suffix of the name, rest of the line.
fn parts(request: &Request) -> Vec<(&'static str, String, String)> {
    let Some(text) = request.text() else { return Vec::new() };
    let text = String::from_utf8_lossy(text);
    let families = composed(&text);
    let of_family = |(name, rest): (&str, &str)| {
        let found = families.iter().filter_map(|(family, label)| Some((*label, name.strip_prefix(family)?)));
        let found = found.filter(|(_, suffix)| ["", "_bucket", "_sum", "_count"].contains(suffix));
        found.map(|(label, suffix)| (label, suffix.to_owned(), rest.to_owned())).collect::<Vec<_>>()
    };
    samples(&text).flat_map(of_family).collect()
}

/// The values of a label in a line, as far as they can be seen.
fn values<'a>(rest: &'a str, label: &str) -> Vec<&'a str> {
    let mut values = Vec::new();
    for (at, _) in rest.match_indices(label) {
        let before = rest[..at].chars().next_back();
        let after = rest[at + label.len()..].trim_start_matches([' ', '\t']).strip_prefix('=');
        if let Some(after) = after.filter(|_| before.is_some_and(|c| "{, \t".contains(c))) {
            let value = after.trim_start_matches([' ', '\t']).trim_start_matches('"');
            values.push(value.split('"').next().unwrap_or_default());
        }
    }
    values
}

pub(crate) fn has_odd_bound(request: &Request) -> bool {
    parts(request).iter().any(|(label, suffix, rest)| {
        let values = values(rest, label);
        let is_inner = suffix.is_empty() || suffix == "_bucket";
        values.len() != usize::from(is_inner) || values.iter().any(|it| it.eq_ignore_ascii_case("nan"))
    })
}

/// The counts of summaries and histograms, with the inner label.
fn counts(request: &Request) -> Vec<(&'static str, f64)> {
    let counts = parts(request)
        .into_iter()
        .filter(|(label, suffix, _)| suffix == "_count" || (*label == "le" && suffix != "_sum"));
    let number = |rest: &str| {
        let value = rest.rsplit_once('}').map_or(rest, |(_, value)| value);
        value.split([' ', '\t', '\r']).find(|word| !word.is_empty())?.parse().ok()
    };
    counts.filter_map(|(label, _, rest)| Some((label, number(&rest)?))).collect()
}

pub(crate) fn has_odd_count(request: &Request) -> bool {
    let is_whole_enough = |count: f64| (0.0..1.8e19).contains(&count);
    let is_no_count = |count: f64| count < 0.0 || count.is_nan();
    let mut counts = counts(request).into_iter();
    counts.any(|(label, count)| is_no_count(count) || (label == "quantile" && !is_whole_enough(count)))
}

pub(crate) fn has_float_count(request: &Request) -> bool {
    let is_whole = |count: f64| count.fract() == 0.0 && count < 1.8e19;
    counts(request).iter().any(|(label, count)| *label == "le" && !count.is_nan() && !is_whole(*count))
}

/// Names in quotes, an escaped quote in help, a type that came later.
pub(crate) fn is_newer(request: &Request) -> bool {
    let Some(text) = request.text() else { return false };
    let text = String::from_utf8_lossy(text);
    let comments =
        text.split('\n').map(|line| line.trim_start_matches([' ', '\t'])).filter(|line| line.starts_with('#'));
    let newer_comment = comments.into_iter().any(|line| {
        let words: Vec<&str> = line[1..].split([' ', '\t']).filter(|word| !word.is_empty()).collect();
        let quoted = words.get(1).is_some_and(|name| name.starts_with('"'));
        let kind = words.get(2).is_some_and(|kind| {
            ["gaugehistogram", "gauge_histogram"].contains(&kind.trim_end().to_ascii_lowercase().as_str())
        });
        match words.first() {
            Some(&"HELP") => quoted || line.contains("\\\""),
            Some(&"TYPE") => quoted || kind,
            _ => false,
        }
    });
    let quoted_name = |(_, rest): (&str, &str)| {
        let inside = rest.trim_start_matches([' ', '\t']).strip_prefix('{').unwrap_or_default();
        let starts_item = |item: &str| item.trim_start_matches([' ', '\t']).starts_with('"');
        starts_item(inside) || inside.match_indices(',').any(|(at, _)| starts_item(&inside[at + 1..]))
    };
    newer_comment || samples(&text).any(quoted_name)
}

pub(crate) fn has_backslash_in_type(request: &Request) -> bool {
    let text = String::from_utf8_lossy(request.text().unwrap_or_default());
    text.split('\n').any(|line| line.contains('#') && line.contains("TYPE") && line.contains('\\'))
}
