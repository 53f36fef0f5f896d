//! Several events in one statement, on the writer's own connection.
//!
//! Much of what an insert costs, SQLite does once per statement and index: it opens a cursor and
//! descends from the root. Within a statement the cursors stay where they are, so entries that
//! follow each other in an index, as ids and due times of a batch do, need no further look-up.
//!
//! A statement cannot look into the table that it writes without a temporary copy of its rows. So
//! what a single insert asks for itself is asked before: which lanes have an open event, and
//! whether any id was folded or any event has elders. Events for which the answers would depend on
//! each other are [inserted](super::insert) one by one.
//!
//! On the application's connections all events are. A statement with several rows keeps the pages
//! that it changes for a rollback, because a constraint calls a function, which may fail; with
//! SQLite's default settings these pages go to a file.

use std::borrow::Borrow;
use std::fmt::Write as _;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, params, params_from_iter};

use super::database::{OnConnection, at_once};
use super::fold;
use super::lane_key::lane_key;
use super::statement::insert_values;
use crate::clock;
use crate::enqueue::{Enqueued, NewEvent};
use crate::entity::{EntityId, Order};
use crate::error::EnqueueError;
use crate::store::kit::LaneKey;

/// The number of events in a statement. More make an event hardly cheaper, and leave more at the
/// end of a batch that are inserted one by one.
pub(super) const ROWS: usize = 25;

/// The number of values that all events of a statement share, which come first.
const SHARED: usize = 9;

/// The number of values that each event has for itself. The last is the trace context, because
/// events that share a commit come from different requests; most events have none, and then no
/// statement names it.
const OWN: usize = 7;
const OWN_UNTRACED: usize = OWN - 1;

/// Writes [`ROWS`] events at a time.
pub(super) struct Rows<'c> {
    conn: &'c Connection,
    now: DateTime<Utc>,
    key: LaneKey,
    before: CachedStatement<'c>,
    busy: CachedStatement<'c>,
    insert_untraced: CachedStatement<'c>,
}

impl<'c> Rows<'c> {
    /// The transaction that is open on `conn` must have the write lock: anything read before could
    /// be outdated.
    pub(super) fn new(conn: &'c Connection, now: DateTime<Utc>) -> rusqlite::Result<Self> {
        Ok(Self {
            conn,
            now,
            key: lane_key(conn)?,
            before: conn.prepare_cached(BEFORE)?,
            busy: conn.prepare_cached(&BUSY)?,
            insert_untraced: conn.prepare_cached(&INSERT_UNTRACED)?,
        })
    }

