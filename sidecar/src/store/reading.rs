//! What readers get of the store: pages, values, groups, numbers.
//!
//! A page is put together once for all who ask for it: whoever comes while it is made waits for it. Writers are held up
//! only while texts are copied, see [`Page`].
//!
//! *Never:* changes, HTTP.

use std::sync::{Arc, PoisonError};

use protocol::GroupingKey;

use super::{
    index::Counts,
    page::{Ask, Form, KeyLabels, Packing, Page},
    snapshot::Snapshot,
    view::GroupView,
    writer::Store,
};
use crate::exposition::Escaping;

// === impl Store ===

impl Store {
    /// The page of the current revision.
    #[must_use]
    pub fn page(&self, escaping: Escaping) -> Arc<Page> {
        self.whole_page(Form::Text(escaping), Packing::Plain)
    }

    /// The page of the current revision in OpenMetrics, without the mark of its end.
    #[must_use]
    pub fn openmetrics_page(&self, escaping: Escaping) -> Arc<Page> {
        self.whole_page(Form::OpenMetrics(escaping), Packing::Plain)
    }

    /// The page of the current revision in any form.
    #[must_use]
    pub fn whole_page(&self, form: Form, packing: Packing) -> Arc<Page> {
        if let Some(page) = self.kept_page(form, packing) {
            return page;
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have made it meanwhile.
        if let Some(page) = self.kept_page(form, packing) {
            return page;
        }
        let before = self.pages().before(form, packing);
        let ask = Ask { form, packing, labels: KeyLabels::Shown, wanted: |_: &str| true };
        let page = self.made(&ask, before.as_deref());
        drop(before);
        self.pages().keep(page)
    }

    /// The same, if it need not be made.
    #[must_use]
    pub fn kept_page(&self, form: Form, packing: Packing) -> Option<Arc<Page>> {
        let revision = self.lock().index.revision;
        self.pages().find(revision, form, packing)
    }

    fn made<W: Fn(&str) -> bool>(&self, ask: &Ask<W>, before: Option<&Page>) -> Page {
        Page::make(ask, before, |show| show(&self.lock().index))
    }

    /// A page made for one reader: of the wanted families only, with push times labelled in either way.
    #[must_use]
    pub fn page_of(&self, labels: KeyLabels, escaping: Escaping, wanted: impl Fn(&str) -> bool) -> Page {
        self.made(&Ask { form: Form::Text(escaping), packing: Packing::Plain, labels, wanted }, None)
    }

    /// The same in OpenMetrics, without the mark of its end.
    #[must_use]
    pub fn openmetrics_page_of(&self, escaping: Escaping, wanted: impl Fn(&str) -> bool) -> Page {
        let (form, packing) = (Form::OpenMetrics(escaping), Packing::Plain);
        self.made(&Ask { form, packing, labels: KeyLabels::Shown, wanted }, None)
    }

    /// The values of the current revision, of the wanted families only.
    #[must_use]
    pub fn snapshot(&self, escaping: Escaping, wanted: impl Fn(&str) -> bool) -> Snapshot {
        Snapshot::of(&self.lock().index, escaping, wanted)
    }

    /// The keys of all groups, sorted.
    #[must_use]
    pub fn keys(&self) -> Vec<Arc<GroupingKey>> {
        let mut keys: Vec<_> = self.lock().index.groups.keys().cloned().collect();
        keys.sort();
        keys
    }

    /// One group, if it is there.
    #[must_use]
    pub fn group(&self, key: &GroupingKey) -> Option<GroupView> {
        let index = &self.lock().index;
        index.groups.find(key).map(|group| GroupView::of(group, &index.slots))
    }

    /// Raised by every change.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.lock().index.revision
    }

    /// How much is stored.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.lock().index.counts()
    }

    /// How many groups had an accepted push after that revision and are still there.
    #[must_use]
    pub fn groups_pushed_after(&self, revision: u64) -> usize {
        self.lock().index.groups_pushed_after(revision)
    }
}
