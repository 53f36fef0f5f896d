//! Records what became of events that a handler had: the one write of an attempt, and what it
//! unblocks.
//!
//! The functions of the kit decide on the status, the attempt count and the slot. This file reads
//! what they need, and [`Writing`] writes what they say.

use rusqlite::{CachedStatement, Connection, Row};

use super::alone;
use super::claims::OpenClaims;
use super::cleanup;
use super::codes::{Code, UNPLACED};
use super::companions::Companions;
use super::database::{Cells, OnConnection, at_once};
use super::elders;
use super::held::Claimed;
use super::history;
use super::lane::{First, Lane, Lanes, first_of_lane, lane_columns, unblock};
use super::outcome_writing::{COMPLETE, Writing};
use super::row::count_of;
use super::tally::Moves;
use super::waits;
use crate::claim::Lease;
use crate::entity::{OnDead, Order};
use crate::event::OutboxStatus;
use crate::outcome::{Cause, Disposition, Standing, Transition};
use crate::store::kit::{Class, Slot, Turn, crashed_attempt, past_attempt, slot_after};

/// What the row of an event with a handler tells about its outcome.
#[derive(Debug)]
pub(super) struct HeldRow {
    pub(super) seq: i64,
    pub(super) status: OutboxStatus,
    pub(super) attempts: u32,
    max_attempts: u32,
    crashes: u32,
    pub(super) lane: i64,
    pub(super) order: Order,
    on_dead: OnDead,
    /// Whether its lane has other events.
    pub(super) has_others: bool,
}

/// The columns that [`HeldRow::of`] takes.
macro_rules! held_row {
    () => {
        "seq, status, attempt_count, max_attempts, crashes, lane, lane_order, on_dead, \
         EXISTS (SELECT 1 FROM outbox_events AS other INDEXED BY outbox_lane \
             WHERE other.lane = outbox_events.lane AND other.seq <> outbox_events.seq)"
    };
}
pub(super) use held_row;

impl HeldRow {
    /// Reads the columns of `held_row!`. `None` if other SQL has finished the event.
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        Self::of(row)
    }

    /// Reads the columns of `held_row!` of a row of any driver. `None` if other SQL has finished
    /// the event.
    pub(super) fn of<R: Cells>(row: &R) -> Result<Option<Self>, R::Error> {
        // The columns accept nothing but integers.
        let integer = |at| {
            let value = row.cell(at)?;
            Ok::<i64, R::Error>(value.as_i64().unwrap_or_default())
        };
        let status = OutboxStatus::of(integer(1)?).unwrap_or(OutboxStatus::Dead);
        if !matches!(status, OutboxStatus::Pending | OutboxStatus::Failed) {
            return Ok(None);
        }
        Ok(Some(Self {
            seq: integer(0)?,
            status,
            attempts: count_of(integer(2)?),
            max_attempts: count_of(integer(3)?),
            crashes: count_of(integer(4)?),
            lane: integer(5)?,
            order: Order::of(integer(6)?).unwrap_or_default(),
            on_dead: OnDead::of(integer(7)?).unwrap_or_default(),
            has_others: integer(8)? != 0,
        }))
    }

    /// The standing of the event while its handler has it.
    pub(super) fn standing(&self) -> Standing {
        Standing {
            status: OutboxStatus::Processing,
            attempt_count: self.attempts.saturating_add(1),
            max_attempts: self.max_attempts,
            crashes: self.crashes,
            was_claimed: true,
        }
    }
}

/// Whether any event may wait for an event of another lane.
#[derive(Debug, Clone, Copy)]
struct Others {
    /// Some have elders or juniors.
    have_kin: bool,
    /// Some wait for a parent.
    wait: bool,
}

impl Others {
    fn read(conn: &Connection) -> rusqlite::Result<Self> {
        conn.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM outbox_events INDEXED BY outbox_reordered WHERE entity_lane IS NOT NULL),
                 EXISTS (SELECT 1 FROM outbox_waits WHERE creation > 0)",
        )?
        .query_row([], |row| {
            Ok(Self {
                have_kin: row.get(0)?,
                wait: row.get(1)?,
            })
        })
    }
}

/// Writes outcomes, and reuses the statements from one to the next.
pub(super) struct Outcomes<'c> {
    conn: &'c Connection,
    pub(super) now: i64,
    pub(super) claims: OpenClaims,
    moves: Moves,
    complete: CachedStatement<'c>,
    first: CachedStatement<'c>,
    alone: CachedStatement<'c>,
    /// Whether the history of an event has its delivery.
    pub(super) keeps_deliveries: bool,
    /// What may wait for an event of another lane.
    others: Option<Others>,
    companions: Companions,
    /// Delivered events that are not kept.
    removed: Vec<i64>,
    /// Whether another event became claimable.
    pub(super) wakes: bool,
}

