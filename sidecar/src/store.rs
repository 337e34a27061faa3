//! What was pushed: all groups, and the page that shows them.
//!
//! A [`Change`] goes in by [`Store::submit`] and comes back as a [`Verdict`]; readers take the [`Page`] of a revision,
//! which never changes under them, or a [`Snapshot`] of the values. There is one writer at a time, in a critical section that costs what the push
//! weighs and not what is stored:
//!
//! ```text
//! Change ──▶ prepare (labels, lines, record; no lock) ──▶ lock: decide ─ log ─ commit ──▶ Verdict
//! ```
//!
//! A decision holds everything that `commit` needs, its time too, so that it can be logged (`logged`) and carried out
//! again at the next start. Where the log cannot be written, nothing is carried out.
//!
//! Groups with a limit are kept in the order in which they grow stale; somebody else asks when the next one does, and
//! has it removed.
//!
//! *Never:* HTTP, formats other than those of text, files, the clock (`now` is an argument).

mod change;
mod consistency;
mod family;
mod group;
mod groups;
mod identity;
mod index;
mod keeping;
mod labels;
mod limits;
mod logged;
mod page;
mod reading;
mod repeat;
mod rules;
mod series;
mod shown;
mod slab;
mod slots;
mod snapshot;
mod staleness;
mod stored;
mod view;
mod writer;

pub use crate::persist::NotStored;
pub use change::{Change, Objection, Times, Verdict};
pub(crate) use consistency::MOST_OBJECTIONS;
pub use identity::{Identity, IdentityRule};
pub use index::Counts;
pub use limits::{Limit, Limits};
pub use page::{Form, KeyLabels, Packing, Page};
pub use repeat::Repeat;
pub use rules::{Rules, Timestamps};
pub use snapshot::{Snapshot, StoredFamily};
pub use view::{FamilyView, GroupView};
pub use writer::Store;
