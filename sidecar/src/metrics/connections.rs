//! Connections, as they are counted: by the listeners, from all of their tasks.
//!
//! *Never:* sockets, limits.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{family, metric};
use crate::{
    exposition::{Kind, MetricFamily},
    listen::Awaited,
};

const OPEN: &str = "sidegate_connections";
const REFUSED: &str = "sidegate_connections_refused_total";
const TIMED_OUT: &str = "sidegate_connections_timed_out_total";
const LARGE_HEADS: &str = "sidegate_large_heads_refused_total";

/// Name and type of each family, sorted by name.
pub(super) const FAMILIES: [(&str, Kind); 4] =
    [(OPEN, Kind::Gauge), (REFUSED, Kind::Counter), (TIMED_OUT, Kind::Counter), (LARGE_HEADS, Kind::Counter)];

/// What the listeners count. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections(Arc<Counts>);

/// A connection, counted for as long as the value lives.
#[derive(Debug)]
pub(crate) struct Open(Connections);

#[derive(Debug, Default)]
struct Counts {
    open: AtomicU64,
    refused: AtomicU64,
    no_head: AtomicU64,
    no_request: AtomicU64,
    no_reader: AtomicU64,
    large_heads: AtomicU64,
    /// Raised by each of them.
    changes: AtomicU64,
}

// === impl Connections ===

impl Connections {
    pub(crate) fn open(&self) -> Open {
        self.0.raise(&self.0.open);
        Open(self.clone())
    }

    /// There was one more than there may be.
    pub(crate) fn refused(&self) {
        self.0.raise(&self.0.refused);
    }

    pub(crate) fn timed_out(&self, waited: Awaited) {
        self.0.raise(self.0.timed_out(waited));
    }

    /// A request whose head was too large.
    pub(crate) fn large_head(&self) {
        self.0.raise(&self.0.large_heads);
    }

    /// Raised by all that is counted here.
    pub(super) fn changes(&self) -> u64 {
        self.0.changes.load(Relaxed)
    }

    /// The families, sorted by name.
    pub(crate) fn gather(&self) -> [MetricFamily; 4] {
        let timed_out = Awaited::ALL
            .map(|waited| metric(&[("waiting_for", waited.label())], self.0.timed_out(waited).load(Relaxed)));
        [
            family(OPEN, "Connections that are open.", Kind::Gauge, vec![metric(&[], self.0.open.load(Relaxed))]),
            family(
                REFUSED,
                "Connections that were refused since there were as many as there may be.",
                Kind::Counter,
                vec![metric(&[], self.0.refused.load(Relaxed))],
            ),
            family(
                TIMED_OUT,
                "Connections that were closed by a time limit, by what was waited for.",
                Kind::Counter,
                timed_out.into(),
            ),
            family(
                LARGE_HEADS,
                "Requests that were refused since request line and headers were too large.",
                Kind::Counter,
                vec![metric(&[], self.0.large_heads.load(Relaxed))],
            ),
        ]
    }
}

// === impl Open ===

impl Drop for Open {
    fn drop(&mut self) {
        let Self(Connections(counts)) = self;
        counts.open.fetch_sub(1, Relaxed);
        counts.changes.fetch_add(1, Relaxed);
    }
}

// === impl Counts ===

impl Counts {
    fn raise(&self, count: &AtomicU64) {
        count.fetch_add(1, Relaxed);
        self.changes.fetch_add(1, Relaxed);
    }

    fn timed_out(&self, waited: Awaited) -> &AtomicU64 {
        match waited {
            Awaited::Head => &self.no_head,
            Awaited::Reader => &self.no_reader,
            Awaited::Request => &self.no_request,
        }
    }
}
