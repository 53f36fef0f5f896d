//! Enqueueing on any connection: the values of a new event, and what an id that is known means.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox_runtime::store::kit::stored_parents;
use outbox_runtime::{
    EnqueueError, Enqueued, Expiry, Headers, NewEvent, OnSameKey, Operation, OutboxEvent,
    RawMetadata, TraceContext,
};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{GenericClient, Row};
use uuid::Uuid;

use crate::codes::Code;
use crate::lane;
use crate::row;
use crate::sql::{COLUMN_COUNT, Sql};

type Driver<T> = Result<T, tokio_postgres::Error>;

type Param<'p> = &'p (dyn ToSql + Sync);

/// The longest delay that PostgreSQL can add to a time of this millennium, in microseconds.
const LONGEST_DELAY: i64 = 200_000 * 365 * 86_400 * 1_000_000;

/// The values of an event as the statements take them.
#[derive(Debug)]
pub(crate) struct Values<'e> {
    pub(crate) event: &'e NewEvent,
    pub(crate) entity_id: String,
    pub(crate) lane: Option<i64>,
    pub(crate) entity_lane: i64,
    pub(crate) max_attempts: i64,
    pub(crate) metadata: Option<&'e str>,
    pub(crate) metadata_version: i64,
    pub(crate) trace_context: Option<&'e str>,
    pub(crate) headers: Option<String>,
    pub(crate) delay: i64,
    pub(crate) parents: Option<String>,
}

impl<'e> Values<'e> {
    pub(crate) fn of(event: &'e NewEvent) -> Self {
        let entity_id = event.entity_id().to_string();
        Self {
            lane: lane::of(event.order(), event.user_id(), &entity_id),
            entity_lane: lane::of_entity(event.user_id(), &entity_id),
            max_attempts: event.max_attempts().into(),
            metadata: event.metadata().and_then(RawMetadata::as_str),
            metadata_version: event.metadata_version().into(),
            trace_context: event.trace_context().map(TraceContext::as_stored),
            headers: event.headers().to_stored(),
            delay: delay_of(event.delay()),
            parents: stored_parents(event.parents()),
            entity_id,
            event,
        }
    }
}

/// In whole microseconds, rounded up.
fn delay_of(delay: Duration) -> i64 {
    let micros = delay.as_nanos().div_ceil(1_000);
    i64::try_from(micros).map_or(LONGEST_DELAY, |micros| micros.min(LONGEST_DELAY))
}

/// As the statements take it: microseconds from the time of enqueueing, or a time.
pub(crate) fn expiry_of(expiry: Expiry) -> (Option<i64>, Option<DateTime<Utc>>) {
    match expiry {
        Expiry::After(duration) => (Some(delay_of(duration)), None),
        expiry => (None, Some(expiry.of(DateTime::UNIX_EPOCH))),
    }
}

