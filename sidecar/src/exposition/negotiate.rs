//! `Content-Type` of a push and `Accept` of a scrape → format.
//!
//! Pure: strings in, a format out. A body is text unless its type says in full that it is not, as upstream has it, or
//! the type leaves it open and the body ends as OpenMetrics does. A page is in the format that weighs most among those
//! that are written here, and else text. Beyond upstream there is OpenMetrics, a clause of weight 0 is a refusal, a
//! wildcard that stands for text means text, and names are compared whatever their letter case.
//!
//! *Never:* headers of other names, status codes, more of a body than its last line.

mod media_type;

use std::fmt;

use super::{escaping::Escaping, protobuf::ProtobufForm};
use media_type::MediaType;

/// The type of the text format.
const TEXT: &str = "text/plain";

/// The type of OpenMetrics as text.
const OPENMETRICS: &str = "application/openmetrics-text";

/// The type of the protobuf format.
const PROTOBUF: &str = "application/vnd.google.protobuf";

/// The message that a protobuf body is made of.
const MESSAGE: &str = "io.prometheus.client.MetricFamily";

/// The last line of OpenMetrics.
const END: &[u8] = b"# EOF";

/// How the families of a body are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// The text format 0.0.4.
    Text,
    /// OpenMetrics as text.
    OpenMetrics,
    /// Delimited messages.
    Protobuf,
}

/// How the families of a page are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageFormat {
    /// The text format.
    Text(TextVersion),
    /// OpenMetrics as text.
    OpenMetrics(OpenMetricsVersion),
    /// Messages.
    Protobuf(ProtobufForm),
}

/// The versions of the text format: one format, under the number that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextVersion {
    /// The number that everybody knows.
    V0_0_4,
    /// The number under which names in quotes came in.
    V1_0_0,
}

/// The versions of OpenMetrics: one format, under the number that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMetricsVersion {
    /// The number of the drafts.
    V0_0_1,
    /// The number of the standard.
    V1_0_0,
}

/// What a page will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// How it is written.
    pub format: PageFormat,
    /// How its names are written.
    pub escaping: Escaping,
}

/// The format of a page, by the `Accept` of who asks for it. The escaping scheme is the last that was asked for in the
/// clauses up to the one that is chosen.
#[must_use]
pub fn accepted(accept: &str) -> Choice {
    let clauses = accept.split(',').filter_map(MediaType::parse).map(|clause| (clause.weight(), clause));
    let mut clauses: Vec<_> = clauses.filter(|(weight, _)| 0.0 < *weight).collect();
    clauses.sort_by(|(left, _), (right, _)| right.total_cmp(left));
    let mut choice = Choice::default();
    for (_, clause) in clauses {
        let escaping = clause.parameter("escaping").and_then(Escaping::from_name);
        choice.escaping = escaping.unwrap_or(choice.escaping);
        if let Some(format) = clause.format() {
            choice.format = format;
            break;
        }
    }
    choice
}

/// The format of a body, by its `Content-Type` and, where that leaves it open, by its last line: one that names neither a
/// version nor another format is OpenMetrics if it ends as that does. There are clients that write OpenMetrics and do
/// not say so.
#[must_use]
pub fn sniffed(content_type: &str, body: &[u8]) -> Format {
    let content_type = MediaType::parse(content_type);
    let names_nothing = |it: &MediaType<'_>| it.essence != PROTOBUF && it.parameter("version").is_none();
    let is_open = content_type.as_ref().is_none_or(names_nothing);
    match pushed(content_type.as_ref()) {
        Format::Text if is_open && ends_as_openmetrics(body) => Format::OpenMetrics,
        format @ (Format::Text | Format::OpenMetrics | Format::Protobuf) => format,
    }
}

/// The format of a body, by its `Content-Type` alone; one that cannot be read, or is missing, means text.
fn pushed(content_type: Option<&MediaType<'_>>) -> Format {
    match content_type {
        Some(it) if it.essence == OPENMETRICS => Format::OpenMetrics,
        Some(it) if it.protobuf_form() == Some(ProtobufForm::Delimited) => Format::Protobuf,
        Some(_) | None => Format::Text,
    }
}

