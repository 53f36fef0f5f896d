//! Listings page by page: each page is a short transaction of its own, so that a slow reader of the
//! output holds up nobody.

use std::sync::Arc;

use outbox_runtime::store::PageKey;
use outbox_runtime::{EventFilter, OutboxEvent, OutboxRepository, StoreError};

/// The number of events of a page, which bounds the memory of a command.
pub(crate) const PAGE: usize = 500;

/// The events of a filter, up to a limit.
#[derive(Debug)]
pub(crate) struct Pages {
    store: Arc<dyn OutboxRepository>,
    filter: EventFilter,
    from: Option<PageKey>,
    /// The events that may still be listed.
    left: usize,
    has_ended: bool,
}

impl Pages {
    pub(crate) fn new(store: Arc<dyn OutboxRepository>, filter: EventFilter) -> Self {
        Self {
            store,
            filter,
            from: None,
            left: usize::MAX,
            has_ended: false,
        }
    }

    /// Ends the listing after this many events.
    pub(crate) fn limit(mut self, limit: usize) -> Self {
        self.left = limit;
        self
    }

    /// Whether events are left beyond the limit.
    pub(crate) async fn has_more(&mut self) -> Result<bool, StoreError> {
        self.left = 1;
        Ok(self.next().await?.is_some())
    }

    /// The next events; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<OutboxEvent>>, StoreError> {
        while !self.has_ended && self.left > 0 {
            let limit = self.left.min(PAGE);
            let page = self.store.page(&self.filter, self.from, limit).await?;
            self.from = page.next;
            self.has_ended = page.next.is_none();
            self.left = self.left.saturating_sub(page.events.len());
            if !page.events.is_empty() {
                return Ok(Some(page.events));
            }
        }
        Ok(None)
    }
}
