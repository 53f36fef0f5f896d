//! Enqueueing, on whatever connection: one statement, unless the event may fold into one that waits.

use std::borrow::Borrow;

use chrono::{DateTime, Utc};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, OptionalExtension, params, params_from_iter};
use uuid::Uuid;

use super::elders::new_has_elders;
use super::fault::fault_on;
use super::fold;
use super::lane::{lane_condition, waits_in_entity};
use super::row::{entity_value, read, select_events};
use crate::clock::{self, Clock, SystemClock};
use crate::enqueue::{Enqueued, NewEvent};
use crate::entity::{Coalesce, OnDead, Order};
use crate::error::{EnqueueError, StoreError};
use crate::event::{Operation, OutboxEvent};

/// Writes one event and decides where it stands in its lane, in one statement, so that it is right on any connection
/// and inside any transaction: who writes holds the database's only write lock.
///
/// An id that is there is ignored, and so is one that was folded into another event: its status is NULL then, which the
/// table refuses. What a driver has made of the entity's id is looked at here: a constraint that it breaks would be ignored as
/// well, and the event lost without a word, whereas a text in a column of integers fails the statement. With `INSERT .. SELECT .. WHERE NOT EXISTS`, SQLite would go through a temporary table.
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

/// A value for a driver that this library does not know: see [`NewEvent::params`].
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

impl NewEvent {
    /// The SQLite statement that enqueues this event, with numbered parameters `?1` to `?14`. Which one it is depends on the
    /// event's [`order`](Self::order).
    ///
    /// With [`params`](Self::params) this is the door for any driver that this library does not know: run it in the
    /// transaction that changes the entity. It changes no row where the event's id is already there. A processor in
    /// the same process learns of the commit within half a second; [`trigger`](crate::Running::trigger) tells it at once.
    ///
    /// Begin a transaction that reads before this with `BEGIN IMMEDIATE`: sqlx's
    /// `pool.begin_with("BEGIN IMMEDIATE")`, diesel's `conn.immediate_transaction(..)`. A deferred
    /// one fails with `SQLITE_BUSY` (5), or `SQLITE_BUSY_SNAPSHOT` (517), at once and whatever the
    /// busy timeout, when another connection is writing, or has committed since it read; only the
    /// whole transaction can be repeated then.
    ///
    /// It never folds: one statement cannot. With [`Coalesce::Latest`] the event is written as a row of its own, so that
    /// each such change is delivered, in order.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::{NewEvent, Operation, SqliteStore, rusqlite};
    /// use outbox_runtime::store::SqlValue;
    /// use rusqlite::types::Value;
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
    /// let params = event.params()?.map(|value| match value {
    ///     SqlValue::Integer(n) => Value::Integer(n),
    ///     SqlValue::Text(text) => Value::Text(text),
    ///     SqlValue::Blob(bytes) => Value::Blob(bytes),
    ///     _ => Value::Null,
    /// });
    /// assert_eq!(driver.execute(event.insert_sql(), params)?, 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn insert_sql(&self) -> &'static str {
        match self.order {
            Order::Entity => INSERT_BY_ENTITY,
            Order::User => INSERT_BY_USER,
            Order::None => INSERT_UNORDERED,
        }
    }

    /// The values of [`insert_sql`](Self::insert_sql)'s parameters, in order. The time of enqueueing is now, on the
    /// machine's clock.
    ///
    /// # Errors
    ///
    /// [`EnqueueError::Invalid`] where the event breaks a rule of the row.
    pub fn params(&self) -> Result<[SqlValue; 14], EnqueueError> {
        self.validate()?;
        let now = SystemClock.now();
        let due = clock::after(now, self.delay);
        Ok(self.values(now, due).map(|value| match value {
            ValueRef::Integer(number) => SqlValue::Integer(number),
            ValueRef::Text(text) => SqlValue::Text(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Blob(bytes) => SqlValue::Blob(bytes.to_vec()),
            // No column of an event is a float.
            ValueRef::Null | ValueRef::Real(_) => SqlValue::Null,
        }))
    }

    pub(super) fn values(&self, now: DateTime<Utc>, due: DateTime<Utc>) -> [ValueRef<'_>; 14] {
        let metadata = self.metadata.as_ref();
        let lane = (self.order != Order::Entity).then_some(self.order.as_str());
        let on_dead = (self.on_dead != OnDead::Hold).then_some(self.on_dead.as_str());
        let word = |word: Option<&'static str>| word.map_or(ValueRef::Null, ValueRef::from);
        [
            entity_value(&self.entity_id),
            ValueRef::Text(self.user_id.as_bytes()),
            ValueRef::Blob(self.id.as_bytes()),
            ValueRef::Text(self.event_type.as_bytes()),
            ValueRef::Text(self.operation.as_str().as_bytes()),
            ValueRef::Integer(self.priority.into()),
            ValueRef::Integer(now.timestamp_micros()),
            ValueRef::Integer(due.timestamp_micros()),
            ValueRef::Integer(self.max_attempts.into()),
            metadata.map_or(ValueRef::Null, |raw| ValueRef::Text(raw.as_bytes())),
            ValueRef::Integer(self.metadata_version.into()),
            word(lane),
            word(on_dead),
            self.destination
                .as_deref()
                .map_or(ValueRef::Null, ValueRef::from),
        ]
    }
}