/// Whether the last line that is not blank is `# EOF`.
fn ends_as_openmetrics(body: &[u8]) -> bool {
    let before = body.trim_ascii_end().strip_suffix(END);
    before.is_some_and(|before| before.is_empty() || before.ends_with(b"\n"))
}

// === impl Choice ===

impl Choice {
    /// Text with all names as they are: what the operator gets.
    pub const UNESCAPED_TEXT: Self =
        Self { format: PageFormat::Text(TextVersion::V0_0_4), escaping: Escaping::AllowUtf8 };
}

/// What nobody asked for otherwise.
impl Default for Choice {
    fn default() -> Self {
        Self { format: PageFormat::Text(TextVersion::V0_0_4), escaping: Escaping::default() }
    }
}

/// Prints the `Content-Type` of the page.
impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.format {
            PageFormat::Text(version) => write!(f, "{TEXT}; version={}; charset=utf-8", version.number())?,
            PageFormat::OpenMetrics(version) => {
                write!(f, "{OPENMETRICS}; version={}; charset=utf-8", version.number())?;
            }
            PageFormat::Protobuf(form) => write!(f, "{PROTOBUF}; proto={MESSAGE}; encoding={}", encoding(form))?,
        }
        write!(f, "; escaping={}", self.escaping.name())
    }
}

fn encoding(form: ProtobufForm) -> &'static str {
    match form {
        ProtobufForm::Delimited => "delimited",
        ProtobufForm::Text => "text",
        ProtobufForm::CompactText => "compact-text",
    }
}

// === impl TextVersion ===

impl TextVersion {
    fn number(self) -> &'static str {
        match self {
            Self::V0_0_4 => "0.0.4",
            Self::V1_0_0 => "1.0.0",
        }
    }
}

// === impl OpenMetricsVersion ===

impl OpenMetricsVersion {
    fn number(self) -> &'static str {
        match self {
            Self::V0_0_1 => "0.0.1",
            Self::V1_0_0 => "1.0.0",
        }
    }
}

// === impl MediaType ===

impl MediaType<'_> {
    /// From 0 to 1; one that is no such number weighs nothing.
    fn weight(&self) -> f64 {
        let weight = self.parameter("q").map_or(Ok(1.0), str::parse).unwrap_or(0.0);
        if (0.0..=1.0).contains(&weight) { weight } else { 0.0 }
    }

    /// The format that it asks for, where that is written here.
    fn format(&self) -> Option<PageFormat> {
        let version = self.parameter("version");
        match &*self.essence {
            TEXT if version == Some("1.0.0") => Some(PageFormat::Text(TextVersion::V1_0_0)),
            TEXT if version.is_none_or(|version| version == "0.0.4") => Some(PageFormat::Text(TextVersion::V0_0_4)),
            "*/*" | "text/*" => Some(PageFormat::Text(TextVersion::V0_0_4)),
            OPENMETRICS if version == Some("0.0.1") => Some(PageFormat::OpenMetrics(OpenMetricsVersion::V0_0_1)),
            OPENMETRICS if version.is_none_or(|version| version == "1.0.0") => {
                Some(PageFormat::OpenMetrics(OpenMetricsVersion::V1_0_0))
            }
            _ => self.protobuf_form().map(PageFormat::Protobuf),
        }
    }

    fn protobuf_form(&self) -> Option<ProtobufForm> {
        let is_family = self.essence == PROTOBUF && self.parameter("proto") == Some(MESSAGE);
        let found = self.parameter("encoding").filter(|_| is_family)?;
        let forms = [ProtobufForm::Delimited, ProtobufForm::Text, ProtobufForm::CompactText];
        forms.into_iter().find(|form| encoding(*form) == found)
    }
}

#[cfg(test)]
mod tests;
