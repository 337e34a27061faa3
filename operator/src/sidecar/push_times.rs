//! A page with the two push-time families in, groups and their times out. The only user of `prometheus-parse`.
//!
//! That crate splits a label block at `,` and `=` and ends it at the first `}`, which loses or changes values that are
//! common in grouping keys, and a wrong key here would remove a wrong group there. So the block is read by `protocol`,
//! whose parser the sidecar's own decoder uses, and the crate gets the line without it: it says what is a sample, of
//! which name, type and value. A line that does not read back exactly is counted and skipped, never guessed at.
//!
//! A page may come from anybody who holds a pod's address, so what is kept of one has limits: the length of a line, the
//! labels of a group, the groups and the labels of a page. What is over them is counted, and what is left out for the
//! page's sake is counted apart, since the page then says less than there is.
//!
//! Limit: a metric name inside the braces is not read, and neither is a sample with a timestamp; a sidecar writes
//! neither for these families.
//!
//! *Never:* the network, how old is too old.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use prometheus_parse::{LineInfo, SampleType};
use protocol::{
    GroupingKey, LabelSet,
    label_set::parse_block,
    series::{PUSH_FAILURE_TIME_SECONDS, PUSH_TIME_SECONDS, is_push_time},
};

/// The longest line that is looked at, in bytes: longer than any key a sidecar takes from a request line.
const LONGEST_LINE: usize = 128 * 1024;

/// The most labels of a group.
const MOST_LABELS: usize = 64;

/// The most groups that are taken from a page.
pub const MOST_GROUPS: usize = 20_000;

/// The most labels that are taken from a page in all: ten for each of the most groups.
const MOST_LABELS_IN_ALL: usize = 10 * MOST_GROUPS;

/// A group and when it was pushed.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupAge {
    /// The group.
    pub key: GroupingKey,
    /// When a push last succeeded, Unix seconds; 0 is never.
    pub push_time: f64,
    /// The same as the page prints it: what a conditional delete repeats.
    pub push_time_text: String,
    /// When a push last failed, Unix seconds; 0 is never.
    pub failure_time: f64,
    /// The same as the page prints it.
    pub failure_time_text: String,
}

/// What a page says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// The groups that read back exactly, by key.
    pub groups: Vec<GroupAge>,
    /// Samples of the two families that did not, and groups without a push time.
    pub unreadable: u64,
    /// Samples that would read, of groups that are over what is taken from one page.
    pub left_out: u64,
}

/// Reads a page in the text format. A long page takes a while: this belongs on a thread that may block.
#[must_use]
pub fn read(page: &str) -> Reading {
    let mut reader = Reader::default();
    for line in page.lines() {
        reader.line(line);
    }
    reader.finish()
}

#[derive(Default)]
struct Reader<'a> {
    gauges: BTreeSet<&'static str>,
    pushed: Family<'a>,
    failed: Family<'a>,
    labels: usize,
    unreadable: u64,
    left_out: u64,
}

/// Values by label set; `None` once a label set came twice.
type Family<'a> = BTreeMap<LabelSet, Option<(f64, &'a str)>>;

/// A line that is no sample we can trust.
struct Unreadable;

// === impl Reader ===

impl<'a> Reader<'a> {
    fn line(&mut self, line: &'a str) {
        if LONGEST_LINE < line.len() {
            self.unreadable += 1;
            return;
        }
        if line.starts_with('#') {
            if let LineInfo::Type { metric_name, sample_type: SampleType::Gauge, .. } = LineInfo::parse(line) {
                let ours = [PUSH_TIME_SECONDS, PUSH_FAILURE_TIME_SECONDS].into_iter();
                self.gauges.extend(ours.filter(|name| *name == metric_name));
            }
            return;
        }
        let name = line.split(['{', ' ', '\t']).next().unwrap_or_default();
        if !is_push_time(name) {
            return;
        }
        match self.sample(name, line) {
            Ok((labels, value)) => self.keep(name, labels, value),
            Err(Unreadable) => self.unreadable += 1,
        }
    }