impl<'c> Outcomes<'c> {
    pub(super) fn new(conn: &'c Connection, now: i64) -> rusqlite::Result<Self> {
        Ok(Self {
            conn,
            now,
            claims: OpenClaims::default(),
            moves: Moves::default(),
            complete: conn.prepare_cached(COMPLETE)?,
            first: first_of_lane(conn)?,
            alone: alone::statement(conn)?,
            keeps_deliveries: false,
            others: None,
            companions: Companions::default(),
            removed: Vec::new(),
            wakes: false,
        })
    }

    /// Writes the claims and counts that changed, and deletes what is not kept. Until then, the
    /// claims in the database still list the events that ended.
    pub(super) fn finish(mut self) -> rusqlite::Result<bool> {
        self.claims.write(self.conn)?;
        self.moves.write(self.conn, self.now)?;
        cleanup::delete_delivered(self.conn, &self.removed)?;
        Ok(self.wakes)
    }

    /// Writes the outcome of an event that was [delivered alone](alone), in one statement. Writes
    /// nothing, and returns `false`, for any other.
    pub(super) fn complete_alone(
        &mut self,
        lease: &Lease,
        claim: &Claimed,
        disposition: &Disposition,
    ) -> rusqlite::Result<bool> {
        let is_kept = match disposition {
            Disposition::Complete => true,
            Disposition::Remove => false,
            _ => return Ok(false),
        };
        let others = self.others()?;
        if others.have_kin
            || others.wait
            || !alone::complete(&mut self.alone, lease, claim, self.now)?
        {
            return Ok(false);
        }
        self.claims.release(self.conn, claim, lease.seq)?;
        self.moves.note(lease.seq, Class::Fresh, Class::Completed);
        if self.keeps_deliveries && is_kept {
            self.remember(lease.seq, claim, disposition)?;
        }
        if !is_kept {
            self.removed.push(lease.seq);
        }
        Ok(true)
    }

    /// Writes the outcome that a handler reported.
    pub(super) fn settle(
        &mut self,
        row: &HeldRow,
        claim: &Claimed,
        disposition: &Disposition,
    ) -> rusqlite::Result<Option<OutboxStatus>> {
        let due = match disposition {
            Disposition::Fail {
                next_attempt_at, ..
            }
            | Disposition::Defer {
                next_attempt_at, ..
            }
            | Disposition::Snooze { next_attempt_at } => Some(*next_attempt_at),
            Disposition::GiveBack {
                next_attempt_at, ..
            } => *next_attempt_at,
            Disposition::Complete
            | Disposition::Remove
            | Disposition::Drop
            | Disposition::Bury { .. } => None,
        };
        let due = due.map(|due| due.timestamp_micros());
        let on_dead = disposition.on_dead(row.on_dead);
        let written = self.write(row, claim, disposition.cause(), (due, on_dead), |writing| {
            writing.disposition(disposition)
        })?;
        if written.is_some() {
            self.remember(row.seq, claim, disposition)?;
            if !disposition.keeps_the_event() {
                self.removed.push(row.seq);
            }
        }
        Ok(written)
    }

    /// Adds the attempt to the history of its event, if it is kept.
    fn remember(
        &self,
        seq: i64,
        claim: &Claimed,
        disposition: &Disposition,
    ) -> rusqlite::Result<()> {
        let (began, ended) = (history::time(claim.claimed_at), history::time(self.now));
        match past_attempt(disposition, began, ended, self.keeps_deliveries) {
            Some(attempt) => history::add(self.conn, seq, &attempt),
            None => Ok(()),
        }
    }

