//! Completing an event on any connection, before its handler answers.

use chrono::{DateTime, Utc};
use outbox_runtime::store::Completion;
use outbox_runtime::{CompleteError, Enqueued, NewEvent, StoreError};
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;

use crate::batch;
use crate::fault::{callers_fault, was_refused};
use crate::sql::Sql;
use crate::transaction::{begin_savepoint, end_savepoint};

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

const SAVEPOINT: &str = "outbox_supersede";

/// Completes an event and enqueues the next, both or neither, in the transaction that is open on
/// `client`.
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
    let both = async {
        complete(client, sql, true, now, completion).await?;
        let enqueued = batch::one(client, sql, true, now, next).await;
        enqueued.map_err(refused)
    };
    let done = both.await;
    let ended = end_savepoint(client, SAVEPOINT, done.is_ok()).await;
    // The first error is the one to report.
    let enqueued = done?;
    ended.map_err(storage)?;
    Ok(enqueued)
}
