//! What the rows ask about a body of messages, read field by field.
//!
//! *Never:* whether a body is accepted.

use crate::request::Request;

/// What can be seen of a body.
pub(crate) struct Found {
    pub(crate) families: Vec<Family>,
    /// The last length or message is cut short.
    pub(crate) is_cut: bool,
}

#[derive(Default)]
pub(crate) struct Family {
    pub(crate) has_classic_name: bool,
    pub(crate) has_type: bool,
    /// A label name that is not of the classic alphabet, or given twice.
    pub(crate) has_odd_labels: bool,
    /// A series without the value of the family's type.
    pub(crate) lacks_value: bool,
    pub(crate) has_float_counts: bool,
}

/// A field: number, wire type, a number that it holds, or its bytes.
type Field<'a> = (u64, u64, &'a [u8]);

pub(crate) fn any_family(request: &Request, is: impl Fn(&Family) -> bool) -> bool {
    families(request).is_some_and(|found| found.families.iter().any(is))
}

pub(crate) fn families(request: &Request) -> Option<Found> {
    let mut rest = request.is_protobuf().then_some(&request.body[..])?;
    let mut found = Found { families: Vec::new(), is_cut: false };
    while !rest.is_empty() {
        let message = length(&mut rest).and_then(|length| split(&mut rest, length));
        let Some(message) = message else {
            found.is_cut = true;
            break;
        };
        found.families.push(family(message));
    }
    Some(found)
}

fn family(message: &[u8]) -> Family {
    let fields = fields(message);
    let number = |wanted: u64| fields.iter().rev().find(|(field, ..)| *field == wanted).map(|(.., bytes)| *bytes);
    let name = number(1).unwrap_or_default();
    let kind = number(3).and_then(|bytes| length(&mut &*bytes)).unwrap_or(0);
    let mut family = Family { has_classic_name: is_classic(name), has_type: kind < 6, ..Family::default() };
    // By type: the field of its value.
    let value = [3, 2, 4, 5, 7, 7].get(usize::try_from(kind).unwrap_or(usize::MAX)).copied();
    for (_, _, metric) in fields.iter().filter(|(field, ..)| *field == 4) {
        let metric = self::fields(metric);
        let labels = metric.iter().filter(|(field, ..)| *field == 1);
        let mut names: Vec<&[u8]> = labels.map(|(.., pair)| label_name(pair)).collect();
        let count = names.len();
        family.has_odd_labels |= names.iter().any(|name| !is_classic(name) || name.contains(&b':'));
        names.sort_unstable();
        names.dedup();
        family.has_odd_labels |= names.len() < count;
        family.lacks_value |= value.is_some_and(|value| !metric.iter().any(|(field, ..)| *field == value));
        let histograms = metric.iter().filter(|(field, ..)| *field == 7);
        family.has_float_counts |= histograms.flat_map(|(.., bytes)| self::fields(bytes)).any(|(field, ..)| field == 4);
    }
    family
}

fn label_name(pair: &[u8]) -> &[u8] {
    fields(pair).into_iter().find(|(field, ..)| *field == 1).map(|(.., bytes)| bytes).unwrap_or_default()
}

fn is_classic(name: &[u8]) -> bool {
    name.first().is_some_and(|first| !first.is_ascii_digit())
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(byte))
}

fn fields(mut message: &[u8]) -> Vec<Field<'_>> {
    let mut fields = Vec::new();
    while let Some(key) = length(&mut message) {
        let before = message;
        let value = match key & 7 {
            0 => length(&mut message).map(|_| &before[..before.len() - message.len()]),
            1 => split(&mut message, 8),
            5 => split(&mut message, 4),
            2 => length(&mut message).and_then(|length| split(&mut message, length)),
            _ => None,
        };
        let Some(value) = value else { break };
        fields.push((key >> 3, key & 7, value));
    }
    fields
}

fn split<'a>(rest: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = left;
    Some(taken)
}

fn length(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *rest.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}
