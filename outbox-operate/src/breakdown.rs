//! Counts of undelivered and dead events by type and by user.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use outbox_runtime::store::kit::before;
use outbox_runtime::{EventFilter, OutboxEvent, OutboxRepository, OutboxStatus, StoreError};
use serde::Serialize;

use crate::pages::Pages;

/// The counts of the oldest events, as far as they were read.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Breakdown {
    /// The types of these events, in ascending order.
    pub types: Vec<OfType>,
    /// Those with the most undelivered events.
    pub users: Vec<OfUser>,
    /// Whether all undelivered and dead events were read.
    pub is_complete: bool,
}

/// The counts of one type.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OfType {
    /// The type.
    pub event_type: String,
    /// Events that wait for their first attempt.
    pub pending: u64,
    /// Events with a handler.
    pub processing: u64,
    /// Events that failed and will be tried again.
    pub failed: u64,
    /// Dead letters.
    pub dead: u64,
    /// When the oldest undelivered one was enqueued.
    pub oldest: Option<DateTime<Utc>>,
}

/// The counts of one user.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OfUser {
    /// The user.
    #[serde(rename = "userID")]
    pub user_id: String,
    /// Events that are neither delivered nor dead.
    pub undelivered: u64,
    /// Dead letters.
    pub dead: u64,
    /// Events that have been pending for more than five minutes.
    #[serde(skip)]
    pub stale: u64,
}

impl Breakdown {
    /// Counts at most `most` events, and names at most `named` users.
    ///
    /// # Errors
    ///
    /// The errors of the store.
    pub async fn of(
        store: Arc<dyn OutboxRepository>,
        user_id: Option<&str>,
        most: usize,
        named: usize,
    ) -> Result<Self, StoreError> {
        let now = store.clock().now();
        let mut filter = EventFilter::default();
        filter.statuses = vec![
            OutboxStatus::Pending,
            OutboxStatus::Processing,
            OutboxStatus::Failed,
            OutboxStatus::Dead,
        ];
        filter.user_id = user_id.map(str::to_owned);
        let mut pages = Pages::new(store, filter).limit(most);
        let mut types: BTreeMap<String, OfType> = BTreeMap::new();
        let mut users: BTreeMap<String, OfUser> = BTreeMap::new();
        while let Some(events) = pages.next().await? {
            for event in events {
                let of_type = types.entry(event.event_type).or_default();
                let is_stale = event.status == OutboxStatus::Pending
                    && event.created_at < before(now, OutboxEvent::STALE_AFTER);
                let of_user = users.entry(event.user_id).or_default();
                of_user.stale += u64::from(is_stale);
                let count = match event.status {
                    OutboxStatus::Pending => &mut of_type.pending,
                    OutboxStatus::Processing => &mut of_type.processing,
                    OutboxStatus::Failed => &mut of_type.failed,
                    _ => &mut of_type.dead,
                };
                *count += 1;
                if event.status == OutboxStatus::Dead {
                    of_user.dead += 1;
                } else {
                    of_user.undelivered += 1;
                    let oldest = of_type.oldest.get_or_insert(event.created_at);
                    *oldest = event.created_at.min(*oldest);
                }
            }
        }
        let is_complete = !pages.has_more().await?;
        let with_name = |(event_type, counts)| OfType {
            event_type,
            ..counts
        };
        let mut users: Vec<OfUser> = users
            .into_iter()
            .map(|(user_id, counts)| OfUser { user_id, ..counts })
            .collect();
        users.sort_by_key(|user| std::cmp::Reverse((user.undelivered, user.dead)));
        users.truncate(named);
        Ok(Self {
            types: types.into_iter().map(with_name).collect(),
            users,
            is_complete,
        })
    }
}
