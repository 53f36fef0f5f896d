//! A claim in progress: reads the indexes of ready events, and steps over those that handlers have.

use rusqlite::{CachedStatement, Connection, StatementStatus, ToSql, params_from_iter};

use super::filter::Filter;
use super::held::Held;
use super::listed::List;
use super::row::{ReadRow, claimed_columns, read_ready};
use super::user_index;
use crate::store::kit::Load;

/// A claim in progress: it collects rows, and writes nothing that it reads.
pub(super) struct Claiming<'c> {
    pub(super) conn: &'c Connection,
    pub(super) held: Held,
    /// The events that handlers have, and those in `rows`.
    pub(super) taken: List,
    /// Places that are still free.
    pub(super) left: usize,
    pub(super) load: Load,
    pub(super) rows: Vec<ReadRow>,
    row: CachedStatement<'c>,
}

/// How an index was read.
#[derive(Debug)]
pub(super) struct Stepped {
    pub(super) found: usize,
    /// What SQLite did for it.
    steps: usize,
}

impl Stepped {
    /// Whether many events were in the way.
    pub(super) fn is_long(&self) -> bool {
        self.steps > STEPS_PER_CLAIM + self.found * STEPS_PER_EVENT
    }
}

impl<'c> Claiming<'c> {
    pub(super) fn new(conn: &'c Connection, held: Held, places: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            conn,
            taken: List::of(held.seqs()),
            held,
            left: places,
            load: Load::new(),
            rows: Vec::new(),
            row: conn.prepare_cached(concat!(
                "SELECT ",
                claimed_columns!(),
                " FROM outbox_events WHERE seq = ?1"
            ))?,
        })
    }

    /// Takes the first rows in an order, up to `places`, through the index that fits the request.
    pub(super) fn in_order(
        &mut self,
        filter: &Filter<'_>,
        order: fn(&Filter<'_>, &str) -> String,
        places: usize,
    ) -> rusqlite::Result<Stepped> {
        if !filter.is_of_one_user() {
            return self.step(filter, &order(filter, READY), places);
        }
        match self.step(filter, &order(filter, READY_USER), places) {
            Err(error) if user_index::is_missing(&error) => {}
            stepped => return stepped,
        }
        let stepped = self.step(filter, &order(filter, READY), places)?;
        if stepped.is_long() {
            // Others' events were in the way.
            user_index::create(self.conn)?;
        }
        Ok(stepped)
    }

    /// Takes the rows that this statement finds, up to `places`.
    fn step(&mut self, filter: &Filter<'_>, sql: &str, places: usize) -> rusqlite::Result<Stepped> {
        let mut found = 0;
        if places == 0 || self.load.is_full() {
            return Ok(Stepped { found, steps: 0 });
        }
        let mut statement = self.conn.prepare_cached(sql)?;
        let taken = self.taken.value();
        let values = filter.values().chain([&taken as &dyn ToSql]);
        let mut rows = statement.query(params_from_iter(values))?;
        while found < places
            && !self.load.is_full()
            && let Some(row) = rows.next()?
        {
            self.take(read_ready(row)?);
            found += 1;
        }
        drop(rows);
        let steps = statement.reset_status(StatementStatus::VmStep);
        Ok(Stepped {
            found,
            steps: usize::try_from(steps).unwrap_or(0),
        })
    }

    /// Whether the claim has as much metadata as it may.
    pub(super) fn is_full(&self) -> bool {
        self.load.is_full()
    }

    /// Reads an event.
    pub(super) fn read(&mut self, seq: i64) -> rusqlite::Result<ReadRow> {
        self.row.query_row([seq], read_ready)
    }

    /// Takes an event that was read.
    pub(super) fn take(&mut self, row: ReadRow) {
        self.load.add(&row.event);
        self.taken.insert(row.event.seq);
        self.left = self.left.saturating_sub(1);
        self.rows.push(row);
    }

    pub(super) fn found(&mut self, seq: i64) -> rusqlite::Result<()> {
        let row = self.read(seq)?;
        self.take(row);
        Ok(())
    }
}

/// What a claim costs without other events in the way, with a large margin, in steps of SQLite's
/// machine: some sixty steps per event, and a dozen per event that is in the way.
const STEPS_PER_CLAIM: usize = 2_000;
const STEPS_PER_EVENT: usize = 120;

/// The index of all ready events, and that of ready events by user.
pub(super) const READY: &str = "outbox_ready";
pub(super) const READY_USER: &str = "outbox_ready_user";
