//! Enqueueing, canceling and completing on a connection of a driver that this library does not
//! know.

use chrono::{DateTime, Utc};
use rusqlite::types::ValueRef;

use super::desk::Foreign;
use crate::cancellation::{Cancel, Canceled};
use crate::completion::Completion;
use crate::enqueue::{Enqueued, NewEvent};
use crate::entity::EntityId;
use crate::error::{CompleteError, EnqueueError, StoreError};
use crate::store::kit::superseded_from;
use crate::store::sqlite::database::Database;
use crate::store::sqlite::placing::Placing;
use crate::store::sqlite::statement::{INSERT, INSERT_HEADED, insert_values, lane_values};
use crate::store::sqlite::{complete, completions, fold, keyed};

/// Enqueues one event, and tells the stores on that file to expect a commit.
pub(super) async fn one(db: Foreign, event: NewEvent) -> Result<Enqueued, EnqueueError> {
    event.validate()?;
    let stores = db.begin().await?;
    let enqueued = insert(&db, stores.clock.now(), &event).await?;
    stores.expect_commit();
    Ok(enqueued)
}

/// Enqueues many events, all or none, and tells the stores on that file to expect a commit.
pub(super) async fn all(db: Foreign, events: Vec<NewEvent>) -> Result<Vec<Enqueued>, EnqueueError> {
    for (index, event) in events.iter().enumerate() {
        event.validate().map_err(|error| error.at(index))?;
    }
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let enqueued = async {
        let stores = db.begin().await?;
        let now = stores.clock.now();
        let mut enqueued = Vec::with_capacity(events.len());
        for (index, event) in events.iter().enumerate() {
            let answer = insert(&db, now, event).await;
            enqueued.push(answer.map_err(|error| error.at(index))?);
        }
        Ok::<_, EnqueueError>((stores, enqueued))
    };
    let (stores, enqueued) = db.in_savepoint(enqueued).await?;
    stores.expect_commit();
    Ok(enqueued)
}

/// Cancels events, and tells the stores on that file to expect a commit: the events behind the
/// canceled ones go on.
pub(super) async fn cancel(db: Foreign, cancel: Cancel) -> Result<Canceled, StoreError> {
    let stores = db.begin().await?;
    let canceled = db.in_savepoint(keyed::cancel(&db, &cancel)).await?;
    stores.expect_commit();
    Ok(canceled)
}

/// Completes an event under its lease, and tells the stores on that file to expect a commit.
pub(super) async fn complete(db: Foreign, completion: Completion) -> Result<(), CompleteError> {
    let completed = async {
        let stores = db.begin().await?;
        leased(&db, stores.clock.now(), &completion).await?;
        Ok::<_, CompleteError>(stores)
    };
    let stores = db.in_savepoint(completed).await?;
    stores.expect_commit();
    Ok(())
}

/// Completes an event under its lease and enqueues the next, both or neither, and tells the stores
/// on that file to expect a commit. A second call under the same lease answers what the first did.
pub(super) async fn supersede(
    db: Foreign,
    completion: Completion,
    next: NewEvent,
) -> Result<Enqueued, CompleteError> {
    let event_id = completion.lease.event_id;
    let refused = |source| CompleteError::Next { event_id, source };
    let both = async {
        let stores = db.begin().await?;
        let now = stores.clock.now();
        leased(&db, now, &completion).await?;
        next.validate().map_err(refused)?;
        let lease = &completion.lease;
        if let Some(note) = completions::superseded(&db, lease).await? {
            return Ok((stores, superseded_from(&note)?));
        }
        let enqueued = insert(&db, now, &next).await.map_err(refused)?;
        completions::supersede(&db, lease, enqueued).await?;
        Ok::<_, CompleteError>((stores, enqueued))
    };
    let (stores, enqueued) = db.in_savepoint(both).await?;
    stores.expect_commit();
    Ok(enqueued)
}

/// Completes an event. After an error, writes may be left behind.
async fn leased(
    db: &Foreign,
    now: DateTime<Utc>,
    completion: &Completion,
) -> Result<(), CompleteError> {
    let event_id = completion.lease.event_id;
    match complete::complete(db, now, completion).await? {
        true => Ok(()),
        false => Err(CompleteError::LeaseLost { event_id }),
    }
}

async fn insert(
    db: &Foreign,
    now: DateTime<Utc>,
    event: &NewEvent,
) -> Result<Enqueued, EnqueueError> {
    if event.may_fold()
        && let Some(folded) = db.in_savepoint(fold::fold(db, now, event)).await?
    {
        return Ok(folded);
    }
    if event.is_special() {
        let write = write(db, now, event);
        return db
            .in_savepoint(keyed::insert(db, now, event, write))
            .await?;
    }
    if write(db, now, event).await? {
        return Ok(Enqueued::New(event.id));
    }
    fold::known(db, event).await?
}

/// Writes one row, unless the id is known. Returns whether it did.
async fn write(db: &Foreign, now: DateTime<Utc>, event: &NewEvent) -> Result<bool, StoreError> {
    let due = event.due(now);
    let mut buffer = [0; EntityId::LONGEST_TEXT];
    let entity_id = event.entity_id.write_text(&mut buffer);
    let values = insert_values(event, entity_id, now, due);
    let lane = lane_values(db.lane_key().await?, event.order, &values);
    let mut values: Vec<_> = values.into_iter().chain(lane).collect();
    let headers = event.headers().to_stored();
    let sql = match &headers {
        None => INSERT,
        Some(headers) => {
            values.push(ValueRef::from(headers.as_str()));
            INSERT_HEADED
        }
    };
    Ok(db.change(sql, &values).await? == 1)
}