    /// Writes that the process of the handler died or stalled.
    #[allow(
        clippy::redundant_closure_for_method_calls,
        reason = "as a path, the method is one for a single lifetime"
    )]
    pub(super) fn rescue(
        &mut self,
        row: &HeldRow,
        claim: &Claimed,
    ) -> rusqlite::Result<Option<OutboxStatus>> {
        let kept = (None, row.on_dead);
        let written = self.write(row, claim, Cause::Rescue, kept, |writing| writing.crash())?;
        if written.is_some() {
            let (began, ended) = (history::time(claim.claimed_at), history::time(self.now));
            history::add(self.conn, row.seq, &crashed_attempt(began, ended))?;
        }
        Ok(written)
    }

    fn write(
        &mut self,
        row: &HeldRow,
        claim: &Claimed,
        cause: Cause,
        (due, on_dead): (Option<i64>, OnDead),
        write: impl FnOnce(&mut Writing<'_, '_>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<Option<OutboxStatus>> {
        let standing = row.standing();
        let transition = Transition::from(standing, cause);
        let Some((transition, status)) = transition.and_then(|row| Some((row, row.to?))) else {
            // The table of transitions has one for each cause.
            return Ok(None);
        };
        let is_out = slot_after(status, on_dead, Turn::Now).is_none();
        let mut first = None;
        let mut turn = Turn::Now;
        if !is_out && status != OutboxStatus::Dead {
            first = self.first(row)?;
            turn = self.turn(row, claim, first, due)?;
        }
        let slot = slot_after(status, on_dead, turn);
        let slot = match (row.lane, slot) {
            (UNPLACED, Some(Slot::Ready | Slot::Waiting | Slot::Blocked)) => Some(UNPLACED),
            (_, slot) => slot.map(Slot::code),
        };
        self.claims.release(self.conn, claim, row.seq)?;
        write(&mut Writing {
            conn: self.conn,
            complete: &mut self.complete,
            order: row.order,
            now: self.now,
            seq: row.seq,
            status,
            slot,
            attempts: transition.attempts.after(standing.attempt_count),
            claimed_at: claim.claimed_at,
            due,
        })?;
        let class = |status| Class::of(status, row.attempts);
        self.moves.note(row.seq, class(row.status), class(status));
        if (is_out || status == OutboxStatus::Dead) && self.others()?.wait {
            self.free_children(row.seq, status)?;
        }
        if is_out || status == OutboxStatus::Dead {
            // A dead event keeps its place, but an event before it may have been retried meanwhile.
            self.unblock_next(row, claim, is_out)?;
        } else {
            self.wakes = true;
            if let (Turn::Behind, Some(first)) = (turn, first)
                && first.is_blocked
                && first.seq != row.seq
                && !self.has_companions(row, claim)?
            {
                unblock(self.conn, first.seq, self.now)?;
            }
        }
        Ok(Some(status))
    }

    /// The first event of the lane, unless the event is alone there.
    fn first(&mut self, row: &HeldRow) -> rusqlite::Result<Option<First>> {
        if !row.has_others {
            return Ok(None);
        }
        First::by(&mut self.first, row.lane)
    }

    /// What an event that goes back in line waits for. An event of its lane that was retried
    /// meanwhile goes first, if it was enqueued earlier.
    fn turn(
        &mut self,
        row: &HeldRow,
        claim: &Claimed,
        first: Option<First>,
        due: Option<i64>,
    ) -> rusqlite::Result<Turn> {
        let is_behind = row.order != Order::None
            && (first.is_some_and(|first| first.seq < row.seq)
                || self.has_companions(row, claim)?);
        let may_have_elders = row.lane != UNPLACED && self.may_have_kin(row)?;
        Ok(
            if is_behind || (may_have_elders && elders::has_elders_of(self.conn, row.seq)?) {
                Turn::Behind
            } else if due.is_some_and(|due| due > self.now) {
                Turn::Later
            } else {
                Turn::Now
            },
        )
    }

    /// Whether the handler has other events of the lane as well, as in a batch that keeps the order
    /// of its lanes. The lane goes on when it has none of them any more.
    fn has_companions(&mut self, row: &HeldRow, claim: &Claimed) -> rusqlite::Result<bool> {
        if !row.has_others || row.lane == UNPLACED {
            return Ok(false);
        }
        let event = (row.seq, row.lane);
        self.companions
            .has(self.conn, &mut self.claims, claim.token, event)
    }

    fn may_have_kin(&mut self, row: &HeldRow) -> rusqlite::Result<bool> {
        Ok(row.order != Order::Entity || self.others()?.have_kin)
    }

    fn others(&mut self) -> rusqlite::Result<Others> {
        if let Some(others) = self.others {
            return Ok(others);
        }
        Ok(*self.others.insert(Others::read(self.conn)?))
    }

    /// Frees the events that wait for an event that has ended. Where it is dead, a trigger has
    /// decided which of them go on.
    fn free_children(&mut self, seq: i64, status: OutboxStatus) -> rusqlite::Result<()> {
        // So that the lanes are seen without the events that ended.
        self.claims.write(self.conn)?;
        self.wakes |=
            status == OutboxStatus::Dead || at_once(waits::free(&OnConnection(self.conn), seq))?;
        Ok(())
    }

    fn unblock_next(
        &mut self,
        row: &HeldRow,
        claim: &Claimed,
        is_out: bool,
    ) -> rusqlite::Result<()> {
        // The companions of an event are parked, so only one that was enqueued earlier and became
        // open again can be blocked before them.
        if let Some(next) = self.first(row)?
            && next.is_blocked
            && (next.seq > row.seq || !self.has_companions(row, claim)?)
        {
            self.wakes |= unblock(self.conn, next.seq, self.now)?;
        }
        if is_out && row.lane != UNPLACED && self.may_have_kin(row)? {
            // So that the lanes are seen without the events that ended.
            self.claims.write(self.conn)?;
            let mut lanes = Lanes::new(self.conn, self.now)?;
            let mut lane = self.conn.prepare_cached(concat!(
                "SELECT ",
                lane_columns!(),
                " FROM outbox_events WHERE seq = ?1"
            ))?;
            self.wakes |= lane.query_row([row.seq], |row| {
                lanes.unblock_juniors(&Lane::of(lanes.key, row, 0)?)
            })?;
        }
        Ok(())
    }
}
