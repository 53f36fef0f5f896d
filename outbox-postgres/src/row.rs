//! Row to event, whatever the row contains.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use outbox_runtime::store::kit::{after, parents_from};
use outbox_runtime::store::{ClaimRequest, LeaseToken};
use outbox_runtime::{
    DeadReason, EntityId, Headers, NewEvent, OnDead, Operation, Order, OutboxEvent, OutboxStatus,
    RawMetadata, Refusal, TraceContext,
};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::codes::Code;
use crate::waits::Json;

/// An event, and what is wrong with its row. Such a row is refused when it is inserted, so another
/// program must have changed it.
#[derive(Debug)]
pub(crate) struct ReadRow {
    pub(crate) event: OutboxEvent,
    pub(crate) defect: Option<String>,
}

/// What a claim has set in the rows that it returns.
pub(crate) struct Leased<'r> {
    pub(crate) request: &'r ClaimRequest,
    pub(crate) now: DateTime<Utc>,
    pub(crate) token: LeaseToken,
}

/// Reads the columns of an event, which begin at `first`.
pub(crate) fn read(row: &Row, first: usize) -> Result<ReadRow, tokio_postgres::Error> {
    read_columns(row, first, None)
}

/// Reads the columns of an event that was claimed, without those that the claim has set.
pub(crate) fn read_leased(
    row: &Row,
    first: usize,
    leased: &Leased<'_>,
) -> Result<ReadRow, tokio_postgres::Error> {
    read_columns(row, first, Some(leased))
}

fn read_columns(
    row: &Row,
    first: usize,
    leased: Option<&Leased<'_>>,
) -> Result<ReadRow, tokio_postgres::Error> {
    let mut defect = None;
    let mut column = first..;
    let mut next = || column.next().unwrap_or_default();
    let id: Uuid = row.try_get(next())?;
    let seq: i64 = row.try_get(next())?;
    let event_type: String = row.try_get(next())?;
    let entity_id: String = row.try_get(next())?;
    let user_id: String = row.try_get(next())?;
    let operation = decoded(
        row.try_get(next())?,
        Operation::Update,
        "operation",
        &mut defect,
    );
    let status = match leased {
        Some(_) => OutboxStatus::Processing,
        None => decoded(
            row.try_get(next())?,
            OutboxStatus::Dead,
            "status",
            &mut defect,
        ),
    };
    let priority: i32 = row.try_get(next())?;
    let created_at: DateTime<Utc> = row.try_get(next())?;
    let mut event = NewEvent::new(event_type, EntityId::from(entity_id), user_id, operation)
        .with_id(id)
        .into_pending(created_at);
    event.seq = seq;
    event.status = status;
    event.priority = priority;
    event.next_attempt_at = row.try_get(next())?;
    event.last_attempt_at = match leased {
        Some(leased) => Some(leased.now),
        None => row.try_get(next())?,
    };
    event.attempt_count = count(row.try_get::<_, i32>(next())?.into());
    event.max_attempts = count(row.try_get(next())?);
    event.error_message = row.try_get(next())?;
    event.completed_at = row.try_get(next())?;
    let metadata: Option<String> = row.try_get(next())?;
    event.metadata = metadata.map(RawMetadata::from_bytes);
    event.metadata_version = count(row.try_get(next())?);
    match leased {
        Some(leased) => {
            let lease = leased.request.lease_for(&event.event_type);
            event.lease_token = Some(leased.token.as_uuid());
            event.lease_expires_at = Some(after(leased.now, lease));
        }
        None => {
            event.lease_token = row.try_get(next())?;
            event.lease_expires_at = row.try_get(next())?;
        }
    }
    let reason: Option<&str> = row.try_get(next())?;
    event.dead_reason =
        reason.map(|word| DeadReason::from_str(word).unwrap_or(DeadReason::Undecodable));
    event.order = decoded(
        row.try_get(next())?,
        Order::Entity,
        "lane_order",
        &mut defect,
    );
    event.on_dead = decoded(row.try_get(next())?, OnDead::Hold, "on_dead", &mut defect);
    event.destination = row.try_get(next())?;
    event.deferrals = count(row.try_get::<_, i32>(next())?.into());
    event.deferred_since = row.try_get(next())?;
    let refusal: Option<&str> = row.try_get(next())?;
    event.last_refusal = refusal.map(Refusal::from_stored);
    event.crashes = count(row.try_get::<_, i32>(next())?.into());
    event.snoozes = count(row.try_get::<_, i32>(next())?.into());
    let revision: i64 = row.try_get(next())?;
    event.revision = u64::try_from(revision).unwrap_or_default();
    let context: Option<&str> = row.try_get(next())?;
    event.trace_context = context.and_then(TraceContext::from_stored);
    event.expires_at = row.try_get(next())?;
    event.dedup_key = row.try_get(next())?;
    let parents: Option<Json> = row.try_get(next())?;
    event.parents = parents.map_or_else(Vec::new, |Json(stored)| parents_from(&stored));
    let stored: Option<&str> = row.try_get(next())?;
    if let Some(stored) = stored {
        match Headers::from_stored(stored) {
            Ok(headers) => event.headers = headers,
            Err(error) => defect = Some(format!("the column headers: {error}")),
        }
    }
    Ok(ReadRow { event, defect })
}

/// The events of rows with nothing before their columns.
pub(crate) fn read_all(rows: &[Row]) -> Result<Vec<OutboxEvent>, tokio_postgres::Error> {
    rows.iter().map(|row| Ok(read(row, 0)?.event)).collect()
}

fn decoded<T: Code>(
    code: i8,
    otherwise: T,
    column: &'static str,
    defect: &mut Option<String>,
) -> T {
    T::of(code).unwrap_or_else(|| {
        *defect = Some(format!("the column {column} has an unknown code"));
        otherwise
    })
}

fn count(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}
