//! The pages that somebody asks for, each kept for the next reader, and to make the next one from.
//!
//! *Never:* how a page is made.

use std::sync::Arc;

use super::{Form, Packing, Page};

/// A page that was not asked for while so many others were made is not kept on.
const MOST_IDLE: u32 = 8;

/// The newest page of each form that is asked for.
#[derive(Debug, Default)]
pub(in crate::store) struct Pages {
    made: Vec<Kept>,
}

#[derive(Debug)]
struct Kept {
    page: Arc<Page>,
    /// How many others were made since it was asked for.
    idle: u32,
}

// === impl Pages ===

impl Pages {
    /// The page of that revision, if it was made.
    pub(in crate::store) fn find(&mut self, revision: u64, form: Form, packing: Packing) -> Option<Arc<Page>> {
        let fits = |kept: &&mut Kept| kept.page.revision == revision && kept.page.suits(form, packing);
        let kept = self.made.iter_mut().find(fits)?;
        kept.idle = 0;
        Some(Arc::clone(&kept.page))
    }

    /// A page of that form, of whatever revision.
    pub(in crate::store) fn before(&self, form: Form, packing: Packing) -> Option<Arc<Page>> {
        let mut pages = self.made.iter().map(|kept| &kept.page).filter(|page| page.suits(form, packing));
        let first = pages.next()?;
        Some(Arc::clone(pages.find(|page| page.form == form).unwrap_or(first)))
    }

    /// Keeps a page in the place of those that it is the newer one of.
    pub(in crate::store) fn keep(&mut self, page: Page) -> Arc<Page> {
        let page = Arc::new(page);
        self.made.iter_mut().for_each(|kept| kept.idle += 1);
        let is_replaced = |known: &Page| known.suits(page.form, page.packing);
        self.made.retain(|kept| kept.idle <= MOST_IDLE && !is_replaced(&kept.page));
        self.made.push(Kept { page: Arc::clone(&page), idle: 0 });
        page
    }
}
