//! What is printed: a table in Markdown, with what was to be reached.
//!
//! *Never:* how a figure came about.

use super::{Pass, Size, Window};
use crate::{
    control_plane::Requests,
    measuring::figure::{Goal, MEBIBYTE, Unit, digits, whole},
};

/// Of the operator at most, in bytes.
const MEMORY: f64 = 150.0 * MEBIBYTE;

/// Of a core at most, where nothing is asked of it.
const LOAD: f64 = 0.05;

/// Of a full pass at most, in seconds.
const PASS: f64 = 30.0;

/// All that was measured.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) size: Size,
    /// With one group of ten stale.
    pub(super) first: Pass,
    /// Nothing happens.
    pub(super) still: Window,
    /// Pods come and go.
    pub(super) busy: Window,
    /// A new operator, every group stale.
    pub(super) all_stale: Pass,
}

// === impl Figures ===

impl Figures {
    /// The table.
    pub(super) fn table(&self) -> String {
        let Self { size, first, still, busy, all_stale } = self;
        let [pods, groups] = [size.pods, size.pods * size.groups].map(|number| whole(number as f64));
        let push_groups = size.spread.places().count();
        let replaced = digits(busy.replaced as f64 / busy.length.as_secs_f64());
        let removed = |pass: &Pass| whole(pass.removed as f64);
        let seconds = |time: std::time::Duration| time.as_secs_f64();
        let peak = first.memory[1].max(busy.memory[1]).max(all_stale.memory[1]);
        let mut out = format!(
            "| {pods} pods, {groups} groups, {push_groups} PushGroups | found | to reach |\n| --- | --: | --- |\n"
        );
        let mut line = |what: &str, unit: Unit, found: f64, goal: Goal| {
            out.push_str(&format!("| {what} | {} | {} |\n", unit.shown(found), goal.shown(unit, found)));
        };
        let (s, mib, percent, a_second) = (Unit::Seconds, Unit::Mebibytes, Unit::PerMille, Unit::PerSecond);
        let what = format!("from the start until all were asked and {} stale groups removed", removed(first));
        line(&what, s, seconds(first.done), Goal::AtMost(PASS));
        line("… and until every status says so", s, seconds(first.told), Goal::None);
        line("… requests to the API server until then", Unit::Number, sum(&first.requests), Goal::None);
        line("RSS after that", mib, first.memory[0], Goal::AtMost(MEMORY));
        let what = format!("nothing happens for {} s: processor, of a core", whole(still.length.as_secs_f64()));
        line(&what, percent, still.load(), Goal::AtMost(LOAD));
        line("… requests to the API server", a_second, still.requests_a_second(), Goal::None);
        line("… reads of sidecars", a_second, still.reads_a_second(), Goal::None);
        let what = format!("{replaced} pods replaced a second: processor, of a core");
        line(&what, percent, busy.load(), Goal::None);
        line("… requests to the API server", a_second, busy.requests_a_second(), Goal::None);
        line("… reads of sidecars", a_second, busy.reads_a_second(), Goal::None);
        line("… RSS after that", mib, busy.memory[0], Goal::AtMost(MEMORY));
        let what = format!("started anew, all {} groups stale: until all were removed", removed(all_stale));
        line(&what, s, seconds(all_stale.done), Goal::None);
        line("the most RSS there was", mib, peak, Goal::AtMost(MEMORY));
        for (when, requests) in [
            ("until the first pass was told", &first.requests),
            ("nothing happens", &still.requests),
            ("pods replaced", &busy.requests),
        ] {
            out.push_str(&format!("\nRequests to the API server, {when}: {}.\n", listed(requests)));
        }
        out
    }
}

fn sum(requests: &Requests) -> f64 {
    requests.values().sum::<u64>() as f64
}

fn listed(requests: &Requests) -> String {
    let one = |(what, count): (&String, &u64)| format!("{} × {what}", whole(*count as f64));
    let all: Vec<_> = requests.iter().map(one).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_listed_by_what_they_were_for() {
        let requests = [("get pods".to_owned(), 2), ("watch pods".to_owned(), 1)].into();
        assert_eq!(listed(&requests), "2 × get pods, 1 × watch pods");
        assert_eq!(listed(&Requests::new()), "none");
    }
}
