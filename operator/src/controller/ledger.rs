//! The account of collected groups between a pass and the status: each is added to `collectedTotal` once. Pure.
//!
//! A write carries the version of the object it is based on, and the account remembers the attempt. If its answer is
//! lost, the next look at the object tells whether it went through: then the total is the one we wrote, and the version
//! another.
//!
//! Limit: a pass whose outcome is in no status when the process is killed is not counted.
//!
//! *Never:* the API server.

/// Groups collected and not known to be in the status.
#[derive(Debug, Default)]
pub struct Ledger {
    unwritten: i64,
    attempt: Option<Attempt>,
}

/// A write whose answer is not known.
#[derive(Debug)]
struct Attempt {
    based_on: String,
    amount: i64,
    total: i64,
}

// === impl Ledger ===

impl Ledger {
    /// Groups were collected.
    pub fn add(&mut self, groups: u64) {
        self.unwritten = self.unwritten.saturating_add(i64::try_from(groups).unwrap_or(i64::MAX));
    }

    /// Whether something is not in the status yet.
    #[must_use]
    pub fn has_unwritten(&self) -> bool {
        0 < self.unwritten
    }

    /// What the status is short of.
    #[must_use]
    pub fn unwritten(&self) -> i64 {
        self.unwritten
    }

    /// Looks at the object as it is now, and learns what became of an attempt without answer.
    pub fn settle(&mut self, total: i64, version: &str) {
        if let Some(attempt) = self.attempt.take()
            && attempt.total == total
            && attempt.based_on != version
        {
            self.unwritten -= attempt.amount;
        }
    }

    /// All that is unwritten is about to be written on top of a version of the object, which makes it this total.
    pub fn begin(&mut self, total: i64, version: &str) {
        self.attempt = Some(Attempt { based_on: version.to_owned(), amount: self.unwritten, total });
    }

    /// The write went through.
    pub fn written(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            self.unwritten -= attempt.amount;
        }
    }

    /// The API server refused the write.
    pub fn refused(&mut self) {
        self.attempt = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.add(3);
        ledger.begin(10, "1");
        ledger
    }

    #[test]
    fn what_is_written_is_not_written_again() {
        let mut ledger = begun();
        ledger.add(2);
        ledger.written();
        assert_eq!(ledger.unwritten(), 2);
    }

    #[test]
    fn what_is_refused_stays() {
        let mut ledger = begun();
        ledger.refused();
        assert_eq!(ledger.unwritten(), 3);
    }

    #[test]
    fn a_lost_answer_is_found_in_the_object() {
        let mut ledger = begun();
        ledger.settle(10, "2");
        assert_eq!(ledger.unwritten(), 0);
    }

    #[test]
    fn a_write_that_never_arrived_is_made_again() {
        let mut ledger = begun();
        ledger.settle(7, "1");
        assert_eq!(ledger.unwritten(), 3);
        let mut ledger = begun();
        ledger.settle(7, "2");
        assert_eq!(ledger.unwritten(), 3, "somebody else wrote");
    }
}
