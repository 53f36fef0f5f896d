//! The statement that enqueues, and its values: for the store itself, and for drivers unknown to
//! this library.

use chrono::{DateTime, Utc};
use rusqlite::types::ValueRef;

use super::elders::new_has_elders;
use super::lane::{lane_condition, waits_in_entity};
use super::row::entity_value;
use crate::clock::{self, Clock, SystemClock};
use crate::enqueue::NewEvent;
use crate::entity::{OnDead, Order};
use crate::error::EnqueueError;

/// The number of parameters of the statement.
const PARAMS: usize = 14;

/// Writes one event and decides its place in its lane. This is one statement, so it is right on any
/// connection and inside any transaction: the writer holds the database's only write lock.
///
/// An existing id is ignored. So is an id that was folded into another event: its status becomes
/// NULL, which the table rejects. The statement checks the entity id as the driver bound it: `OR
/// IGNORE` would also ignore a violated constraint, and the event would be lost silently, whereas
/// text in an integer column fails the statement. `INSERT .. SELECT .. WHERE NOT EXISTS` would make
/// SQLite use a temporary table.
macro_rules! insert {
    ($($blocked:expr),+) => {
        concat!(
            "\
INSERT OR IGNORE INTO outbox_events
    (entity_id, user_id, id, event_type, operation, priority, created_at, next_attempt_at, max_attempts,
     metadata, metadata_version, lane, on_dead, destination, status, slot)
VALUES (coalesce(?1, x''), ?2, ?3, ?4, ?5,
    CASE WHEN typeof(?1) = 'integer' OR typeof(?1) = 'text' OR (typeof(?1) = 'blob' AND length(?1) = 16) THEN ?6
        ELSE 'none, as entity_id is not an integer, 16 bytes or a text' END,
    ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14,
    CASE WHEN EXISTS (SELECT 1 FROM outbox_folded WHERE id = ?3) THEN NULL ELSE 'pending' END,
    CASE ", $($blocked,)+ "WHEN ?8 > ?7 THEN 'waiting' ELSE 'ready' END)"
        )
    };
}

const INSERT_BY_ENTITY: &str = insert!("WHEN ", waits_in_entity!(), " THEN 'blocked' ");
const INSERT_BY_USER: &str = insert!(
    "WHEN EXISTS (SELECT 1 FROM outbox_events WHERE ",
    lane_condition!(User),
    ") OR ",
    new_has_elders!(User),
    " THEN 'blocked' "
);
const INSERT_UNORDERED: &str = insert!("WHEN ", new_has_elders!(Unordered), " THEN 'blocked' ");

/// The statement for events of this order.
pub(super) fn insert_sql(order: Order) -> &'static str {
    match order {
        Order::Entity => INSERT_BY_ENTITY,
        Order::User => INSERT_BY_USER,
        Order::None => INSERT_UNORDERED,
    }
}

/// The values of the statement's parameters, in order.
pub(super) fn insert_values(
    event: &NewEvent,
    now: DateTime<Utc>,
    due: DateTime<Utc>,
) -> [ValueRef<'_>; PARAMS] {
    let metadata = event.metadata.as_ref();
    let lane = (event.order != Order::Entity).then_some(event.order.as_str());
    let on_dead = (event.on_dead != OnDead::Hold).then_some(event.on_dead.as_str());
    let word = |word: Option<&'static str>| word.map_or(ValueRef::Null, ValueRef::from);
    [
        entity_value(&event.entity_id),
        ValueRef::Text(event.user_id.as_bytes()),
        ValueRef::Blob(event.id.as_bytes()),
        ValueRef::Text(event.event_type.as_bytes()),
        ValueRef::Text(event.operation.as_str().as_bytes()),
        ValueRef::Integer(event.priority.into()),
        ValueRef::Integer(now.timestamp_micros()),
        ValueRef::Integer(due.timestamp_micros()),
        ValueRef::Integer(event.max_attempts.into()),
        metadata.map_or(ValueRef::Null, |raw| ValueRef::Text(raw.as_bytes())),
        ValueRef::Integer(event.metadata_version.into()),
        word(lane),
        word(on_dead),
        event
            .destination
            .as_deref()
            .map_or(ValueRef::Null, ValueRef::from),
    ]
}