/// Enqueues on `conn`, inside whatever transaction is open there.
pub(super) fn insert(
    conn: &Connection,
    clock: &dyn Clock,
    event: &NewEvent,
) -> Result<Enqueued, EnqueueError> {
    Inserter::new(conn, clock).insert(event)
}

/// Enqueues events inside whatever transaction is open there. After an error those before it are still written.
pub(super) fn insert_all(
    conn: &Connection,
    clock: &dyn Clock,
    events: impl Iterator<Item = Result<impl Borrow<NewEvent>, EnqueueError>>,
) -> Result<Vec<Enqueued>, EnqueueError> {
    let mut inserter = Inserter::new(conn, clock);
    let enqueued = events.enumerate().map(|(index, event)| {
        let enqueued = event.and_then(|event| inserter.insert(event.borrow()));
        enqueued.map_err(|error| error.at(index))
    });
    enqueued.collect()
}

/// Writes events on a connection, and keeps the statement from one to the next.
pub(super) struct Inserter<'c> {
    conn: &'c Connection,
    now: DateTime<Utc>,
    statement: Option<(&'static str, CachedStatement<'c>)>,
}

impl<'c> Inserter<'c> {
    pub(super) fn new(conn: &'c Connection, clock: &dyn Clock) -> Self {
        Self {
            conn,
            now: clock.now(),
            statement: None,
        }
    }

    pub(super) fn insert(&mut self, event: &NewEvent) -> Result<Enqueued, EnqueueError> {
        event.validate()?;
        let (conn, now) = (self.conn, self.now);
        let storage = |error| EnqueueError::from(fault_on("enqueue", conn, error));
        if event.coalesce == Coalesce::Latest
            && event.operation != Operation::Create
            && let Some(folded) = fold::fold(conn, now, event).map_err(storage)?
        {
            return Ok(folded);
        }
        let due = clock::after(now, event.delay);
        let values = event.values(now, due).map(ToSqlOutput::Borrowed);
        let written = self
            .statement(event.insert_sql())
            .and_then(|statement| statement.execute(params_from_iter(values)))
            .map_err(storage)?;
        if written == 1 {
            return Ok(Enqueued::New(event.id));
        }
        fold::known(conn, event).map_err(storage)?
    }

    fn statement(&mut self, sql: &'static str) -> rusqlite::Result<&mut CachedStatement<'c>> {
        let kept = self.statement.take().filter(|(kept, _)| *kept == sql);
        let statement = match kept {
            Some(kept) => kept,
            None => (sql, self.conn.prepare_cached(sql)?),
        };
        Ok(&mut self.statement.insert(statement).1)
    }
}

/// One event by its id.
pub(super) fn fetch(conn: &Connection, id: Uuid) -> rusqlite::Result<Option<OutboxEvent>> {
    conn.prepare_cached(select_events!("WHERE id = ?1"))?
        .query_row(params![id], |row| Ok(read(row)?.event))
        .optional()
}

/// [`OutboxRepository::create_event`](crate::OutboxRepository::create_event): the row that carries the event, as it now
/// stands.
pub(super) fn create(
    conn: &Connection,
    clock: &dyn Clock,
    event: &NewEvent,
) -> Result<OutboxEvent, EnqueueError> {
    let id = insert(conn, clock, event)?.carried_by();
    let storage = |error| fault_on("create_event", conn, error);
    fetch(conn, id).map_err(storage)?.ok_or_else(|| {
        StoreError::new(
            crate::error::StoreErrorKind::NotFound,
            "create_event",
            format!("event {id} is gone although it was just written; does a trigger delete it?"),
        )
        .into()
    })
}
