//! Whether to stay or to leave, given what was pushed and scraped.
//!
//! *Never:* signals, sockets, the clock.

use std::{fmt, time::Duration};

use tokio::time::Instant;

/// How long to stay after the scrape that saw everything.
const AFTER_SCRAPE: Duration = Duration::from_millis(200);

/// All that the decision hangs on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    /// How many groups hold a push that no complete scrape has shown.
    pub(super) unseen: usize,
    /// When the scrape ended that showed what was pushed last, if there was one.
    pub(super) last_scrape: Option<Instant>,
    /// When to leave in any case.
    pub(super) deadline: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Leave(Reason),
    /// Look again at that moment, or when a scrape has ended.
    WaitUntil(Instant),
}

/// Why the process leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    NothingUnseen,
    Seen,
    Deadline { unseen: usize },
    Interrupted { unseen: usize },
}

pub(super) fn next(situation: &Situation, now: Instant) -> Step {
    let Situation { unseen, last_scrape, deadline } = *situation;
    match last_scrape {
        _ if unseen != 0 && deadline <= now => Step::Leave(Reason::Deadline { unseen }),
        _ if unseen != 0 => Step::WaitUntil(deadline),
        None => Step::Leave(Reason::NothingUnseen),
        Some(scrape) if scrape + AFTER_SCRAPE <= now => Step::Leave(Reason::Seen),
        Some(scrape) => Step::WaitUntil(scrape + AFTER_SCRAPE),
    }
}

// === impl Reason ===

impl Reason {
    /// Whether nothing is waited for any more, whatever is unseen.
    pub(crate) fn is_final(self) -> bool {
        match self {
            Self::NothingUnseen | Self::Seen => false,
            Self::Deadline { .. } | Self::Interrupted { .. } => true,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingUnseen => f.write_str("nothing unseen"),
            Self::Seen => f.write_str("everything was scraped"),
            Self::Deadline { unseen } => write!(f, "deadline reached, {unseen} groups unseen"),
            Self::Interrupted { unseen } => write!(f, "interrupted, {unseen} groups unseen"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn check(unseen: usize, last_scrape: Option<Duration>, now: Duration, expected: Result<Reason, Duration>) {
        let start = Instant::now();
        let last_scrape = last_scrape.map(|at| start + at);
        let found = next(&Situation { unseen, last_scrape, deadline: start + DEADLINE }, start + now);
        let expected = expected.map_or_else(|at| Step::WaitUntil(start + at), Step::Leave);
        assert_eq!(found, expected, "{unseen} unseen, scrape {last_scrape:?}, at {now:?}");
    }

    #[test]
    fn it_leaves_at_once_when_nothing_is_unseen() {
        check(0, None, ms(0), Ok(Reason::NothingUnseen));
    }

    #[test]
    fn it_stays_for_unseen_groups_until_the_deadline() {
        check(2, None, ms(0), Err(DEADLINE));
        check(2, Some(ms(10)), ms(20), Err(DEADLINE));
        check(2, None, DEADLINE, Ok(Reason::Deadline { unseen: 2 }));
    }

    #[test]
    fn it_stays_a_moment_after_the_scrape_even_if_that_was_before_the_signal() {
        check(0, Some(ms(100)), ms(100), Err(ms(300)));
        check(0, Some(ms(100)), ms(300), Ok(Reason::Seen));
    }
}