/// A value for a driver unknown to this library: see [`SqliteInsert::params`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum SqlValue {
    /// NULL.
    Null,
    /// An integer.
    Integer(i64),
    /// A string.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// The SQLite statement that enqueues one event, and its values: the entry point for any SQLite
/// driver unknown to this library.
///
/// Run it in the transaction that changes the entity. It changes no row if the event's id exists
/// already. A processor in the same process notices the commit within half a second;
/// [`trigger`](crate::Running::trigger) wakes it at once.
///
/// If the transaction reads before it runs this statement, begin it with `BEGIN IMMEDIATE`: sqlx's
/// `pool.begin_with("BEGIN IMMEDIATE")`, diesel's `conn.immediate_transaction(..)`. A deferred
/// transaction fails at once with `SQLITE_BUSY` (5) or `SQLITE_BUSY_SNAPSHOT` (517), whatever the
/// busy timeout, when another connection is writing or has committed since it read; the only remedy
/// is to repeat the whole transaction.
///
/// The statement never folds: one statement cannot. An event with
/// [`Coalesce::Latest`](crate::Coalesce::Latest) is written as a row of its own, so that each
/// change is delivered, in order.
///
/// To write `.on(&tx)` with such a driver, implement [`EventSink`](crate::EventSink) for its
/// connection with this type.
///
/// # Examples
///
/// ```
/// use outbox_runtime::{NewEvent, Operation, SqliteStore, rusqlite};
/// use outbox_runtime::store::{SqlValue, SqliteInsert};
/// use rusqlite::{params_from_iter, types::Value};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("app.db");
/// let store = SqliteStore::open(&path).await?;
/// let event = NewEvent::new("moodEntry", 7, "user-1", Operation::Create);
///
/// // Any driver will do; this one stands for it.
/// let driver = rusqlite::Connection::open(&path)?;
/// let insert = SqliteInsert::new(&event)?;
/// let params = insert.params().iter().map(|value| match value {
///     SqlValue::Integer(n) => Value::Integer(*n),
///     SqlValue::Text(text) => Value::Text(text.clone()),
///     SqlValue::Blob(bytes) => Value::Blob(bytes.clone()),
///     _ => Value::Null,
/// });
/// assert_eq!(driver.execute(insert.sql(), params_from_iter(params))?, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SqliteInsert {
    sql: &'static str,
    params: [SqlValue; PARAMS],
}

impl SqliteInsert {
    /// Builds the statement for this event. The time of enqueueing is the current time of the
    /// machine's clock.
    ///
    /// # Errors
    ///
    /// [`EnqueueError::Invalid`] if the event breaks a rule of the row.
    pub fn new(event: &NewEvent) -> Result<Self, EnqueueError> {
        event.validate()?;
        let now = SystemClock.now();
        let due = clock::after(now, event.delay);
        Ok(Self {
            sql: insert_sql(event.order),
            params: insert_values(event, now, due).map(|value| match value {
                ValueRef::Integer(number) => SqlValue::Integer(number),
                ValueRef::Text(text) => SqlValue::Text(String::from_utf8_lossy(text).into_owned()),
                ValueRef::Blob(bytes) => SqlValue::Blob(bytes.to_vec()),
                // An event has no float columns.
                ValueRef::Null | ValueRef::Real(_) => SqlValue::Null,
            }),
        })
    }

    /// The statement, with numbered parameters `?1` to `?14`. Each [`Order`](crate::Order) has one
    /// text, so a driver that caches prepared statements by text prepares it once.
    #[must_use]
    pub fn sql(&self) -> &'static str {
        self.sql
    }

    /// The values of the parameters, in order.
    #[must_use]
    pub fn params(&self) -> &[SqlValue; PARAMS] {
        &self.params
    }

    /// The values of the parameters, in order, by value.
    #[must_use]
    pub fn into_params(self) -> [SqlValue; PARAMS] {
        self.params
    }
}
