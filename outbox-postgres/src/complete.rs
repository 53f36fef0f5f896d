//! Completing an event on any connection, before its handler answers.

use chrono::{DateTime, Utc};
use outbox_runtime::store::kit::{superseded_from, superseded_note};
use outbox_runtime::store::{Completion, Lease};
use outbox_runtime::{CompleteError, Enqueued, NewEvent, StoreError};
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;

use crate::batch;
use crate::fault::{callers_fault, was_refused};
use crate::on_client::OnClient;
use crate::session::Session;
use crate::sql::Sql;
use crate::transaction::{begin_savepoint, end_savepoint};
use crate::value::{text, uuid};

const OPERATION: &str = "complete";

fn storage(error: tokio_postgres::Error) -> CompleteError {
    callers_fault(OPERATION, error).into()
}

/// The error of a statement outside a transaction, which commits by itself and may have taken
/// effect.
fn own_fault(error: tokio_postgres::Error) -> CompleteError {
    let is_known = was_refused(&error);
    let fault: StoreError = callers_fault(OPERATION, error);
    match is_known {
        true => fault.into(),
        false => fault.with_unknown_outcome().into(),
    }
}

/// Completes an event under its lease.
pub(crate) async fn complete<C: GenericClient + Sync>(
    client: &C,
    sql: &Sql,
    is_transaction: bool,
    now: Option<DateTime<Utc>>,
    completion: &Completion,
) -> Result<(), CompleteError> {
    let event_id = completion.lease.event_id;
    let token = completion.lease.token.as_uuid();
    let row = client
        .query_typed_opt(
            &sql.complete_on,
            &[
                (&event_id, Type::UUID),
                (&token, Type::UUID),
                (&completion.is_kept, Type::BOOL),
                (&now, Type::TIMESTAMPTZ),
            ],
        )
        .await;
    let is_completed = row.and_then(|row| row.map_or(Ok(false), |row| row.try_get(0)));
    let is_completed = is_completed.map_err(|error| match is_transaction {
        true => storage(error),
        false => own_fault(error),
    })?;
    match is_completed {
        true => Ok(()),
        false => Err(CompleteError::LeaseLost { event_id }),
    }
}

/// The note of what became of the event that superseded the event `$1` under the token `$2`.
const SUPERSEDED: &str = "SELECT c.superseded FROM {s}.completions c
    WHERE c.id = $1::text::uuid AND c.token = $2::text::uuid AND c.superseded IS NOT NULL";

const SUPERSEDE: &str = "UPDATE {s}.completions c SET superseded = $3
    WHERE c.id = $1::text::uuid AND c.token = $2::text::uuid RETURNING 1::bigint";

/// What became of the event that superseded this one under the same lease, if one has. The
/// statement that completes the event has waited for other transactions that do so.
pub(crate) async fn superseded<S: Session>(
    session: &S,
    lease: &Lease,
) -> Result<Option<Enqueued>, StoreError> {
    let params = vec![uuid(lease.event_id), uuid(lease.token.as_uuid())];
    let rows = session.rows(session.sql().text(SUPERSEDED), params).await?;
    let note = rows.first().and_then(|row| row.text(0));
    note.map(superseded_from).transpose()
}

/// Notes what became of the event that supersedes this one.
pub(crate) async fn note_superseded<S: Session>(
    session: &S,
    lease: &Lease,
    next: Enqueued,
) -> Result<(), StoreError> {
    let note = text(&superseded_note(next));
    let params = vec![uuid(lease.event_id), uuid(lease.token.as_uuid()), note];
    let sql = session.sql().text(SUPERSEDE);
    session.rows(sql, params).await.map(drop)
}

const SAVEPOINT: &str = "outbox_supersede";

/// Completes an event and enqueues the next, both or neither, in the transaction that is open on
/// `client`. A second call under the same lease answers what the first did.
pub(crate) async fn supersede<C: GenericClient + Sync>(
    client: &C,
    sql: &Sql,
    now: Option<DateTime<Utc>>,
    completion: &Completion,
    next: &NewEvent,
) -> Result<Enqueued, CompleteError> {
    let event_id = completion.lease.event_id;
    let refused = |source| CompleteError::Next { event_id, source };
    next.validate().map_err(refused)?;
    let begun = begin_savepoint(client, SAVEPOINT).await;
    begun.map_err(storage)?;
    let lease = &completion.lease;
    let session = OnClient {
        client,
        sql,
        now,
        operation: OPERATION,
        fault: callers_fault,
    };
    let both = async {
        complete(client, sql, true, now, completion).await?;
        if let Some(first) = superseded(&session, lease).await? {
            return Ok(first);
        }
        let enqueued = batch::one(client, sql, true, now, next).await;
        let enqueued = enqueued.map_err(refused)?;
        note_superseded(&session, lease, enqueued).await?;
        Ok(enqueued)
    };
    let done: Result<Enqueued, CompleteError> = both.await;
    let ended = end_savepoint(client, SAVEPOINT, done.is_ok()).await;
    // The first error is the one to report.
    let enqueued = done?;
    ended.map_err(storage)?;
    Ok(enqueued)
}
