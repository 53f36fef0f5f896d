//! Listings page by page: each page is a short transaction of its own, so that a slow reader of the
//! output holds up nobody.

use std::sync::Arc;

use outbox_runtime::store::PageKey;
use outbox_runtime::{EventFilter, OutboxEvent, OutboxRepository, StoreError};

/// The number of events of a page, which bounds the memory of a tool.
pub const PAGE: usize = 500;

/// Where a listing goes on, as a word for a query or a command line.
#[must_use]
pub fn key_text(key: PageKey) -> String {
    format!("{}.{}", key.after(), key.until())
}

/// The key in a word of [`key_text`].
#[must_use]
pub fn key_of(text: &str) -> Option<PageKey> {
    let (after, until) = text.split_once('.')?;
    Some(PageKey::new(after.parse().ok()?, until.parse().ok()?))
}

/// The events of a filter, up to a limit.
#[derive(Debug)]
pub struct Pages {
    store: Arc<dyn OutboxRepository>,
    filter: EventFilter,
    from: Option<PageKey>,
    /// The events that may still be listed.
    left: usize,
    has_ended: bool,
}

impl Pages {
    /// All events that the filter selects.
    #[must_use]
    pub fn new(store: Arc<dyn OutboxRepository>, filter: EventFilter) -> Self {
        Self {
            store,
            filter,
            from: None,
            left: usize::MAX,
            has_ended: false,
        }
    }

    /// Begins where an earlier listing ended, or with the first event.
    #[must_use]
    pub fn starting_at(mut self, from: Option<PageKey>) -> Self {
        self.from = from;
        self
    }

    /// Where the listing goes on after the events so far. `None`: it has not begun, or has ended.
    #[must_use]
    pub fn position(&self) -> Option<PageKey> {
        self.from
    }

    /// Whether no event follows.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Ends the listing after this many events.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.left = limit;
        self
    }

    /// Whether events are left beyond the limit.
    ///
    /// # Errors
    ///
    /// The errors of the store.
    pub async fn has_more(&mut self) -> Result<bool, StoreError> {
        self.left = 1;
        Ok(self.next().await?.is_some())
    }

    /// The next events; `None` at the end.
    ///
    /// # Errors
    ///
    /// The errors of the store.
    pub async fn next(&mut self) -> Result<Option<Vec<OutboxEvent>>, StoreError> {
        while let Some(events) = self.step().await? {
            if !events.is_empty() {
                return Ok(Some(events));
            }
        }
        Ok(None)
    }

    /// The events of one transaction, which may be none although others follow; `None` at the end.
    ///
    /// # Errors
    ///
    /// The errors of the store.
    pub async fn step(&mut self) -> Result<Option<Vec<OutboxEvent>>, StoreError> {
        if self.has_ended || self.left == 0 {
            return Ok(None);
        }
        let limit = self.left.min(PAGE);
        let page = self.store.page(&self.filter, self.from, limit).await?;
        self.from = page.next;
        self.has_ended = page.next.is_none();
        self.left = self.left.saturating_sub(page.events.len());
        Ok(Some(page.events))
    }
}
