//! The page itself: its head, a card for each group, and the status.
//!
//! Once about [`MOST_BYTES`] are written, no further group, family, series or part of a series is begun, and the page
//! says what it left out: however much is stored, a page stays one that a browser can show.
//!
//! *Never:* requests, which groups are shown.

use std::fmt::{self, Write};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use protocol::{
    GroupingKey,
    endpoints::API_PATH,
    label_set::{is_label_name, write_quoted},
    series::JOB_LABEL,
};

use super::html::{Plain, Text};
use crate::{
    build_info,
    clock::UnixSeconds,
    exposition::{
        FamilyHead, Histogram, Kind, MetricRef, Summary, Value,
        native::{self, Bucket, Closed},
    },
    http::Settings,
    rfc3339::Rfc3339,
    store::{FamilyView, GroupView},
};

/// What puts the buttons to work.
pub(super) const SCRIPT: &str = include_str!("script.js");

/// How it looks.
pub(super) const STYLE: &str = include_str!("style.css");

/// Where the page ends.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// Which of the groups the page shows.
pub(super) struct Listing<'a> {
    /// How many there are.
    pub(super) stored: usize,
    /// How many of them have the text.
    pub(super) found: usize,
    /// How many of those come before the first one shown.
    pub(super) first: usize,
    /// The text that was looked for; empty if none was.
    pub(super) text: &'a str,
}

/// A page that is being written.
pub(super) struct Document<'a> {
    settings: &'a Settings,
    out: String,
}

/// A moment that people read.
struct Moment(UnixSeconds);

/// A label, as it stands in a selector.
struct Pair<'a>(&'a str, &'a str);

// === impl Document ===

impl<'a> Document<'a> {
    pub(super) fn new(settings: &'a Settings) -> Self {
        Self { settings, out: String::new() }
    }

    /// The whole page.
    pub(super) fn write(mut self, listing: &Listing<'_>, groups: impl Iterator<Item = GroupView>) -> String {
        // Memory takes everything.
        let written = self.page(listing, groups);
        debug_assert!(written.is_ok());
        self.out
    }

    fn page(&mut self, listing: &Listing<'_>, groups: impl Iterator<Item = GroupView>) -> fmt::Result {
        let Settings { link_prefix, telemetry_path, .. } = self.settings;
        write!(
            self.out,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <meta name=\"robots\" content=\"noindex, nofollow\">\n<title>Sidegate</title>\n\
             <style>{STYLE}</style>\n</head>\n<body>\n<header><h1>Sidegate</h1>\n<nav>\
             <a href=\"#groups\">Groups</a><a href=\"#status\">Status</a>\
             <a href=\"{link}{path}\">Metrics</a><a href=\"{link}{API_PATH}/metrics\">JSON</a></nav></header>\n\
             <main>\n<section id=\"groups\">\n",
            link = Text(link_prefix),
            path = Text(telemetry_path),
        )?;
        self.bar(listing)?;
        self.groups(listing, groups)?;
        self.out.write_str("</section>\n<section id=\"status\">\n")?;
        self.status(listing)?;
        write!(self.out, "</section>\n</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n")
    }

    fn bar(&mut self, listing: &Listing<'_>) -> fmt::Result {
        let link = Text(&self.settings.link_prefix);
        let &Listing { stored, text, .. } = listing;
        write!(
            self.out,
            "<h2>Groups</h2>\n<div class=\"bar\"><form action=\"{link}/\" method=\"get\">\
             <input type=\"search\" name=\"q\" value=\"{}\" placeholder=\"Text in a grouping key\" \
             aria-label=\"Text in a grouping key\"><button>Find</button></form>",
            Text(text)
        )?;
        if self.settings.has_admin_api && stored != 0 {
            write!(
                self.out,
                "<button type=\"button\" class=\"delete\" hidden data-method=\"PUT\" \
                 data-path=\"{link}{API_PATH}/admin/wipe\" data-question=\"Delete all {stored} groups?\">\
                 Delete all {stored} groups</button>"
            )?;
        }
        self.out.write_str("</div>\n")
    }

