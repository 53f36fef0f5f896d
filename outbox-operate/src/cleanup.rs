//! `cleanup`: how many completed events it would delete.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use outbox_runtime::{EventFilter, OutboxRepository, OutboxStatus, StoreError};

use crate::pages::Pages;

/// Counts the events that were completed before `limit`, among at most `most` completed ones.
/// Returns the number, and whether these were all. `progress` is told how many were read.
///
/// # Errors
///
/// The errors of the store.
pub async fn count_completed(
    store: Arc<dyn OutboxRepository>,
    limit: DateTime<Utc>,
    most: usize,
    mut progress: impl FnMut(u64),
) -> Result<(u64, bool), StoreError> {
    let oldest = store.oldest_completed().await?;
    if oldest.is_none_or(|at| at >= limit) {
        return Ok((0, true));
    }
    let mut filter = EventFilter::default();
    filter.statuses = vec![OutboxStatus::Completed];
    filter.created_before = Some(limit);
    let mut pages = Pages::new(store, filter).limit(most);
    let mut count = 0;
    while let Some(events) = pages.next().await? {
        let is_old = |at| at < limit;
        let old = events.iter();
        let old = old.filter(|event| event.completed_at.is_some_and(is_old));
        count += old.count() as u64;
        progress(events.len() as u64);
    }
    let is_all = pages.has_ended();
    Ok((count, is_all))
}
