//! The statement that enqueues, and its values: for the store itself, and for drivers unknown to
//! this library.

use chrono::{DateTime, Utc};
use rusqlite::types::ValueRef;

use super::codes::Code;
use super::lane::Lane;
use super::value::SqlValue;
use crate::clock::{Clock, SystemClock};
use crate::enqueue::NewEvent;
use crate::entity::{EntityId, Order};
use crate::error::EnqueueError;
use crate::store::kit::{LaneKey, stored_parents};

/// The number of parameters of the statement for other drivers.
const PARAMS: usize = 15;

/// Writes one event. This is one statement, so it is right on any connection and inside any
/// transaction: the writer holds the database's only write lock.
///
/// An existing id is ignored. So is an id that was folded into another event: its status becomes
/// NULL, which the table rejects. `OR IGNORE` would also ignore a violated constraint, and the
/// event would be lost silently; all of them but the two about ids are checked before. `INSERT ..
/// SELECT .. WHERE NOT EXISTS` would make SQLite use a temporary table.
macro_rules! insert {
    ($columns:literal, $($values:expr),+) => {
        concat!(
            "\
INSERT OR IGNORE INTO outbox_events
    (entity_id, user_id, id, event_type, operation, priority, created_at, next_attempt_at, max_attempts,
     metadata, metadata_version, lane_order, on_dead, destination, trace_context",
            $columns,
            ", status)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15",
            $($values,)+
            ", CASE WHEN EXISTS (SELECT 1 FROM outbox_folded WHERE id = ?3) THEN NULL ELSE 0 END)"
        )
    };
}

/// Whether an event that is being enqueued waits behind another: one of its lane `?16`, or an
/// elder.
macro_rules! new_is_behind {
    () => {
        concat!(
            // Usually no index has an entry, and then no row is looked at.
            "?12 < 2 AND EXISTS (SELECT 1 FROM outbox_events INDEXED BY outbox_lane WHERE lane = ?16)
                OR (?12 > 0 OR EXISTS (SELECT 1 FROM outbox_events INDEXED BY outbox_reordered WHERE entity_lane = ?17)) AND ",
            $crate::store::sqlite::elders::has_elders!(
                "?17",
                "?12",
                "elder.event_type = ?4 AND elder.user_id = ?2 AND elder.entity_id = ?1"
            )
        )
    };
}
pub(super) use new_is_behind;

/// The statement for a program that knows the key of the lanes, with its values and those of
/// [`lane_values`]. Decides the event's place.
pub(super) const INSERT: &str = insert!(
    ", lane, entity_lane, slot",
    ", ?16, CASE WHEN ?12 > 0 THEN ?17 END, CASE WHEN ",
    new_is_behind!(),
    " THEN 3 WHEN ?8 > ?7 THEN 2 ELSE 1 END"
);

/// The same, for an event with headers. Others do not pay for the column.
pub(super) const INSERT_HEADED: &str = insert!(
    ", headers, lane, entity_lane, slot",
    ", ?18, ?16, CASE WHEN ?12 > 0 THEN ?17 END, CASE WHEN ",
    new_is_behind!(),
    " THEN 3 WHEN ?8 > ?7 THEN 2 ELSE 1 END"
);

/// The statement for a program that does not. The next claim decides the event's place.
const INSERT_UNPLACED: &str = insert!(", lane, slot", ", 0, 0");

/// The same, for an event that expires or has headers or parents.
const INSERT_SPECIAL: &str = insert!(
    ", expires_at, headers, parents, lane, slot",
    ", ?16, ?17, ?18, 0, 0"
);

/// The values of the first parameters, in order. `entity_id` is the text of the event's.
pub(super) fn insert_values<'e>(
    event: &'e NewEvent,
    entity_id: &'e str,
    now: DateTime<Utc>,
    due: DateTime<Utc>,
) -> [ValueRef<'e>; PARAMS] {
    let metadata = event.metadata.as_ref();
    [
        ValueRef::Text(entity_id.as_bytes()),
        ValueRef::Text(event.user_id.as_bytes()),
        ValueRef::Blob(event.id.as_bytes()),
        ValueRef::Text(event.event_type.as_bytes()),
        ValueRef::Integer(event.operation.code()),
        ValueRef::Integer(event.priority.into()),
        ValueRef::Integer(now.timestamp_micros()),
        ValueRef::Integer(due.timestamp_micros()),
        ValueRef::Integer(event.max_attempts.into()),
        metadata.map_or(ValueRef::Null, |raw| ValueRef::Text(raw.as_bytes())),
        ValueRef::Integer(event.metadata_version.into()),
        ValueRef::Integer(event.order.code()),
        ValueRef::Integer(event.on_dead.code()),
        event
            .destination
            .as_deref()
            .map_or(ValueRef::Null, ValueRef::from),
        event
            .trace_context
            .as_ref()
            .map_or(ValueRef::Null, |context| {
                ValueRef::from(context.as_stored())
            }),
    ]
}

