//! Enqueueing one or many events on a connection: what is folded, what is known, and what goes into
//! one statement.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use chrono::{DateTime, Utc};
use futures_util::future::join;
use outbox_runtime::{EnqueueError, Enqueued, NewEvent, StoreError, StoreErrorKind};
use tokio_postgres::GenericClient;
use uuid::Uuid;

use crate::fault::{callers_fault, is_collision, was_refused};
use crate::insert::{
    KnownId, Values, expire_rows, fold_row, insert_row, insert_rows, known, parent_rows,
};
use crate::keyed;
use crate::sql::Sql;
use crate::transaction::{begin_savepoint, end_savepoint};

const FOLD: &str = "outbox_fold";
const BATCH: &str = "outbox_batch";

/// How often an id may be found taken and then gone, before that is an error.
pub(crate) const MOST_TRIES: usize = 5;

fn storage(error: tokio_postgres::Error) -> EnqueueError {
    callers_fault("enqueue", error).into()
}

/// The error of a statement that writes. Outside a transaction it commits by itself, so it may have
/// taken effect.
fn write_fault(is_transaction: bool, error: tokio_postgres::Error) -> EnqueueError {
    let is_known = is_transaction || was_refused(&error);
    let fault = callers_fault("enqueue", error);
    match is_known {
        true => fault.into(),
        false => fault.with_unknown_outcome().into(),
    }
}

/// Enqueues one event.
pub(crate) async fn one<C: GenericClient + Sync>(
    client: &C,
    sql: &Sql,
    is_transaction: bool,
    now: Option<DateTime<Utc>>,
    event: &NewEvent,
) -> Result<Enqueued, EnqueueError> {
    if event.key().is_some() {
        return keyed::enqueue(client, sql, is_transaction, now, event).await;
    }
    let values = Values::of(event);
    if event.may_fold()
        && let Some(folded) = fold(client, sql, is_transaction, now, &values).await?
    {
        return Ok(folded);
    }
    for _ in 0..MOST_TRIES {
        let written = insert_row(client, sql, &values, now).await;
        if written.map_err(|error| write_fault(is_transaction, error))? {
            return Ok(Enqueued::New(event.id()));
        }
        let mut known = known(client, sql, &[event]).await.map_err(storage)?;
        if let Some(answer) = known.remove(&event.id()) {
            return answer;
        }
    }
    Err(unstable(event.id()).into())
}

/// Folds inside a savepoint, which a failure is rolled back to. So is a lock on a row that was
/// claimed meanwhile: it would hold up the worker until the caller's transaction ends.
async fn fold<C: GenericClient + Sync>(
    client: &C,
    sql: &Sql,
    is_transaction: bool,
    now: Option<DateTime<Utc>>,
    values: &Values<'_>,
) -> Result<Option<Enqueued>, EnqueueError> {
    if !is_transaction {
        return match fold_row(client, sql, values, now).await {
            Err(error) if is_collision(&error) => Ok(None),
            folded => folded.map_err(|error| write_fault(false, error)),
        };
    }
    let begin = begin_savepoint(client, FOLD);
    let (began, folded) = join(begin, fold_row(client, sql, values, now)).await;
    began.map_err(storage)?;
    let is_folded = matches!(folded, Ok(Some(_)));
    let ended = end_savepoint(client, FOLD, is_folded).await;
    ended.map_err(storage)?;
    match folded {
        Err(error) if is_collision(&error) => Ok(None),
        folded => folded.map_err(storage),
    }
}

/// Enqueues all events or none.
pub(crate) async fn all<C: GenericClient + Sync>(
    client: &C,
    sql: &Sql,
    is_transaction: bool,
    now: Option<DateTime<Utc>>,
    events: &[NewEvent],
) -> Result<Vec<Enqueued>, EnqueueError> {
    if let [event] = events {
        let enqueued = one(client, sql, is_transaction, now, event).await;
        return enqueued.map(|one| vec![one]).map_err(|error| error.at(0));
    }
    if !events.iter().any(is_alone) && (is_transaction || !events.iter().any(NewEvent::is_special))
    {
        return plain(client, sql, is_transaction, now, events, 0).await;
    }
    if !is_transaction {
        let message = "events that coalesce or expire, or that have a key or parents, are enqueued as a batch in a transaction only; begin one";
        return Err(StoreError::new(StoreErrorKind::NotAllowedHere, "enqueue", message).into());
    }
    let begun = begin_savepoint(client, BATCH).await;
    begun.map_err(storage)?;
    let enqueued = in_order(client, sql, now, events).await;
    let ended = end_savepoint(client, BATCH, enqueued.is_ok()).await;
    ended.map_err(storage)?;
    enqueued
}

