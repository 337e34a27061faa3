//! The table of differences from the reference: the ones that are meant, and what the reference is too old for.
//!
//! Sections are those of the description of upstream's behaviour. A row is as narrow as it can be said of a request. After
//! a difference both gateways are emptied, since what they hold may differ from then on. A row that no request
//! needed fails the test.
//!
//! *Never:* how requests are sent.

mod protobuf;
pub(crate) mod reading;
mod text;

use protocol::GroupingKey;

use crate::{
    compare,
    request::{Coding, Request},
};

pub(crate) struct Deviation {
    pub(crate) name: &'static str,
    pub(crate) why: &'static str,
    pub(crate) rule: Rule,
}

/// What a row allows.
#[derive(Clone, Copy)]
pub(crate) enum Rule {
    /// The reference is sent another request, which means to it what this one means to ours.
    Means(fn(&Request) -> Option<Request>),
    /// The answers have these statuses; none given: any.
    Answers { applies: fn(&Situation<'_>) -> bool, ours: &'static [u16], reference: &'static [u16] },
    /// The same, and what is stored may differ even where the answers do not.
    Differs { applies: fn(&Situation<'_>) -> bool, ours: &'static [u16], reference: &'static [u16] },
    /// The reference refuses this, and then answers no more.
    Kills { applies: fn(&Situation<'_>) -> bool },
    /// The help of a family differs, and each is one that some group gives.
    Help,
}

/// A request and what came before it.
pub(crate) struct Situation<'a> {
    pub(crate) request: &'a Request,
    /// The pushes since everything was removed, by the keys that ours reads.
    pub(crate) pushed: &'a [(GroupingKey, Request)],
}

const REDIRECT: &[u16] = &[301, 307];

pub(crate) const TABLE: &[Deviation] = &[
    Deviation {
        name: "a value is data",
        why: "README: `%2F` is data, an empty part is an empty value, `.` and `..` are data; upstream needs base64",
        rule: Rule::Means(reading::with_odd_values_in_base64),
    },
    Deviation {
        name: "a plus sign in base64",
        why: "README: read as `-`; section 4 has the alphabet for URLs alone",
        rule: Rule::Means(reading::with_base64_for_urls),
    },
    Deviation {
        name: "CRLF",
        why: "README: accepted; section 10: CR is an ordinary byte",
        rule: Rule::Means(reading::with_plain_line_ends),
    },
    Deviation {
        name: "no last line feed",
        why: "README: accepted; section 10.1: an error",
        rule: Rule::Means(reading::with_last_line_ended),
    },
    Deviation {
        name: "newer encodings",
        why: "section 12, 22: 1.5.1 knows only gzip, by that very name, and ignores other names",
        rule: Rule::Means(|request| {
            let newer =
                matches!(request.coding, Coding::GzipNamed(_) | Coding::Deflate | Coding::Zstd | Coding::SnappyBlock);
            (newer && request.is_push()).then(|| Request { coding: Coding::None, ..request.clone() })
        }),
    },
    Deviation {
        name: "unknown and stacked encodings",
        why: "design: refused by name; section 12: ignored",
        rule: Rule::Differs {
            applies: |it| it.request.is_push() && matches!(it.request.coding, Coding::Claimed(_)),
            ours: &[400, 415],
            reference: &[],
        },
    },
    Deviation {
        name: "damaged gzip",
        why: "section 12, 22: refused since 1.6.0; 1.5.1 takes what it can read for the whole",
        rule: Rule::Differs {
            applies: |it| it.request.is_push() && matches!(it.request.coding, Coding::Damaged(_)),
            ours: &[400],
            reference: &[200, 400],
        },
    },
    Deviation {
        name: "gzip without a push",
        why: "section 12: undone before routing, so that a GET or DELETE that has no such body is refused; an accident",
        rule: Rule::Answers {
            applies: |it| it.request.coding != Coding::None && !(it.request.is_push() && reading::is_group(it.request)),
            ours: &[200, 202, 400, 404, 405],
            reference: &[400],
        },
    },
    Deviation {
        name: "paths that are cleaned or respelled, outside of groups",
        why: "section 3, 22: 307 instead of 301, cleaned as sent instead of decoded; `GET /metrics/` is served",
        rule: Rule::Answers {
            applies: |it| !reading::is_group(it.request) && reading::is_unclean(it.request),
            ours: &[200, 301, 307, 400, 404, 405],
            reference: &[],
        },
    },
    Deviation {
        name: "never a redirect",
        why: "README: a push path is data; section 3: cleaned, completed or respelled",
        rule: Rule::Answers { applies: |_| true, ours: &[200, 202, 400, 404, 405], reference: REDIRECT },
    },
    Deviation {
        name: "other spellings of the fixed parts",
        why: "design: 404; section 3: decoded before they are matched",
        rule: Rule::Answers {
            applies: |it| reading::fixed_part_is_escaped(it.request),
            ours: &[404],
            reference: &[200, 202, 400, 405],
        },
    },
    Deviation {
        name: "an empty job",
        why: "grouping_key: explained by 400; section 3: no such path",
        rule: Rule::Answers {
            applies: |it| reading::has_nothing_after_job(it.request),
            ours: &[200, 400, 405],
            reference: &[404],
        },
    },
    Deviation {
        name: "bad escapes where no key is read",
        why: "section 1: refused before routing",
        rule: Rule::Answers {
            applies: |it| reading::has_bad_escape(it.request),
            ours: &[200, 404, 405],
            reference: &[400],
        },
    },
    Deviation {
        name: "characters that no URI has",
        why: "the HTTP library refuses them where they are not escaped; Go's does not",
        rule: Rule::Differs {
            applies: |it| it.request.target.iter().any(|byte| b"<>`".contains(byte)),
            ours: &[400],
            reference: &[],
        },
    },
    Deviation {
        name: "a slash in a name",
        why: "README: `%2F` is data, and so the name is none; section 3: decoded before it is cut",
        rule: Rule::Differs { applies: |it| reading::has_slash_in_name(it.request), ours: &[400], reference: &[] },
    },
    Deviation {
        name: "a label named twice",
        why: "README: refused; section 4: the last value wins",
        rule: Rule::Differs { applies: |it| reading::names_a_label_twice(it.request), ours: &[400], reference: &[] },
    },
    Deviation {
        name: "a grouping value that is not UTF-8",
        why: "README: refused, without a trace; section 21, weakness 1",
        rule: Rule::Differs {
            applies: |it| reading::has_binary_value(it.request),
            ours: &[400],
            reference: &[200, 202, 400],
        },
    },
    Deviation {
        name: "line feeds in base64",
        why: "section 4: skipped; an accident",
        rule: Rule::Differs {
            applies: |it| reading::has_line_feed_in_base64(it.request),
            ours: &[400],
            reference: &[],
        },
    },
    Deviation {
        name: "keys that are shown alike",
        why: "README: refused without a trace; section 21, weakness 3",
        rule: Rule::Differs { applies: |it| it.is_shown_like_another(), ours: &[400], reference: &[400] },
    },
    Deviation {
        name: "a bound that is missing, given twice, no number, or on a sum or count",
        why: "text.rs: refused; section 10.3 and 10.5: dropped, or the last one counts; accidents",
        rule: Rule::Differs { applies: |it| text::has_odd_bound(it.request), ours: &[400], reference: &[200, 400] },
    },
    Deviation {
        name: "counts below zero or NaN",
        why: "section 10.5, 22: below zero refused since 1.11.2, undefined for summaries; before, they wrapped around",
        rule: Rule::Differs { applies: |it| text::has_odd_count(it.request), ours: &[400], reference: &[200, 400] },
    },
    Deviation {
        name: "float counts",
        why: "section 10.5, 22: known since 1.11.2; before, they were cut off",
        rule: Rule::Differs {
            applies: |it| text::has_float_count(it.request),
            ours: &[200, 400],
            reference: &[200, 400],
        },
    },
    Deviation {
        name: "newer syntax",
        why: "section 10, 22: quoted names, quotes escaped in help, gauge histograms",
        rule: Rule::Differs { applies: |it| text::is_newer(it.request), ours: &[200, 400], reference: &[400] },
    },
    Deviation {
        name: "a backslash in a type",
        why: "text.rs: part of the word, and so no type; upstream leaves it out, an accident",
        rule: Rule::Differs {
            applies: |it| text::has_backslash_in_type(it.request),
            ours: &[400],
            reference: &[200, 400],
        },
    },
    Deviation {
        name: "text that is not UTF-8",
        why: "text.rs: refused; section 10: only label values have to be",
        rule: Rule::Differs {
            applies: |it| it.request.text().is_some_and(|text| std::str::from_utf8(text).is_err()),
            ours: &[400],
            reference: &[200, 400],
        },
    },
    Deviation {
        name: "`le` on a histogram",
        why: "store: refused, as `quantile` on a summary; section 9 rule 4: not checked, an accident",
        rule: Rule::Differs {
            applies: |it| {
                reading::names(it.request).iter().any(|name| name == b"le")
                    || it.request.is_protobuf() && it.request.holds("\x02le")
            },
            ours: &[400],
            reference: &[200, 400],
        },
    },
    Deviation {
        name: "a pushed failure time",
        why: "section 8: stays in a known group; weakness 5",
        rule: Rule::Differs {
            applies: |it| it.request.is_push() && it.request.holds("push_failure_time_seconds"),
            ours: &[200, 400],
            reference: &[200, 400],
        },
    },
    Deviation {
        name: "protobuf cut within a length",
        why: "section 22: refused since 1.8.0",
        rule: Rule::Differs {
            applies: |it| protobuf::families(it.request).is_some_and(|found| found.is_cut),
            ours: &[400],
            reference: &[200, 400],
        },
    },
    Deviation {
        name: "protobuf families of no type or name",
        why: "section 11: not to be imitated; weakness 4",
        rule: Rule::Differs {
            applies: |it| protobuf::any_family(it.request, |family| !family.has_type || !family.has_classic_name),
            ours: &[200, 400],
            reference: &[200, 400],
        },
    },
    Deviation {
        name: "faults in protobuf found while it is read",
        why: "protobuf: refused without a trace; section 9: found by the check, which leaves a failure time",
        rule: Rule::Differs {
            applies: |it| protobuf::any_family(it.request, |family| family.has_odd_labels || family.lacks_value),
            ours: &[200, 400],
            reference: &[200, 400],
        },
    },
    Deviation {
        name: "float counts in protobuf",
        why: "section 22: known since 1.8.0",
        rule: Rule::Differs {
            applies: |it| protobuf::any_family(it.request, |family| family.has_float_counts),
            ours: &[200, 400],
            reference: &[200, 400],
        },
    },
    Deviation {
        name: "help of several groups",
        why: "section 9 rule 9: upstream picks one at random, ours keeps one",
        rule: Rule::Help,
    },
    Deviation {
        name: "undecodable base64 as job",
        why: "section 21, weakness 8: up to 1.6.0 all later requests of that kind hang",
        rule: Rule::Kills { applies: |it| reading::has_undecodable_job(it.request) },
    },
];

// === impl Situation ===

impl Situation<'_> {
    /// Whether a key with an empty `instance` and one without were pushed to, or are now.
    fn is_shown_like_another(&self) -> bool {
        let Some(pushed) = compare::key(self.request) else { return false };
        self.request.is_push()
            && self.pushed.iter().any(|(key, _)| *key != pushed && key.exposed_labels() == pushed.exposed_labels())
    }
}