/// The values of the parameters `?16` and `?17`: the numbers of the event's lane, and of its
/// entity's.
pub(super) fn lane_values(
    key: LaneKey,
    order: Order,
    values: &[ValueRef<'_>; PARAMS],
) -> [ValueRef<'static>; 2] {
    let [entity_id, user_id, _, event_type, ..] = *values;
    let lane = Lane::new(key, order, [user_id, entity_id, event_type]);
    [lane.number, lane.entity_number].map(ValueRef::Integer)
}

/// The SQLite statement that enqueues one event, and its values: the least that a driver unknown to
/// this library can run. [`SqliteStep`](super::SqliteStep) has all that enqueueing does elsewhere.
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
/// For the same reason an event with a [key](crate::Enqueue::key) is refused.
///
/// Nor does it find the event's place in its lane: the number of a lane depends on a secret of the
/// database, which this type does not know. The next claim does that before it takes anything, so
/// the order of delivery is the same; it costs the claim about as much as an insert, once per
/// event.
///
/// The guide: [other languages](https://docs.rs/outbox-guide/latest/outbox_guide/other_languages/).
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
    params: Vec<SqlValue>,
}

impl SqliteInsert {
    /// Builds the statement for this event. The time of enqueueing is the current time of the
    /// machine's clock.
    ///
    /// # Errors
    ///
    /// [`EnqueueError::Invalid`] if the event breaks a rule of the row, or has a
    /// [key](crate::Enqueue::key): one statement cannot replace another event.
    pub fn new(event: &NewEvent) -> Result<Self, EnqueueError> {
        event.validate()?;
        if event.key().is_some() {
            return Err(EnqueueError::Invalid {
                event_type: event.event_type.to_string(),
                field: "key",
                reason:
                    "needs more than the one statement that this driver runs; enqueue the event \
                         on the store or on a connection of rusqlite, or without a key"
                        .to_owned(),
            });
        }
        let now = SystemClock.now();
        let due = event.due(now);
        let mut buffer = [0; EntityId::LONGEST_TEXT];
        let entity_id = event.entity_id.write_text(&mut buffer);
        let values = insert_values(event, entity_id, now, due).into_iter();
        let mut insert = Self {
            sql: INSERT_UNPLACED,
            params: values.map(SqlValue::from).collect(),
        };
        let expires_at = event.expiry().map(|expiry| expiry.of(now));
        let headers = event.headers().to_stored();
        let parents = stored_parents(event.parents());
        if expires_at.is_some() || headers.is_some() || parents.is_some() {
            let expires_at = expires_at.map(|at| at.timestamp_micros());
            insert.params.extend([
                expires_at.map_or(SqlValue::Null, SqlValue::Integer),
                headers.map_or(SqlValue::Null, SqlValue::Text),
                parents.map_or(SqlValue::Null, SqlValue::Text),
            ]);
            insert.sql = INSERT_SPECIAL;
        }
        Ok(insert)
    }

    /// The statement, with numbered parameters `?1` to `?15`, and up to `?18` for an event that
    /// expires or has headers or parents. It is the same for all events of either kind, so a driver
    /// that caches prepared statements by text prepares it once.
    #[must_use]
    pub fn sql(&self) -> &'static str {
        self.sql
    }

    /// The values of the parameters, in order.
    #[must_use]
    pub fn params(&self) -> &[SqlValue] {
        &self.params
    }

    /// The values of the parameters, in order, by value.
    #[must_use]
    pub fn into_params(self) -> Vec<SqlValue> {
        self.params
    }
}