    /// Keeps a sample; one that is there twice is still found out when no more are taken.
    fn keep(&mut self, name: &str, labels: LabelSet, value: (f64, &'a str)) {
        let family = if name == PUSH_TIME_SECONDS { &mut self.pushed } else { &mut self.failed };
        let is_full = family.len() == MOST_GROUPS || MOST_LABELS_IN_ALL < self.labels + labels.len();
        let count = labels.len();
        match family.entry(labels) {
            Entry::Occupied(mut known) => {
                known.insert(None);
            }
            Entry::Vacant(_) if is_full => self.left_out += 1,
            Entry::Vacant(free) => {
                self.labels += count;
                free.insert(Some(value));
            }
        }
    }

    fn sample(&self, name: &str, line: &'a str) -> Result<(LabelSet, (f64, &'a str)), Unreadable> {
        if !self.gauges.contains(name) {
            return Err(Unreadable);
        }
        let block_and_rest = line.get(name.len()..).ok_or(Unreadable)?;
        let block = parse_block(block_and_rest).map_err(|_| Unreadable)?;
        let count = block.labels.len();
        if MOST_LABELS < count {
            return Err(Unreadable);
        }
        let labels: LabelSet = block.labels.into_iter().collect();
        if block.metric_name.is_some() || labels.len() != count {
            return Err(Unreadable);
        }
        // The rest is given apart from the name's own text so that the value borrows from the page.
        let (text, value) = value_of(name, block.rest)?;
        Ok((labels, (value, text)))
    }

    fn finish(self) -> Reading {
        let mut reading = Reading { unreadable: self.unreadable, left_out: self.left_out, ..Reading::default() };
        for (labels, pushed) in self.pushed {
            let failed = self.failed.get(&labels).copied();
            let key = GroupingKey::from_labels(labels);
            // A group without failure time was never refused; one that came twice is not to be trusted.
            let failed = failed.unwrap_or(Some((0.0, "0")));
            let (Ok(key), Some((push_time, pushed)), Some((failure_time, failed))) = (key, pushed, failed) else {
                reading.unreadable += 1;
                continue;
            };
            let (push_time_text, failure_time_text) = (pushed.to_owned(), failed.to_owned());
            reading.groups.push(GroupAge { key, push_time, push_time_text, failure_time, failure_time_text });
        }
        reading
    }
}

