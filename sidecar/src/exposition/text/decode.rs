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
use crate::exposition::{
    family::{Count, Kind, Metric, MetricFamily, Value, allows_metric, is_metric_name},
    limits::{Limit, Limits},
};

pub(in crate::exposition) mod families;
pub(in crate::exposition) mod line;

use families::Families;
use line::Line;

/// A fault and its place, in bytes from the start of the line.
pub(in crate::exposition) struct Fault<W = Malformed> {
    pub(in crate::exposition) at: usize,
    pub(in crate::exposition) what: W,
}

/// One sample as written.
pub(in crate::exposition) struct Sample {
    pub(in crate::exposition) name: String,
    pub(in crate::exposition) labels: LabelSet,
    pub(in crate::exposition) value: f64,
    /// The value as written, for sentences.
    pub(in crate::exposition) written: String,
    pub(in crate::exposition) timestamp: Option<i64>,
}

/// Reads a body whose names in quotes may be what `names` allows. Families come in the order of their first line; those
/// without samples are left out.
///
/// # Errors
/// The first fault.
pub fn decode(body: &[u8], names: NameValidation) -> Result<Vec<MetricFamily>, TextError> {
    decode_within(body, names, &Limits::NONE)
}

/// The same, up to the limits.
///
/// # Errors
/// The first fault or excess.
pub fn decode_within(body: &[u8], names: NameValidation, limits: &Limits) -> Result<Vec<MetricFamily>, TextError> {
    let mut families = Families::new(limits);
    let error = |line, column, fault| TextError { line, column, fault };
    each_line(body, |line| read_line(&mut families, Line::new(line, names)), error)?;
    Ok(families.finish())
}

/// Reads a body line by line. `error` is given line and column, both from 1, of the first fault, which ends it.
pub(in crate::exposition) fn each_line<W: From<Malformed>, E>(
    body: &[u8],
    mut read: impl FnMut(&str) -> Result<(), Fault<W>>,
    error: impl Fn(usize, usize, W) -> E,
) -> Result<(), E> {
    let text = std::str::from_utf8(body).map_err(|fault| {
        let (line, column) = place(body, fault.valid_up_to());
        error(line, column, Malformed::NotUtf8.into())
    })?;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let line = line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line));
        read(line).map_err(|fault| {
            let before = line.get(..fault.at).unwrap_or(line);
            error(index + 1, before.chars().count() + 1, fault.what)
        })?;
    }
    Ok(())
}

fn read_line(families: &mut Families<'_>, mut line: Line<'_>) -> Result<(), Fault> {
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
fn read_comment(families: &mut Families<'_>, line: &mut Line<'_>) -> Result<(), Fault> {
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

/// Line and column of what follows so many bytes.
fn place(body: &[u8], valid: usize) -> (usize, usize) {
    let before = String::from_utf8_lossy(body.get(..valid).unwrap_or_default()).into_owned();
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before.get(line_start..).unwrap_or_default().chars().count() + 1)
}

#[cfg(test)]
pub(in crate::exposition) mod tests;
