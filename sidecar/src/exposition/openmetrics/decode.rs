//! Text → families, with line and column of the first fault.
//!
//! Lines, and the start of a sample, are read as the text format reads them: an OpenMetrics client may write as loosely
//! as it would there. What is new stands behind the value.
//!
//! *Never:* what is done with the families.

use std::collections::{BTreeMap, HashMap};

use protocol::{LabelSet, NameValidation};

use super::{
    MOST_EXEMPLAR_CHARACTERS,
    error::{Malformed, OpenMetricsError},
    seconds,
};
use crate::exposition::{
    extra::{Created, Exemplar, Timestamp},
    family::{Kind, Metric, MetricFamily, Value},
    limits::{Limit, Limits},
    text::{
        self,
        decode::{Sample, each_line, families::Family, families::Part, line::Line},
        error::{Found, Quoted},
        number::parse_number,
    },
};

mod families;

use families::Families;

type Fault<W = Malformed> = text::decode::Fault<W>;

/// A body so far.
struct Body<'a> {
    names: NameValidation,
    families: Families<'a>,
    is_ended: bool,
}

/// Reads a body. Families come in the order of their first line; those without samples are left out.
///
/// # Errors
/// The first fault.
pub fn decode(body: &[u8], names: NameValidation) -> Result<Vec<MetricFamily>, OpenMetricsError> {
    decode_within(body, names, &Limits::NONE)
}

/// The same, up to the limits.
///
/// # Errors
/// The first fault or excess.
pub fn decode_within(
    body: &[u8],
    names: NameValidation,
    limits: &Limits,
) -> Result<Vec<MetricFamily>, OpenMetricsError> {
    let mut read = Body { names, families: Families::new(limits), is_ended: false };
    let error = |line, column, fault| OpenMetricsError { line, column, fault };
    each_line(body, |line| read.line(line), error)?;
    Ok(read.families.finish())
}

// === impl Body ===

impl Body<'_> {
    fn line(&mut self, text: &str) -> Result<(), Fault> {
        let mut line = Line::new(text, self.names);
        line.skip_blanks();
        let at = line.at();
        match line.peek() {
            None => Ok(()),
            Some(_) if self.is_ended => Err(Fault { at, what: Malformed::AfterEnd(Quoted(line.rest().to_owned())) }),
            Some('#') => self.comment(&mut line),
            Some(_) => {
                let point = line.point()?;
                let (timestamp, exemplar) = behind_value(&mut line)?;
                let sample = Sample { timestamp, ..point };
                self.families.add(sample, exemplar).map_err(|what| Fault { at, what })
            }
        }
    }

    /// A comment is ignored unless it is `# EOF`, or its first word is `HELP`, `TYPE` or `UNIT` and a name and a text
    /// follow.
    fn comment(&mut self, line: &mut Line<'_>) -> Result<(), Fault> {
        line.take('#');
        line.skip_blanks();
        let keyword = line.word();
        line.skip_blanks();
        if !["HELP", "TYPE", "UNIT"].contains(&keyword) {
            self.is_ended = keyword == "EOF" && line.rest().is_empty();
            return Ok(());
        }
        let Some(name) = line.comment_name()? else {
            return Ok(());
        };
        let at = line.at();
        let declared = match keyword {
            "HELP" => self.families.help(&name, line.help()?),
            "TYPE" => self.families.kind(&name, line.rest()),
            _ => self.families.unit(&name, line.rest()),
        };
        declared.map_err(|what| Fault { at, what })
    }
}

/// Nothing, or a timestamp, or an exemplar, or both.
fn behind_value(line: &mut Line<'_>) -> Result<(Option<i64>, Option<Exemplar>), Fault> {
    if line.rest().is_empty() {
        return Ok((None, None));
    }
    skip_inner_blanks(line)?;
    let mut timestamp = None;
    if line.peek() != Some('#') {
        let (at, word) = (line.at(), line.word());
        timestamp = seconds::parse(word).and_then(seconds::to_millis);
        if timestamp.is_none() {
            return Err(Fault { at, what: Malformed::AfterValue(Quoted(word.to_owned())) });
        }
        if line.rest().is_empty() {
            return Ok((timestamp, None));
        }
        skip_inner_blanks(line)?;
        if line.peek() != Some('#') {
            let found = Quoted(line.rest().to_owned());
            return Err(Fault { at: line.at(), what: Malformed::AfterTimestamp(found) });
        }
    }
    line.take('#');
    line.skip_blanks();
    Ok((timestamp, Some(exemplar(line)?)))
}

/// Goes to the next word; blanks at the end of the line are none.
fn skip_inner_blanks(line: &mut Line<'_>) -> Result<(), Fault> {
    let at = line.at();
    line.skip_blanks();
    if line.rest().is_empty() { Err(Fault { at, what: text::Malformed::TrailingBlank.into() }) } else { Ok(()) }
}

fn exemplar(line: &mut Line<'_>) -> Result<Exemplar, Fault> {
    let start = line.at();
    let fault = |at, what| Err(Fault { at, what });
    if line.peek() != Some('{') {
        return fault(start, Malformed::ExemplarBraces(Found(line.peek())));
    }
    let (metric_name, labels) = line.labels()?;
    if let Some(name) = metric_name {
        return fault(start, Malformed::ExemplarName(name));
    }
    let characters = labels.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
    if MOST_EXEMPLAR_CHARACTERS < characters {
        return fault(start, Malformed::LongExemplar(characters));
    }
    line.skip_blanks();
    let (at, word) = (line.at(), line.word());
    let Some(value) = parse_number(word) else {
        return fault(at, Malformed::ExemplarValue(Quoted(word.to_owned())));
    };
    if line.rest().is_empty() {
        return Ok(Exemplar { labels, value, timestamp: None });
    }
    skip_inner_blanks(line)?;
    match seconds::parse(line.rest()) {
        Some(timestamp) => Ok(Exemplar { labels, value, timestamp: Some(timestamp) }),
        None => fault(line.at(), Malformed::ExemplarTimestamp(Quoted(line.rest().to_owned()))),
    }
}

impl From<Fault<text::Malformed>> for Fault {
    fn from(fault: Fault<text::Malformed>) -> Self {
        Self { at: fault.at, what: fault.what.into() }
    }
}

#[cfg(test)]
mod tests;