/// The value of a sample whose label block is taken out, as text and number.
fn value_of<'a>(name: &str, rest: &'a str) -> Result<(&'a str, f64), Unreadable> {
    let line = format!("{name} {}", rest.trim_start_matches([' ', '\t']));
    let LineInfo::Sample { metric_name, labels: None, value, timestamp: None } = LineInfo::parse(&line) else {
        return Err(Unreadable);
    };
    let text = rest.trim();
    if metric_name != name || value != text {
        return Err(Unreadable);
    }
    let value = text.parse::<f64>().map_err(|_| Unreadable)?;
    if value.is_finite() && 0.0 <= value { Ok((text, value)) } else { Err(Unreadable) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A page with some samples of `push_time_seconds`.
    fn page(samples: &str) -> String {
        format!(
            "# HELP push_time_seconds Last Unix time.\n# TYPE push_time_seconds gauge\n{samples}\n\
             # TYPE push_failure_time_seconds gauge\npush_failure_time_seconds{{job=\"a\"}} 7\n\
             # TYPE other gauge\nother{{job=\"a\",x=\"}}\"}} 1\n"
        )
    }

    #[track_caller]
    fn check(samples: &str, groups: &[(&str, &str)], unreadable: u64) {
        let reading = read(&page(samples));
        let found: Vec<_> =
            reading.groups.iter().map(|group| (group.key.to_string(), group.push_time_text.clone())).collect();
        let groups: Vec<_> = groups.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        assert_eq!(found, groups, "{samples}");
        assert_eq!(reading.unreadable, unreadable, "{samples}");
        // What reads is what stands there: the block, printed canonically, is the line's own.
        for (key, text) in found {
            assert!(samples.contains(&format!("push_time_seconds{key} {text}")), "{key}");
        }
    }

    #[test]
    fn labels_that_prometheus_parse_loses_are_read() {
        for block in [
            r#"{instance="",job="plain"}"#,
            r#"{job="comma",path="a,b"}"#,
            r#"{job="equals",path="x=y"}"#,
            r#"{job="brace",path="{id}"}"#,
            r#"{job="quote",path="say \"hi\""}"#,
            r#"{job="back\\slash"}"#,
            r#"{job="new\nline"}"#,
            r#"{job="größe"}"#,
            // Of a sidecar that takes pushes without a job.
            r#"{job=""}"#,
        ] {
            check(&format!("push_time_seconds{block} 1.79e+09"), &[(block, "1.79e+09")], 0);
        }
    }

    #[test]
    fn both_times_of_a_group_are_put_together() {
        let reading = read(&page("push_time_seconds{job=\"a\"} 1.5\npush_time_seconds{job=\"b\"} 0"));
        let times: Vec<_> = reading.groups.iter().map(|group| (group.push_time, group.failure_time)).collect();
        assert_eq!(times, [(1.5, 7.0), (0.0, 0.0)]);
    }

    #[test]
    fn what_does_not_read_exactly_is_skipped_and_counted() {
        for line in [
            r#"push_time_seconds{job="a""#,
            r#"push_time_seconds{job="a",job="b"} 1"#,
            r#"push_time_seconds{"push_time_seconds",job="a"} 1"#,
            r#"push_time_seconds{instance=""} 1"#,
            r#"push_time_seconds{job="a",__name="b"} 1"#,
            r#"push_time_seconds{job="a"} NaN"#,
            r#"push_time_seconds{job="a"} +Inf"#,
            r#"push_time_seconds{job="a"} -1"#,
            r#"push_time_seconds{job="a"} one"#,
            r#"push_time_seconds{job="a"}"#,
            r#"push_time_seconds{job="a"} 1 1790000000000"#,
            r"push_time_seconds 1",
        ] {
            check(line, &[], 1);
        }
        check("push_time_seconds{job=\"a\"} 1\npush_time_seconds{job=\"a\"} 2", &[], 1);
    }

    #[test]
    fn without_its_type_a_sample_is_not_trusted() {
        assert_eq!(read("push_time_seconds{job=\"a\"} 1\n").unreadable, 1);
        assert_eq!(read("# TYPE push_time_seconds counter\npush_time_seconds{job=\"a\"} 1\n").unreadable, 1);
    }

    #[test]
    fn a_line_that_is_too_long_is_not_looked_at() {
        let line = |value: usize| format!("push_time_seconds{{job=\"{}\"}} 1", "x".repeat(value));
        let around = line(0).len();
        let of = |length| read(&page(&line(length - around)));
        assert_eq!((of(LONGEST_LINE).groups.len(), of(LONGEST_LINE).unreadable), (1, 0));
        assert_eq!((of(LONGEST_LINE + 1).groups.len(), of(LONGEST_LINE + 1).unreadable), (0, 1));
        let comment = format!("# TYPE push_time_seconds gauge{}", " ".repeat(LONGEST_LINE));
        assert_eq!(read(&comment).unreadable, 1);
    }

    #[test]
    fn a_group_with_too_many_labels_is_not_read() {
        let of = |labels: usize| {
            let labels: LabelSet =
                (1..labels).map(|n| (format!("l{n}"), "x")).chain([("job".to_owned(), "a")]).collect();
            read(&page(&format!("push_time_seconds{labels} 1")))
        };
        assert_eq!((of(MOST_LABELS).groups.len(), of(MOST_LABELS).unreadable), (1, 0));
        assert_eq!((of(MOST_LABELS + 1).groups.len(), of(MOST_LABELS + 1).unreadable), (0, 1));
    }

    #[test]
    fn groups_over_the_most_are_left_out_and_counted() {
        let samples: Vec<_> = (0..MOST_GROUPS + 3).map(|n| format!("push_time_seconds{{job=\"{n}\"}} 1")).collect();
        let reading = read(&page(&samples.join("\n")));
        assert_eq!((reading.groups.len(), reading.unreadable, reading.left_out), (MOST_GROUPS, 0, 3));
    }

    #[test]
    fn a_group_that_comes_twice_is_found_out_on_a_full_page() {
        let samples = (0..MOST_GROUPS).chain([0]).map(|n| format!("push_time_seconds{{job=\"{n}\"}} 1"));
        let reading = read(&page(&samples.collect::<Vec<_>>().join("\n")));
        assert_eq!((reading.groups.len(), reading.unreadable, reading.left_out), (MOST_GROUPS - 1, 1, 0));
    }

    #[test]
    fn labels_over_the_most_of_a_page_are_left_out_and_counted() {
        let group = |n| {
            let labels = (2..MOST_LABELS).map(|n| (format!("l{n}"), String::new()));
            let labels: LabelSet = labels.chain([("job".to_owned(), "a".to_owned()), ("n".to_owned(), n)]).collect();
            format!("push_time_seconds{labels} 1")
        };
        let fit = MOST_LABELS_IN_ALL / MOST_LABELS;
        let samples: Vec<_> = (0..fit + 5).map(|n| group(n.to_string())).collect();
        let reading = read(&page(&samples.join("\n")));
        assert_eq!((reading.groups.len(), reading.unreadable, reading.left_out), (fit, 0, 6));
    }

    proptest! {
        #[test]
        fn every_key_reads_back(job in ".+", values in prop::collection::btree_map("[a-z]{1,4}", ".*", 0..3)) {
            let mut labels: LabelSet = values.into_iter().collect();
            labels.insert("job", job);
            // A line ends at a line feed; other ends of line inside a value are data.
            let printed = format!("push_time_seconds{labels} 1.5");
            let reading = read(&page(&printed));
            prop_assert_eq!(reading.groups.len(), 1, "{}", printed);
            prop_assert_eq!(reading.groups[0].key.labels(), &labels);
        }

        #[test]
        fn no_page_breaks_the_reader(text in any::<String>()) {
            let _ = read(&text);
            let _ = read(&page(&format!("push_time_seconds{text}")));
        }
    }
}
