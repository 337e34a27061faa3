//! Makes a failing sequence as short as it gets: without requests, then without lines of bodies.
//!
//! *Never:* why it fails.

use crate::{
    compare::{self, Failure, Tally},
    gateways::Gateways,
    request::{Coding, Request},
};

/// The shortest sequence found that fails, and how it fails.
pub(crate) fn shortest(
    gateways: &mut Gateways,
    mut sequence: Vec<Request>,
    mut failure: Failure,
) -> anyhow::Result<(Vec<Request>, Failure)> {
    let mut fails = |sequence: &[Request]| {
        gateways.reference.restart()?;
        if sequence.is_empty() { Ok(None) } else { compare::run(gateways, sequence, &mut Tally::default()) }
    };
    sequence.truncate(failure.at + 1);
    for at in (0..sequence.len()).rev() {
        let mut shorter = sequence.clone();
        shorter.remove(at);
        if let Some(found) = fails(&shorter)? {
            (sequence, failure) = (shorter, found);
        }
    }
    for at in 0..sequence.len() {
        let mut line = 0;
        while let Some(shorter) = without_line(&sequence[at], line) {
            let mut candidate = sequence.clone();
            candidate[at] = shorter;
            match fails(&candidate)? {
                Some(found) => (sequence, failure) = (candidate, found),
                None => line += 1,
            }
        }
    }
    Ok((sequence, failure))
}

/// `None` where there is no such line.
fn without_line(request: &Request, line: usize) -> Option<Request> {
    if request.is_protobuf() || matches!(request.coding, Coding::Damaged(_)) {
        return None;
    }
    let mut lines: Vec<&[u8]> = request.body.split_inclusive(|byte| *byte == b'\n').collect();
    (line < lines.len()).then(|| lines.remove(line))?;
    Some(Request { body: lines.concat(), ..request.clone() })
}