    fn groups(&mut self, listing: &Listing<'_>, groups: impl Iterator<Item = GroupView>) -> fmt::Result {
        let &Listing { stored, found, first, text } = listing;
        let summary = self.out.len();
        let mut shown = 0;
        let mut last = None;
        for group in groups {
            if self.is_full() {
                break;
            }
            self.group(&group, found == 1)?;
            shown += 1;
            last = Some(group.key);
        }
        let mut said = match shown {
            0 => "No groups".to_owned(),
            _ if shown == found => format!("{shown} {}", if shown == 1 { "group" } else { "groups" }),
            _ => format!("Groups {} to {} of {found}", first + 1, first + shown),
        };
        if !text.is_empty() {
            write!(said, " with “{}” in the key, of {stored} in all", Text(text))?;
        }
        self.out.insert_str(summary, &format!("<p class=\"quiet\">{said}.</p>\n"));
        match last {
            Some(last) if first + shown < found => {
                let after = last.to_path();
                let [text, after] = [text, &after].map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC));
                let link = Text(&self.settings.link_prefix);
                writeln!(self.out, "<p><a href=\"{link}/?q={text}&amp;after={after}\">Next groups</a></p>")
            }
            Some(_) | None => Ok(()),
        }
    }

    fn group(&mut self, group: &GroupView, is_open: bool) -> fmt::Result {
        let GroupView { key, push_time, failure_time, .. } = group;
        let open = if is_open { " open" } else { "" };
        write!(self.out, "<details class=\"group\"{open}><summary>")?;
        self.key(key)?;
        if group.is_last_push_successful() {
            write!(self.out, " <span class=\"quiet\">pushed {}</span>", Moment(*push_time))?;
        } else {
            write!(self.out, " <span class=\"failed\">Last push failed!</span>")?;
        }
        // The listener of this page reads it.
        let path = key.to_path_for(self.settings.path_names());
        let link = Text(&self.settings.link_prefix);
        write!(
            self.out,
            "</summary>\n<div class=\"inside\">\n<div class=\"bar\"><span class=\"quiet\">Last push accepted: {}; \
             refused: {}</span><a href=\"{link}{API_PATH}/metrics?group={}\">JSON</a>\
             <button type=\"button\" class=\"delete\" hidden data-method=\"DELETE\" data-path=\"{link}{}\" \
             data-question=\"Delete the group {}?\">Delete group</button></div>\n",
            Moment(*push_time),
            Moment(*failure_time),
            utf8_percent_encode(&path, NON_ALPHANUMERIC),
            Text(&path),
            Text(key),
        )?;
        let mut families = group.families();
        while !self.is_full()
            && let Some(family) = families.next()
        {
            self.family(family)?;
        }
        self.left_out(families.count(), "families")?;
        self.out.write_str("</div></details>\n")
    }

    /// The job comes first, whatever its place in the alphabet.
    fn key(&mut self, key: &GroupingKey) -> fmt::Result {
        let (jobs, others): (Vec<_>, Vec<_>) = key.labels().iter().partition(|(name, _)| *name == JOB_LABEL);
        for (name, value) in jobs.into_iter().chain(others) {
            write!(self.out, "<span class=\"label\">{}</span>", Text(Pair(name, value)))?;
        }
        Ok(())
    }

    fn family(&mut self, family: FamilyView<'_>) -> fmt::Result {
        let FamilyHead { name, help, unit, kind } = family.head();
        let mut metrics = family.metrics();
        write!(
            self.out,
            "<details class=\"family\"><summary><span class=\"name\">{}</span> <span class=\"quiet\">{}",
            Text(name),
            word(kind)
        )?;
        if !unit.is_empty() {
            write!(self.out, " in {}", Text(unit))?;
        }
        writeln!(self.out, ", pushed {}</span></summary>", Moment(family.pushed_at()))?;
        if !help.is_empty() {
            writeln!(self.out, "<div>{}</div>", Text(help))?;
        }
        self.out.write_str("<div class=\"scroll\"><table><tr><th>Labels</th><th>Value</th></tr>\n")?;
        while !self.is_full()
            && let Some(metric) = metrics.next()
        {
            self.metric(&metric)?;
        }
        self.out.write_str("</table></div>\n")?;
        self.left_out(metrics.count(), "series")?;
        self.out.write_str("</details>\n")
    }

    fn metric(&mut self, metric: &MetricRef<'_>) -> fmt::Result {
        let MetricRef { labels, value, extra, timestamp: _ } = metric;
        write!(self.out, "<tr><td>{}</td><td class=\"value\">", Text(labels))?;
        match &**value {
            Value::Number(number) => write!(self.out, "{}", Plain(*number))?,
            Value::Summary(Summary { quantiles, sum, count }) => {
                self.parts(quantiles.iter(), |out, (quantile, value)| {
                    write!(out, "{}: {}<br>", Plain(*quantile), Plain(*value))
                })?;
                write!(self.out, "sum: {}<br>count: {count}", Plain(*sum))?;
            }
            Value::Histogram(Histogram { buckets, sum, count }) => {
                match extra.and_then(|extra| extra.native.as_ref()).and_then(native::shown_buckets) {
                    Some(buckets) => self.parts(buckets.iter(), write_native)?,
                    None => self.parts(buckets.iter(), |out, (bound, count)| {
                        write!(out, "≤ {}: {}<br>", Plain(*bound), Plain(count.as_f64()))
                    })?,
                }
                write!(self.out, "sum: {}<br>count: {}", Plain(*sum), Plain(count.as_f64()))?;
            }
        }
        self.out.write_str("</td></tr>\n")
    }

    /// The quantiles or buckets of one series.
    fn parts<T>(
        &mut self,
        mut parts: impl ExactSizeIterator<Item = T>,
        write: impl Fn(&mut String, T) -> fmt::Result,
    ) -> fmt::Result {
        while !self.is_full()
            && let Some(part) = parts.next()
        {
            write(&mut self.out, part)?;
        }
        match parts.len() {
            0 => Ok(()),
            left => write!(self.out, "{left} more are left out here; the JSON has them.<br>"),
        }
    }

    fn status(&mut self, listing: &Listing<'_>) -> fmt::Result {
        write!(
            self.out,
            "<h2>Status</h2>\n<div class=\"scroll\"><table class=\"status\">\n\
             <tr><td>Version</td><td>{}</td></tr>\n<tr><td>Started</td><td>{}</td></tr>\n\
             <tr><td>Groups</td><td>{}</td></tr>\n</table></div>\n",
            build_info::VERSION,
            Moment(self.settings.started),
            listing.stored,
        )?;
        if self.settings.flags.is_empty() {
            return Ok(());
        }
        self.out.write_str("<h2>Flags</h2>\n<div class=\"scroll\"><table class=\"status\">\n")?;
        for (name, value) in &self.settings.flags {
            writeln!(self.out, "<tr><td>{}</td><td>{}</td></tr>", Text(name), Text(value))?;
        }
        self.out.write_str("</table></div>\n")
    }

    fn left_out(&mut self, count: usize, what: &str) -> fmt::Result {
        if count == 0 {
            return Ok(());
        }
        writeln!(self.out, "<p class=\"quiet\">{count} more {what} are left out here; the JSON has them.</p>")
    }

    fn is_full(&self) -> bool {
        MOST_BYTES <= self.out.len()
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Summary => "summary",
        Kind::Untyped => "untyped",
        Kind::Histogram => "histogram",
        Kind::GaugeHistogram => "gauge histogram",
        Kind::Info => "info",
        Kind::StateSet => "stateset",
    }
}

fn write_native(out: &mut String, bucket: &Bucket) -> fmt::Result {
    let Bucket { closed, lower, upper, count } = *bucket;
    let (left, right) = match closed {
        Closed::Upper => ('(', ']'),
        Closed::Lower => ('[', ')'),
        Closed::Both => ('[', ']'),
    };
    write!(out, "{left}{}, {}{right}: {}<br>", Plain(lower), Plain(upper), Plain(count.as_f64()))
}

// === impl Moment ===

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == UnixSeconds::NEVER {
            return f.write_str("never");
        }
        let exact = Rfc3339(self.0).to_string();
        let (date, time) = exact.split_once('T').unwrap_or_default();
        write!(f, "<time datetime=\"{exact}\">{date} {} UTC</time>", time.get(..8).unwrap_or_default())
    }
}

// === impl Pair ===

impl fmt::Display for Pair<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name, value) = self;
        if is_label_name(name) {
            f.write_str(name)?;
        } else {
            write_quoted(f, name)?;
        }
        f.write_str("=")?;
        write_quoted(f, value)
    }
}
