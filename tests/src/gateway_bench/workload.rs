//! What is sent: groups of batch jobs with ten series each, and reads as scrapers ask.
//!
//! *Never:* who is asked, and how fast.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use crate::wire::Message;

/// How many bodies take turns, so that no push says what its group has already.
const BODIES: usize = 2;

/// Series of a group, as its push has them; each is a family.
pub(super) const SERIES: usize = FAMILIES.len();

/// A family: name, help, and how its value comes from the round.
type Family = (&'static str, &'static str, bool, f64);

/// Counters are marked.
const FAMILIES: [Family; 10] = [
    ("backup_last_success_timestamp_seconds", "When the last run succeeded.", false, 1_763_731_200.5),
    ("backup_duration_seconds", "How long the run took.", false, 312.25),
    ("backup_bytes_total", "Bytes written to the target.", true, 734_003_200.0),
    ("backup_files_total", "Files written to the target.", true, 18_231.0),
    ("backup_files_skipped_total", "Files that had not changed.", true, 912_004.0),
    ("backup_errors_total", "Files that could not be read.", true, 0.0),
    ("backup_retries_total", "Transfers that were tried again.", true, 3.0),
    ("backup_target_free_bytes", "Bytes left at the target.", false, 5.498e11),
    ("backup_peak_memory_bytes", "The most memory the run took.", false, 83_886_080.0),
    ("backup_exit_code", "How the run ended.", false, 0.0),
];

const LABELS: [(&str, &str); 2] = [("database", "orders"), ("target", "s3-eu-central-1")];

/// The format of a pushed body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Protobuf,
}

/// Pushes to some groups in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pushes {
    pub(super) groups: usize,
    pub(super) format: Format,
}

/// How a page is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// Text, not compressed.
    Plain,
    /// Text, compressed.
    Gzip,
    /// As Prometheus asks: OpenMetrics rather than text, compressed.
    Prometheus,
}

// === impl Format ===

impl Format {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Protobuf => "protobuf",
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    fn body(self, round: usize) -> Vec<u8> {
        // Whichever round, as many digits.
        let more = if round.is_multiple_of(BODIES) { 0.0 } else { 1.0 };
        match self {
            Self::Text => text(more).into_bytes(),
            Self::Protobuf => protobuf(more),
        }
    }
}

fn text(more: f64) -> String {
    let mut out = String::new();
    let labels: Vec<String> = LABELS.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    let labels = labels.join(",");
    for (name, help, is_counter, value) in FAMILIES {
        let kind = if is_counter { "counter" } else { "gauge" };
        let value = value + more;
        let written = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{{{labels}}} {value}\n");
        debug_assert!(written.is_ok());
    }
    out
}

fn protobuf(more: f64) -> Vec<u8> {
    let labels = LABELS.iter().map(|(name, value)| Message::new().text(1, name).text(2, value));
    let labels: Vec<Message> = labels.collect();
    let families = FAMILIES.iter().map(|(name, help, is_counter, value)| {
        let metric = labels.iter().fold(Message::new(), |metric, label| metric.message(1, label));
        let value = Message::new().double(1, value + more);
        let (kind, metric) = if *is_counter { (0, metric.message(3, &value)) } else { (1, metric.message(2, &value)) };
        Message::new().text(1, name).text(2, help).integer(3, kind).message(4, &metric).delimited()
    });
    families.flatten().collect()
}

// === impl Pushes ===

impl Pushes {
    /// The path of a group; `%d` stands for its number.
    const PATH: &str = "/metrics/job/nightly-backup/instance/worker-%d";

    pub(super) fn request(self, group: usize, round: usize) -> Vec<u8> {
        let (body, content_type) = (self.format.body(round), self.format.content_type());
        let path = Self::PATH.replace("%d", &group.to_string());
        let length = body.len();
        let head = format!(
            "PUT {path} HTTP/1.1\r\nHost: gateway\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
        );
        [head.into_bytes(), body].concat()
    }

    /// What the script `push.lua` is to be called with; it reads the bodies from files in this folder.
    pub(super) fn script_arguments(self, folder: &Path) -> anyhow::Result<Vec<String>> {
        let mut arguments = vec![self.groups.to_string(), Self::PATH.to_owned(), self.format.content_type().to_owned()];
        for round in 0..BODIES {
            let file: PathBuf = folder.join(format!("{}-{round}", self.format.name()));
            fs::write(&file, self.format.body(round))?;
            arguments.push(file.display().to_string());
        }
        Ok(arguments)
    }
}

// === impl Read ===

impl Read {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "text",
            Self::Gzip => "text, gzip",
            Self::Prometheus => "as Prometheus asks: OpenMetrics, gzip",
        }
    }

    pub(super) fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Plain => &[("Accept", "text/plain; version=0.0.4")],
            Self::Gzip => &[("Accept", "text/plain; version=0.0.4"), ("Accept-Encoding", "gzip")],
            Self::Prometheus => &[
                (
                    "Accept",
                    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                     application/openmetrics-text;version=0.0.1;q=0.4,\
                     text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                ),
                ("Accept-Encoding", "gzip"),
                ("User-Agent", "Prometheus/3.15.0"),
                ("X-Prometheus-Scrape-Timeout-Seconds", "10"),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bodies_of_two_rounds_differ_and_the_third_is_the_first() {
        for format in [Format::Text, Format::Protobuf] {
            assert_ne!(format.body(0), format.body(1));
            assert_eq!(format.body(0), format.body(2));
        }
    }

    #[test]
    fn a_push_of_text_is_ten_families_with_two_labels_of_their_own() {
        let request = String::from_utf8(Pushes { groups: 20, format: Format::Text }.request(7, 0)).unwrap();
        assert!(request.starts_with("PUT /metrics/job/nightly-backup/instance/worker-7 HTTP/1.1\r\n"));
        let body = request.split_once("\r\n\r\n").unwrap().1;
        assert_eq!(body.lines().filter(|line| line.contains("{database=\"orders\",target=")).count(), SERIES);
        assert!(request.contains(&format!("\r\nContent-Length: {}\r\n", body.len())));
    }
}
