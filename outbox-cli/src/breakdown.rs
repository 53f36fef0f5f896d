//! Counts of undelivered and dead events by type and by user.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use outbox_runtime::{EventFilter, OutboxRepository, OutboxStatus, StoreError};
use serde::Serialize;

use crate::pages::Pages;

/// The users that are named.
const USERS: usize = 10;

/// The counts of the oldest events, as far as they were read.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Breakdown {
    pub(crate) types: Vec<OfType>,
    /// Those with the most undelivered events.
    pub(crate) users: Vec<OfUser>,
    /// Whether all undelivered and dead events were read.
    pub(crate) is_complete: bool,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfType {
    pub(crate) event_type: String,
    pub(crate) pending: u64,
    pub(crate) processing: u64,
    pub(crate) failed: u64,
    pub(crate) dead: u64,
    /// When the oldest undelivered one was enqueued.
    pub(crate) oldest: Option<DateTime<Utc>>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfUser {
    #[serde(rename = "userID")]
    pub(crate) user_id: String,
    pub(crate) undelivered: u64,
    pub(crate) dead: u64,
}

impl Breakdown {
    /// Counts at most `most` events.
    pub(crate) async fn of(
        store: Arc<dyn OutboxRepository>,
        user_id: Option<&str>,
        most: usize,
    ) -> Result<Self, StoreError> {
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
                let of_user = users.entry(event.user_id).or_default();
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
        let named = |(event_type, counts)| OfType {
            event_type,
            ..counts
        };
        let mut users: Vec<OfUser> = users
            .into_iter()
            .map(|(user_id, counts)| OfUser { user_id, ..counts })
            .collect();
        users.sort_by_key(|user| std::cmp::Reverse((user.undelivered, user.dead)));
        users.truncate(USERS);
        Ok(Self {
            types: types.into_iter().map(named).collect(),
            users,
            is_complete,
        })
    }
}