/// Lets those of these events expire that do, after they were written in the same transaction.
pub(crate) async fn expire_rows(
    client: &impl GenericClient,
    sql: &Sql,
    events: &[&NewEvent],
) -> Driver<()> {
    let (mut ids, mut after, mut at) = (Vec::new(), Vec::new(), Vec::new());
    for event in events {
        if let Some(expiry) = event.expiry() {
            let (micros, time) = expiry_of(expiry);
            ids.push(event.id());
            after.push(micros);
            at.push(time);
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    let params: [(Param<'_>, Type); 3] = [
        (&ids, Type::UUID_ARRAY),
        (&after, Type::INT8_ARRAY),
        (&at, Type::TIMESTAMPTZ_ARRAY),
    ];
    let expire = sql.text("SELECT {s}.expire($1, $2, $3)");
    client.query_typed(&expire, &params).await.map(drop)
}

/// Lets those of these events wait for their parents that have some, after they were written in the
/// same transaction.
pub(crate) async fn parent_rows(
    client: &impl GenericClient,
    sql: &Sql,
    events: &[&NewEvent],
) -> Driver<()> {
    let with_parents = events
        .iter()
        .filter_map(|event| Some((event.id(), stored_parents(event.parents())?)));
    let (ids, parents): (Vec<Uuid>, Vec<String>) = with_parents.unzip();
    if ids.is_empty() {
        return Ok(());
    }
    let params: [(Param<'_>, Type); 2] = [(&ids, Type::UUID_ARRAY), (&parents, Type::TEXT_ARRAY)];
    let after = sql.text("SELECT {s}.after($1, $2)");
    client.query_typed(&after, &params).await.map(drop)
}

/// Writes one event, unless its id is known. Returns whether it was written.
pub(crate) async fn insert_row(
    client: &impl GenericClient,
    sql: &Sql,
    values: &Values<'_>,
    now: Option<DateTime<Utc>>,
) -> Driver<bool> {
    let (after, at) = values.event.expiry().map_or((None, None), expiry_of);
    let of_special: [(Param<'_>, Type); 4] = [
        (&after, Type::INT8),
        (&at, Type::TIMESTAMPTZ),
        (&values.headers, Type::TEXT),
        (&values.parents, Type::TEXT),
    ];
    let has_headers = values.headers.is_some();
    let (insert, more) = match (values.event.expiry(), &values.parents) {
        (_, Some(_)) => (&sql.insert_after, &of_special[..]),
        (Some(_), None) => (&sql.insert_expiring, &of_special[..3]),
        (None, None) if has_headers => (&sql.insert_headed, &of_special[2..3]),
        (None, None) => (&sql.insert, &of_special[..0]),
    };
    let row = run_single(client, insert, values, now, more).await?;
    let written: i64 = row.map_or(Ok(0), |row| row.try_get(0))?;
    Ok(written > 0)
}

/// Folds the event into a waiting one, if it may be.
pub(crate) async fn fold_row(
    client: &impl GenericClient,
    sql: &Sql,
    values: &Values<'_>,
    now: Option<DateTime<Utc>>,
) -> Driver<Option<Enqueued>> {
    let event = values.event;
    let fingerprint = event.fingerprint();
    let more: [(Param<'_>, Type); 3] = [
        (&fingerprint, Type::INT8),
        (&values.headers, Type::TEXT),
        (&values.parents, Type::TEXT),
    ];
    let row = run_single(client, &sql.fold, values, now, &more).await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let is_cancelled: bool = row.try_get(1)?;
    Ok(Some(carried(event, row.try_get(0)?, is_cancelled)))
}

async fn run_single(
    client: &impl GenericClient,
    sql: &str,
    values: &Values<'_>,
    now: Option<DateTime<Utc>>,
    more: &[(Param<'_>, Type)],
) -> Driver<Option<Row>> {
    let event = values.event;
    let id = event.id();
    let (order, operation) = (event.order().code(), event.operation().code());
    let on_dead = event.on_dead().code();
    let (event_type, user_id) = (event.event_type(), event.user_id());
    let (priority, destination) = (event.priority(), event.destination());
    let mut params: Vec<(Param<'_>, Type)> = vec![
        (&id, Type::UUID),
        (&values.lane, Type::INT8),
        (&values.entity_lane, Type::INT8),
        (&order, Type::CHAR),
        (&event_type, Type::TEXT),
        (&operation, Type::CHAR),
        (&user_id, Type::TEXT),
        (&values.entity_id, Type::TEXT),
        (&priority, Type::INT4),
        (&values.max_attempts, Type::INT8),
        (&values.metadata, Type::TEXT),
        (&values.metadata_version, Type::INT8),
        (&on_dead, Type::CHAR),
        (&destination, Type::TEXT),
        (&values.delay, Type::INT8),
        (&now, Type::TIMESTAMPTZ),
        (&values.trace_context, Type::TEXT),
    ];
    params.extend_from_slice(more);
    client.query_typed_opt(sql, &params).await
}

/// What an id that another event has means for a statement that writes many events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KnownId {
    /// Nothing is written. Every id is looked up first, which takes a tenth of the statement.
    WritesNothing,
    /// An error, which ends the transaction.
    Fails,
}

/// Writes all of the events, or none if one of their ids is known. An event close behind another of
/// its lane is blocked at once; that spares claims from stepping over it.
pub(crate) async fn insert_rows(
    client: &impl GenericClient,
    sql: &Sql,
    events: &[&NewEvent],
    now: Option<DateTime<Utc>>,
    known_id: KnownId,
) -> Driver<bool> {
    let values: Vec<Values<'_>> = events.iter().map(|event| Values::of(event)).collect();
    let behind = behind_in_batch(&values);
    macro_rules! column {
        (|$one:ident| $value:expr) => {
            values.iter().map(|$one| $value).collect::<Vec<_>>()
        };
    }
    let ids = column!(|one| one.event.id());
    let lanes = column!(|one| one.lane);
    let entity_lanes = column!(|one| one.entity_lane);
    let orders = column!(|one| one.event.order().code());
    let types = column!(|one| one.event.event_type());
    let operations = column!(|one| one.event.operation().code());
    let users = column!(|one| one.event.user_id());
    let entities = column!(|one| one.entity_id.as_str());
    let priorities = column!(|one| one.event.priority());
    let max_attempts = column!(|one| one.max_attempts);
    let metadata = column!(|one| one.metadata);
    let versions = column!(|one| one.metadata_version);
    let on_dead = column!(|one| one.event.on_dead().code());
    let destinations = column!(|one| one.event.destination());
    let delays = column!(|one| one.delay);
    let fails = known_id == KnownId::Fails;
    let is_traced = values.iter().any(|one| one.trace_context.is_some());
    let contexts = is_traced.then(|| column!(|one| one.trace_context));
    let any_headers = values.iter().any(|one| one.headers.is_some());
    let headers = any_headers.then(|| column!(|one| one.headers.as_deref()));
    let params: [(&(dyn ToSql + Sync), Type); 20] = [
        (&ids, Type::UUID_ARRAY),
        (&lanes, Type::INT8_ARRAY),
        (&entity_lanes, Type::INT8_ARRAY),
        (&orders, Type::CHAR_ARRAY),
        (&types, Type::TEXT_ARRAY),
        (&operations, Type::CHAR_ARRAY),
        (&users, Type::TEXT_ARRAY),
        (&entities, Type::TEXT_ARRAY),
        (&priorities, Type::INT4_ARRAY),
        (&max_attempts, Type::INT8_ARRAY),
        (&metadata, Type::TEXT_ARRAY),
        (&versions, Type::INT8_ARRAY),
        (&on_dead, Type::CHAR_ARRAY),
        (&destinations, Type::TEXT_ARRAY),
        (&delays, Type::INT8_ARRAY),
        (&now, Type::TIMESTAMPTZ),
        (&behind, Type::BOOL_ARRAY),
        (&fails, Type::BOOL),
        (&contexts, Type::TEXT_ARRAY),
        (&headers, Type::TEXT_ARRAY),
    ];
    let row = client.query_typed_one(&sql.insert_many, &params).await?;
    let written: i64 = row.try_get(0)?;
    Ok(written > 0)
}

/// The distance within which an event of a batch is blocked behind the one before it in its lane:
/// about the size of a claim. Beyond it, the earlier one is probably done when a claim gets there.
const CLOSE: usize = 100;

/// Which events of the statement are close behind another one in it. Both rows appear at one
/// moment, so the blocked one always has a front.
fn behind_in_batch(values: &[Values<'_>]) -> Vec<bool> {
    let mut last = HashMap::new();
    let behind = values.iter().enumerate().map(|(index, one)| {
        let Some(lane) = one.lane else {
            return false;
        };
        let before = last.insert(lane, index);
        before.is_some_and(|before| index - before < CLOSE)
    });
    behind.collect()
}

/// The answers for the ids among these that are known. Ids that are not known have none.
pub(crate) async fn known(
    client: &impl GenericClient,
    sql: &Sql,
    events: &[&NewEvent],
) -> Driver<HashMap<Uuid, Result<Enqueued, EnqueueError>>> {
    let by_id: HashMap<Uuid, &NewEvent> = events.iter().map(|event| (event.id(), *event)).collect();
    let ids: Vec<Uuid> = by_id.keys().copied().collect();
    let rows = client
        .query_typed(&sql.known, &[(&ids, Type::UUID_ARRAY)])
        .await?;
    let mut known = HashMap::new();
    for row in &rows {
        let carrier = row::read(row, 0)?.event;
        let folded = Folded::read(row)?;
        let id = folded.as_ref().map_or(carrier.id, |folded| folded.id);
        if let Some(event) = by_id.get(&id) {
            known.insert(id, answer(event, &carrier, folded.as_ref()));
        }
    }
    Ok(known)
}

/// The content first enqueued under an id whose row has other content now.
#[derive(Debug)]
pub(crate) struct Folded {
    pub(crate) id: Uuid,
    pub(crate) fingerprint: Option<i64>,
    pub(crate) operation: Option<i8>,
    pub(crate) metadata: Option<String>,
    pub(crate) metadata_version: Option<i64>,
    pub(crate) headers: Option<String>,
}

impl Folded {
    /// The position of the first column after those of the event.
    const FIRST: usize = COLUMN_COUNT;

    fn read(row: &Row) -> Driver<Option<Self>> {
        let id: Option<Uuid> = row.try_get(Self::FIRST)?;
        id.map(|id| {
            Ok(Self {
                id,
                fingerprint: row.try_get(Self::FIRST + 1)?,
                operation: row.try_get(Self::FIRST + 2)?,
                metadata: row.try_get(Self::FIRST + 3)?,
                metadata_version: row.try_get(Self::FIRST + 4)?,
                headers: row.try_get(Self::FIRST + 5)?,
            })
        })
        .transpose()
    }
}

/// The answer for an event whose id is known.
pub(crate) fn answer(
    event: &NewEvent,
    carrier: &OutboxEvent,
    folded: Option<&Folded>,
) -> Result<Enqueued, EnqueueError> {
    let is_same = match folded {
        None => event.is_same_event(carrier),
        Some(folded) => match folded.fingerprint {
            Some(fingerprint) => fingerprint == event.fingerprint(),
            None => {
                let mut first = carrier.clone();
                first.operation = folded
                    .operation
                    .and_then(Operation::of)
                    .unwrap_or(first.operation);
                first.metadata = folded.metadata.clone().map(RawMetadata::from_bytes);
                first.metadata_version = folded
                    .metadata_version
                    .and_then(|version| u32::try_from(version).ok())
                    .unwrap_or(first.metadata_version);
                let headers = folded.headers.as_deref().map(Headers::from_stored);
                first.headers = headers.and_then(Result::ok).unwrap_or_default();
                event.is_same_event(&first)
            }
        },
    };
    if !is_same {
        return Err(EnqueueError::Conflict {
            event_id: event.id(),
        });
    }
    let event_id = event.id();
    if carrier.dedup_key.is_some() && event_id != carrier.id {
        let kept = carrier.id;
        tracing::debug!(%event_id, %kept, event_type = ?event.event_type(), "another event has its key");
        return Ok(match event.on_same_key() {
            OnSameKey::Keep => Enqueued::Kept { event_id, kept },
            _ => Enqueued::Folded {
                event_id,
                into: kept,
            },
        });
    }
    let is_cancelled =
        event.operation() == Operation::Delete && carrier.operation == Operation::Create;
    Ok(carried(event, carrier.id, is_cancelled))
}

/// The answer for an event that this one carries.
pub(crate) fn carried(event: &NewEvent, carrier: Uuid, is_cancelled: bool) -> Enqueued {
    let event_id = event.id();
    if event_id == carrier {
        return Enqueued::AlreadyThere(event_id);
    }
    if is_cancelled {
        tracing::info!(
            %event_id, create = %carrier, event_type = ?event.event_type(),
            "the entity was deleted before its creation was sent; neither event is sent"
        );
        return Enqueued::Cancelled {
            event_id,
            create: carrier,
        };
    }
    tracing::debug!(%event_id, into = %carrier, event_type = ?event.event_type(), "folded into a waiting event");
    Enqueued::Folded {
        event_id,
        into: carrier,
    }
}
