//! The content of a store, compared with the reference.

use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox_runtime::store::{ClaimRequest, SystemClock};
use outbox_runtime::{Clock, OutboxEvent, OutboxStatus, RawMetadata};

use super::reference::{Millis, Reference, Row};
use super::steps::{Tested, destination, headers, id, trace_context, user};

/// The most claims until a store knows that there is nothing to do. It may make pauses in between.
const MOST_LOOKS: u32 = 1_000;

impl Tested {
    /// Compares the whole content of the store, and the next due time.
    pub fn compare(&self, reference: &Reference) {
        let mut stored = self.runtime.block_on(async {
            let mut stored = Vec::new();
            for status in OutboxStatus::ALL {
                stored.extend(self.store.fetch_events(*status, None, None).await.unwrap());
            }
            stored
        });
        stored.sort_by_key(|event| event.seq);
        let stored_ids: Vec<u8> = stored.iter().map(|event| id(event.id)).collect();
        let expected_ids: Vec<u8> = reference.rows.values().map(|row| row.id).collect();
        assert_eq!(stored_ids, expected_ids, "the rows, in order");
        for (event, row) in stored.iter().zip(reference.rows.values()) {
            self.compare_row(event, row);
        }
        self.runtime.block_on(self.compare_next_due(reference));
    }

    async fn compare_next_due(&self, reference: &Reference) {
        let all = ClaimRequest::new(1, Duration::from_secs(1));
        let expected = reference.next_due().map(|due| self.time(due));
        let now = self.clock.now();
        let is_due = |due: Option<DateTime<Utc>>| due.is_some_and(|due| due <= now);
        let mut due = self.store.next_due(&all).await.unwrap();
        for _ in 0..MOST_LOOKS {
            let is_early = due.is_some_and(|due| expected.is_none_or(|expected| due < expected));
            if !self.may_look_again || is_due(expected) || !is_early {
                break;
            }
            let claims = self.store.claim(&all).await.unwrap();
            assert!(claims.is_empty(), "{claims:?}");
            due = self.store.next_due(&all).await.unwrap();
            SystemClock.sleep(Duration::from_millis(1)).await;
        }
        assert!(
            due == expected || (is_due(due) && is_due(expected)),
            "next due is {due:?}, not {expected:?}"
        );
    }

    fn compare_row(&self, event: &OutboxEvent, row: &Row) {
        let time = |at: Option<Millis>| at.map(|at| self.time(at));
        let (claim, ends) = row.lease.unzip();
        let event_type = if row.change.draft { "draft" } else { "note" };
        assert_eq!(
            (
                event.event_type.as_str(),
                event.entity_id.as_integer(),
                event.user_id.clone(),
                event.operation,
                event.metadata.as_ref().and_then(RawMetadata::as_str),
                event.order,
                event.on_dead,
            ),
            (
                event_type,
                Some(row.change.entity),
                user(row.change.user),
                row.change.operation,
                Some(row.change.text.to_string().as_str()),
                row.order,
                row.on_dead,
            ),
            "content of event {}",
            row.id
        );
        assert_eq!(
            (
                event.status,
                event.priority,
                Some(event.created_at),
                Some(event.next_attempt_at),
                event.last_attempt_at,
                event.attempt_count,
                event.max_attempts,
                event.error_message.as_deref(),
                event.completed_at,
                event.lease_token,
                event.lease_expires_at,
                event.dead_reason,
            ),
            (
                row.status,
                row.priority,
                time(Some(row.created)),
                time(Some(row.due)),
                time(row.last_attempt),
                row.attempts,
                row.max_attempts,
                row.error.as_deref(),
                time(row.completed),
                claim.map(|claim| self.leases[claim].token.as_uuid()),
                time(ends),
                row.dead_reason,
            ),
            "state of event {}",
            row.id
        );
        let refusal = event.last_refusal.as_ref().map(ToString::to_string);
        assert_eq!(
            (
                event.destination.clone(),
                event.deferrals,
                event.deferred_since,
                refusal.as_deref(),
                event.crashes,
                event.snoozes,
                event.revision,
                event.trace_context.clone(),
                event.headers.clone(),
            ),
            (
                row.change.destination.map(destination),
                row.deferrals,
                time(row.deferred_since),
                row.refusal,
                row.crashes,
                row.snoozes,
                row.revision,
                trace_context(row.traced_by),
                headers(row.traced_by),
            ),
            "notes of event {}",
            row.id
        );
    }
}