/// Whether the event is enqueued by statements of its own.
fn is_alone(event: &NewEvent) -> bool {
    event.may_fold() || event.key().is_some()
}

/// Enqueues runs of events that cannot fold with one statement each, and the others one by one.
async fn in_order<C: GenericClient + Sync>(
    client: &C,
    sql: &Sql,
    now: Option<DateTime<Utc>>,
    events: &[NewEvent],
) -> Result<Vec<Enqueued>, EnqueueError> {
    let mut enqueued = Vec::with_capacity(events.len());
    for run in events.chunk_by(|one, next| !is_alone(one) && !is_alone(next)) {
        let begin = enqueued.len();
        match run {
            [event] => {
                let answer = one(client, sql, true, now, event).await;
                enqueued.push(answer.map_err(|error| error.at(begin))?);
            }
            run => enqueued.extend(plain(client, sql, true, now, run, begin).await?),
        }
    }
    Ok(enqueued)
}

/// Enqueues events that cannot fold. One statement writes all of them, or none if one is known
/// already; then the others are written without it. `first` is the index of the first event in the
/// caller's batch.
async fn plain<C: GenericClient + Sync>(
    client: &C,
    sql: &Sql,
    is_transaction: bool,
    now: Option<DateTime<Utc>>,
    events: &[NewEvent],
    first: usize,
) -> Result<Vec<Enqueued>, EnqueueError> {
    let mut answers: HashMap<Uuid, Enqueued> = HashMap::new();
    let mut left = distinct(events, first)?;
    for _ in 0..MOST_TRIES {
        if left.is_empty() {
            break;
        }
        if insert_rows(client, sql, &left, now, KnownId::WritesNothing)
            .await
            .map_err(|error| write_fault(is_transaction, error))?
        {
            let expired = expire_rows(client, sql, &left).await;
            expired.map_err(|error| write_fault(is_transaction, error))?;
            let waiting = parent_rows(client, sql, &left).await;
            waiting.map_err(|error| write_fault(is_transaction, error))?;
            answers.extend(
                left.drain(..)
                    .map(|new| (new.id(), Enqueued::New(new.id()))),
            );
            break;
        }
        let mut known = known(client, sql, &left).await.map_err(storage)?;
        let mut unknown = Vec::with_capacity(left.len());
        for event in left {
            match known.remove(&event.id()) {
                Some(answer) => {
                    let index = events.iter().position(|one| one.id() == event.id());
                    let at = first + index.unwrap_or_default();
                    answers.insert(event.id(), answer.map_err(|error| error.at(at))?);
                }
                None => unknown.push(event),
            }
        }
        left = unknown;
    }
    if let Some(event) = left.first() {
        return Err(unstable(event.id()).into());
    }
    let mut seen = std::collections::HashSet::new();
    let answer = |event: &NewEvent| match answers.get(&event.id()) {
        Some(Enqueued::New(id)) if !seen.insert(*id) => Enqueued::AlreadyThere(*id),
        Some(answer) => *answer,
        None => Enqueued::AlreadyThere(event.id()),
    };
    Ok(events.iter().map(answer).collect())
}

/// The events without repetitions of an id.
fn distinct(events: &[NewEvent], first: usize) -> Result<Vec<&NewEvent>, EnqueueError> {
    let mut by_id: HashMap<Uuid, &NewEvent> = HashMap::with_capacity(events.len());
    let mut distinct = Vec::with_capacity(events.len());
    for (index, event) in events.iter().enumerate() {
        match by_id.entry(event.id()) {
            Entry::Vacant(place) => {
                place.insert(event);
                distinct.push(event);
            }
            Entry::Occupied(before) => {
                let before = (*before.get()).clone();
                if !event.is_same_event(&before.into_pending(DateTime::UNIX_EPOCH)) {
                    let event_id = event.id();
                    return Err(EnqueueError::Conflict { event_id }.at(first + index));
                }
            }
        }
    }
    Ok(distinct)
}

/// The error for an id that others write and delete all the time.
pub(crate) fn unstable(id: Uuid) -> StoreError {
    let message = format!("event {id} keeps appearing and disappearing; the call can be repeated");
    StoreError::new(StoreErrorKind::Unavailable, "enqueue", message)
}
