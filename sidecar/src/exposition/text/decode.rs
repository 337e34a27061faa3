//! Text → families, with line and column of the first fault.
//!
//! The format is one of lines, so this file is one too: [`decode`] cuts the body into lines, `Line` reads the tokens
//! of one, `Families` finds out which family a line belongs to and puts it there. Order matters in that: `x_count`
//! belongs to a summary `x` only if that was declared before.
//!
//! *Never:* how label values are escaped (asks `protocol`), what is done with the families.

use std::collections::HashMap;

use protocol::{
    LabelSet, NameValidation,
    label_set::{LabelBlock, parse_block},
};

use super::{
    error::{Found, Malformed, Quoted, TextError},
    number::parse_number,
};
use crate::exposition::family::{Count, Kind, Metric, MetricFamily, Value, allows_metric, is_metric_name};

mod families;
mod line;

use families::Families;
use line::Line;

/// A fault and its place, in bytes from the start of the line.
struct Fault {
    at: usize,
    what: Malformed,
}

/// One sample as written.
struct Sample {
    name: String,
    labels: LabelSet,
    value: f64,
    /// The value as written, for sentences.
    written: String,
    timestamp: Option<i64>,
}

/// Reads a body whose names in quotes may be what `names` allows. Families come in the order of their first line; those
/// without samples are left out.
///
/// # Errors
/// The first fault.
pub fn decode(body: &[u8], names: NameValidation) -> Result<Vec<MetricFamily>, TextError> {
    let text = std::str::from_utf8(body).map_err(|error| not_utf8(body, error.valid_up_to()))?;
    let mut families = Families::default();
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let line = line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line));
        read_line(&mut families, Line::new(line, names)).map_err(|fault| {
            let before = line.get(..fault.at).unwrap_or(line);
            TextError { line: index + 1, column: before.chars().count() + 1, fault: fault.what }
        })?;
    }
    Ok(families.finish())
}

fn read_line(families: &mut Families, mut line: Line<'_>) -> Result<(), Fault> {
    line.skip_blanks();
    match line.peek() {
        None => Ok(()),
        Some('#') => read_comment(families, &mut line),
        Some(_) => {
            let at = line.at();
            let sample = line.sample()?;
            families.add(sample).map_err(|what| Fault { at, what })
        }
    }
}

/// A comment is ignored unless its first word is `HELP` or `TYPE` and a name and a text follow.
fn read_comment(families: &mut Families, line: &mut Line<'_>) -> Result<(), Fault> {
    line.take('#');
    line.skip_blanks();
    let keyword = line.word();
    if keyword != "HELP" && keyword != "TYPE" {
        return Ok(());
    }
    line.skip_blanks();
    let Some(name) = line.comment_name()? else {
        return Ok(());
    };
    let at = line.at();
    let declared =
        if keyword == "HELP" { families.help(&name, line.help()?) } else { families.kind(&name, line.rest()) };
    declared.map_err(|what| Fault { at, what })
}

fn not_utf8(body: &[u8], valid: usize) -> TextError {
    let before = String::from_utf8_lossy(body.get(..valid).unwrap_or_default()).into_owned();
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    TextError {
        line: before.matches('\n').count() + 1,
        column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        fault: Malformed::NotUtf8,
    }
}

#[cfg(test)]
mod tests;
