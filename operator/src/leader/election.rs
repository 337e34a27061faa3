//! When to look at the Lease, when to write it, and until when its holder leads. Pure: moments come in as arguments.
//!
//! *Never:* the API server, the time of day.

use std::time::Duration;

use tokio::time::Instant;

/// How long everything takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// For how long nobody else takes a Lease after its last change.
    pub lease: Duration,
    /// For how long its holder leads after it asked for the last renewal that was confirmed; less than `lease`.
    pub renew: Duration,
    /// The time between two renewals, and between two looks of a standby.
    pub retry: Duration,
}

/// This replica leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Counts the times this process came to lead.
    pub term: u64,
    /// Until when, if it is not renewed.
    pub until: Instant,
}

/// A Lease, as far as an election goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Who has it; empty if nobody.
    pub(super) holder: String,
    /// For how long it is not to be taken after a change.
    pub(super) length: Duration,
    /// Changes with every write.
    pub(super) version: String,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Read the Lease.
    Look,
    /// Write ourselves into it, on top of a version, or make it where there is none.
    Take {
        /// The version.
        over: Option<String>,
    },
    /// Nothing until then.
    Rest(Instant),
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It went through.
    Done(Record),
    /// Somebody else was faster.
    Refused,
    /// It may have gone through, or may yet.
    Unknown,
}

/// What one replica knows of the election.
#[derive(Debug)]
pub(super) struct Election {
    identity: String,
    timings: Timings,
    known: Option<Known>,
    /// Whether what is known may be acted upon, or is to be read first.
    fresh: bool,
    rest: Option<Instant>,
    held: Option<Held>,
    terms: u64,
}

/// A Lease that was seen.
#[derive(Debug)]
struct Known {
    record: Record,
    /// When it was first seen like this, by our own clock.
    since: Instant,
    /// Whether it is still there.
    exists: bool,
}

// === impl Timings ===

impl Default for Timings {
    /// Those of client-go.
    fn default() -> Self {
        Self { lease: Duration::from_secs(15), renew: Duration::from_secs(10), retry: Duration::from_secs(2) }
    }
}

// === impl Election ===

impl Election {
    pub(super) fn new(identity: String, timings: Timings) -> Self {
        Self { identity, timings, known: None, fresh: false, rest: None, held: None, terms: 0 }
    }

    /// Whether we lead, as of the last step.
    pub(super) fn held(&self) -> Option<Held> {
        self.held
    }

    /// What to do at this moment.
    pub(super) fn next(&mut self, now: Instant) -> Step {
        self.held = self.held.filter(|held| now < held.until);
        if let Some(rest) = self.rest.filter(|rest| now < *rest) {
            // The end of a term is told when it comes.
            return Step::Rest(self.held.map_or(rest, |held| rest.min(held.until)));
        }
        self.rest = None;
        if !self.fresh {
            return Step::Look;
        }
        if self.may_take(now) {
            let existing = self.known.as_ref().filter(|known| known.exists);
            return Step::Take { over: existing.map(|known| known.record.version.clone()) };
        }
        self.fresh = false;
        // Not after the moment from which it may be taken.
        let runs_out = self.known.as_ref().map(Known::runs_out);
        let rest = runs_out.map_or(now + self.timings.retry, |end| end.min(now + self.timings.retry));
        self.rest = Some(rest);
        Step::Rest(rest)
    }

    /// The Lease was read, or could not be.
    pub(super) fn looked(&mut self, now: Instant, found: Result<Option<Record>, ()>) {
        match found {
            Err(()) => self.rest = Some(now + self.timings.retry),
            Ok(None) => {
                self.fresh = true;
                self.held = None;
                // Who held it may lead yet.
                if let Some(known) = &mut self.known {
                    known.exists = false;
                }
            }
            Ok(Some(record)) => {
                self.fresh = true;
                self.held = self.held.filter(|_| record.holder == self.identity);
                let same = self.known.as_ref().is_some_and(|known| known.exists && known.record == record);
                if !same {
                    self.known = Some(Known { record, since: now, exists: true });
                }
            }
        }
    }

    /// The Lease was to be written; `asked` is when that began.
    pub(super) fn wrote(&mut self, asked: Instant, now: Instant, written: Written) {
        match written {
            Written::Done(record) => {
                let running = self.held.filter(|held| now < held.until);
                if running.is_none() {
                    self.terms += 1;
                }
                let held = Held { term: self.terms, until: asked + self.timings.renew };
                self.held = Some(held).filter(|held| now < held.until);
                self.known = Some(Known { record, since: now, exists: true });
                self.rest = Some(asked + self.timings.retry);
            }
            // At once: if it has another holder, we have lost it.
            Written::Refused => self.fresh = false,
            Written::Unknown => {
                self.fresh = false;
                self.rest = Some(asked + self.timings.retry);
            }
        }
    }

    /// Leads no more; whether it did.
    pub(super) fn give_up(&mut self) -> bool {
        self.held.take().is_some()
    }

    fn may_take(&self, now: Instant) -> bool {
        let Some(known) = &self.known else { return true };
        let holder = &known.record.holder;
        holder.is_empty() || *holder == self.identity || known.runs_out() <= now
    }
}

// === impl Known ===

impl Known {
    /// From when on it may be taken if it does not change.
    fn runs_out(&self) -> Instant {
        self.since + self.record.length
    }
}

#[cfg(test)]
mod tests;