    /// Writes all of these events and returns their answers, or writes nothing and returns `None`.
    pub(super) fn insert<E: Borrow<NewEvent>>(
        &mut self,
        events: &[E],
    ) -> rusqlite::Result<Option<Vec<Result<Enqueued, EnqueueError>>>> {
        let mut buffers = [[0; EntityId::LONGEST_TEXT]; ROWS];
        let rows = events.iter().map(Borrow::borrow).zip(&mut buffers);
        let rows = rows.map(|(event, buffer)| Row::of(self.key, event, buffer, self.now));
        let Some(rows) = rows.collect::<Option<Vec<Row<'_>>>>() else {
            return Ok(None);
        };
        let Some(shared) = shared_by(&rows) else {
            return Ok(None);
        };
        let Some(last) = self.last_before(&rows)? else {
            return Ok(None);
        };
        let is_busy = self.busy_lanes(&rows)?;
        let are_traced = rows.iter().any(|row| row.trace_context != ValueRef::Null);
        let own = if are_traced { OWN } else { OWN_UNTRACED };
        let values = rows.iter().zip(is_busy);
        let values = values.flat_map(|row| Row::values(row).into_iter().take(own));
        let values = shared.into_iter().chain(values).map(ToSqlOutput::Borrowed);
        let values = params_from_iter(values);
        let written = match are_traced {
            true => self.conn.prepare_cached(&INSERT)?.execute(values)?,
            false => self.insert_untraced.execute(values)?,
        };
        if written == rows.len() {
            let answers = rows.iter().map(|row| Ok(Enqueued::New(row.event.id)));
            return Ok(Some(answers.collect()));
        }
        self.answers(&rows, last).map(Some)
    }

    /// The highest `seq` in use. `None` if one of the events was folded into another, or may have
    /// elders.
    fn last_before(&mut self, rows: &[Row<'_>]) -> rusqlite::Result<Option<i64>> {
        let (last, any_folded, any_elders) = self.before.query_row([], |row| {
            let last: Option<i64> = row.get(0)?;
            Ok((last.unwrap_or(0), row.get(1)?, row.get(2)?))
        })?;
        // Near the highest `seq` of all, SQLite chooses numbers at random.
        if any_elders || last > i64::MAX - ROWS as i64 {
            return Ok(None);
        }
        if any_folded {
            let ids = rows.iter().map(|row| ToSqlOutput::Borrowed(row.id));
            let mut folded = self.conn.prepare_cached(&FOLDED)?;
            if folded.exists(params_from_iter(ids))? {
                return Ok(None);
            }
        }
        Ok(Some(last))
    }

    /// Which of these lanes have an open event.
    fn busy_lanes(&mut self, rows: &[Row<'_>]) -> rusqlite::Result<[bool; ROWS]> {
        let mut is_busy = [false; ROWS];
        let lanes = params_from_iter(rows.iter().map(|row| row.lane));
        let mut busy = self.busy.query(lanes)?;
        while let Some(found) = busy.next()? {
            let lane: i64 = found.get(0)?;
            for (row, is_busy) in rows.iter().zip(&mut is_busy) {
                *is_busy |= row.lane == lane;
            }
        }
        Ok(is_busy)
    }

    /// The answers where some ids were known: those of other rows, or of an earlier event here.
    fn answers(
        &self,
        rows: &[Row<'_>],
        last: i64,
    ) -> rusqlite::Result<Vec<Result<Enqueued, EnqueueError>>> {
        let mut is_new = self
            .conn
            .prepare_cached("SELECT 1 FROM outbox_events WHERE id = ?1 AND seq > ?2")?;
        let answers = rows.iter().enumerate().map(|(index, row)| {
            let is_first = !rows[..index].iter().any(|before| before.id == row.id);
            if is_first && is_new.exists(params![row.event.id, last])? {
                return Ok(Ok(Enqueued::New(row.event.id)));
            }
            at_once(fold::known(&OnConnection(self.conn), row.event))
        });
        answers.collect()
    }
}

/// An event, and the values of its row.
struct Row<'e> {
    event: &'e NewEvent,
    shared: [ValueRef<'e>; SHARED],
    entity_id: ValueRef<'e>,
    user_id: ValueRef<'e>,
    id: ValueRef<'e>,
    metadata: ValueRef<'e>,
    trace_context: ValueRef<'e>,
    lane: i64,
    is_due: bool,
}

impl<'e> Row<'e> {
    /// `None` if the event is to be inserted alone.
    fn of(
        key: LaneKey,
        event: &'e NewEvent,
        buffer: &'e mut [u8; EntityId::LONGEST_TEXT],
        now: DateTime<Utc>,
    ) -> Option<Self> {
        if event.may_fold()
            || event.is_special()
            || !event.headers().is_empty()
            || event.order != Order::Entity
            || event.validate().is_err()
        {
            return None;
        }
        let due = clock::after(now, event.delay);
        let text = event.entity_id.write_text(buffer);
        let [
            entity_id,
            user_id,
            id,
            event_type,
            operation,
            priority,
            created_at,
            next_attempt_at,
            max_attempts,
            metadata,
            metadata_version,
            _,
            on_dead,
            destination,
            trace_context,
        ] = insert_values(event, text, now, due);
        Some(Self {
            event,
            shared: [
                event_type,
                operation,
                priority,
                created_at,
                next_attempt_at,
                max_attempts,
                metadata_version,
                on_dead,
                destination,
            ],
            entity_id,
            user_id,
            id,
            metadata,
            trace_context,
            lane: key.lane(event.order, event.user_id.as_bytes(), text.as_bytes()),
            is_due: due <= now,
        })
    }

    /// The values that the row has for itself.
    fn values((row, is_busy): (&Self, bool)) -> [ValueRef<'e>; OWN] {
        let slot = match (is_busy, row.is_due) {
            (true, _) => 3,
            (false, false) => 2,
            (false, true) => 1,
        };
        [
            row.entity_id,
            row.user_id,
            row.id,
            row.metadata,
            ValueRef::Integer(row.lane),
            ValueRef::Integer(slot),
            row.trace_context,
        ]
    }
}

/// The values that all rows share, if they do and no two are in one lane: whether the second is
/// blocked would depend on whether the first is written.
fn shared_by<'e>(rows: &[Row<'e>]) -> Option<[ValueRef<'e>; SHARED]> {
    let shared = rows.first()?.shared;
    let are_apart = rows.iter().enumerate().all(|(index, row)| {
        row.shared == shared && !rows[..index].iter().any(|before| before.lane == row.lane)
    });
    (rows.len() == ROWS && are_apart).then_some(shared)
}

/// Asked before each statement, because events may have been inserted alone since the last one.
const BEFORE: &str = "SELECT (SELECT max(seq) FROM outbox_events), EXISTS (SELECT 1 FROM outbox_folded),
     EXISTS (SELECT 1 FROM outbox_events INDEXED BY outbox_reordered WHERE entity_lane IS NOT NULL)";

/// The lanes among the parameters that have an open event.
static BUSY: LazyLock<String> = LazyLock::new(|| {
    among_parameters(
        "SELECT given FROM given CROSS JOIN outbox_events INDEXED BY outbox_lane WHERE lane = given",
    )
});

/// Finds a row if one of the parameters is the id of a folded event.
static FOLDED: LazyLock<String> = LazyLock::new(|| {
    among_parameters("SELECT 1 FROM given CROSS JOIN outbox_folded WHERE id = given")
});

fn among_parameters(select: &str) -> String {
    let given: Vec<String> = (1..=ROWS).map(|number| format!("(?{number})")).collect();
    format!(
        "WITH given (given) AS (VALUES {}) {select}",
        given.join(",")
    )
}

/// An existing id is ignored. So is a violated constraint, but those that do not concern ids are
/// checked before.
static INSERT: LazyLock<String> = LazyLock::new(|| insert_of(OWN));

/// The same, of events without trace contexts.
static INSERT_UNTRACED: LazyLock<String> = LazyLock::new(|| insert_of(OWN_UNTRACED));

/// The insert of rows with the first of the values of their own.
fn insert_of(own: usize) -> String {
    const NAMES: [&str; OWN] = [
        "entity_id",
        "user_id",
        "id",
        "metadata",
        "lane",
        "slot",
        "trace_context",
    ];
    let names = NAMES[..own].join(", ");
    let mut sql = format!(
        "INSERT OR IGNORE INTO outbox_events
    (event_type, operation, priority, created_at, next_attempt_at, max_attempts, metadata_version, on_dead, destination,
     {names})
VALUES "
    );
    for row in 0..ROWS {
        let comma = if row == 0 { "" } else { ",\n" };
        let first = SHARED + own * row + 1;
        let values: Vec<String> = (first..first + own).map(|at| format!("?{at}")).collect();
        // Writing to a string cannot fail.
        let _ = write!(
            sql,
            "{comma}(?1,?2,?3,?4,?5,?6,?7,?8,?9,{})",
            values.join(",")
        );
    }
    sql
}
