//! The statements that write what became of an event that a handler had, once
//! [`Outcomes`](super::outcomes::Outcomes) has decided it.

use rusqlite::{CachedStatement, Connection, ToSql, params};

use super::bury;
use super::codes::Code;
use super::row::one_more;
use crate::entity::Order;
use crate::event::{DeadReason, OutboxStatus, Refusal};
use crate::outcome::{Disposition, LEASE_EXPIRED};

/// Completes the event `?1`, which was attempted `?2` times, the last time at `?3`, at `?4`.
pub(super) const COMPLETE: &str = "UPDATE outbox_events
     SET status = 2, slot = NULL, lane = NULL, attempt_count = ?2, last_attempt_at = ?3, completed_at = ?4,
         error_message = NULL, crashes = 0
     WHERE seq = ?1";

/// Takes the event `?1`, whose order is another than `entity`, out of the index of elders.
pub(super) const LEAVE_ENTITY: &str = "UPDATE outbox_events SET entity_lane = NULL WHERE seq = ?1";

/// The write of one outcome.
pub(super) struct Writing<'w, 'c> {
    pub(super) conn: &'c Connection,
    pub(super) complete: &'w mut CachedStatement<'c>,
    pub(super) order: Order,
    pub(super) now: i64,
    pub(super) seq: i64,
    pub(super) status: OutboxStatus,
    pub(super) slot: Option<i64>,
    pub(super) attempts: u32,
    pub(super) claimed_at: i64,
    pub(super) due: Option<i64>,
}

/// The beginning of a statement for an event that goes back in line.
macro_rules! back_in_line {
    () => {
        "UPDATE outbox_events SET status = ?2, slot = ?3, attempt_count = ?4, last_attempt_at = ?5, "
    };
}

/// Buries the event, as in [`bury`](super::bury), with the attempt.
macro_rules! bury_after {
    ($rest:expr) => {
        concat!(
            bury::bury!(),
            ", attempt_count = ?5, last_attempt_at = ?6, ",
            $rest,
            " WHERE seq = ?1"
        )
    };
}

impl Writing<'_, '_> {
    /// Writes the outcome that a handler reported.
    pub(super) fn disposition(&mut self, disposition: &Disposition) -> rusqlite::Result<()> {
        let (now, due) = (self.now, self.due);
        match disposition {
            Disposition::Complete | Disposition::Remove | Disposition::Drop => self.completed(),
            Disposition::Fail { message, .. } => self.in_line(
                concat!(
                    back_in_line!(),
                    "next_attempt_at = ?6, error_message = ?7, crashes = 0 WHERE seq = ?1"
                ),
                &[&due, message],
            ),
            Disposition::Bury { reason, message } => {
                self.buried(bury_after!("crashes = 0"), *reason, message, &[])
            }
            Disposition::GiveBack { refusal, .. } => self.in_line(
                concat!(
                    back_in_line!(),
                    "next_attempt_at = coalesce(?6, min(next_attempt_at, ?7)), last_refusal = coalesce(?8, last_refusal),
                         crashes = 0 WHERE seq = ?1"
                ),
                &[&due, &now, &refusal.as_ref().map(Refusal::to_string)],
            ),
            Disposition::Defer { refusal, .. } => self.in_line(
                concat!(
                    back_in_line!(),
                    "next_attempt_at = ?6, last_refusal = ?8, deferred_since = coalesce(deferred_since, ?7), deferrals = ",
                    one_more!("deferrals"),
                    ", crashes = 0 WHERE seq = ?1"
                ),
                &[&due, &now, &refusal.to_string()],
            ),
            Disposition::Snooze { .. } => self.in_line(
                concat!(
                    back_in_line!(),
                    "next_attempt_at = ?6, snoozes = ",
                    one_more!("snoozes"),
                    ", crashes = 0 WHERE seq = ?1"
                ),
                &[&due],
            ),
        }
    }

    /// Writes that the process of the handler died or stalled.
    pub(super) fn crash(&mut self) -> rusqlite::Result<()> {
        let now = self.now;
        if self.status == OutboxStatus::Dead {
            let sql = bury_after!(concat!(
                "next_attempt_at = ?7, crashes = ",
                one_more!("crashes")
            ));
            return self.buried(sql, DeadReason::CrashLoop, LEASE_EXPIRED, &[&now]);
        }
        self.in_line(
            concat!(
                back_in_line!(),
                "next_attempt_at = ?6, error_message = ?7, crashes = ",
                one_more!("crashes"),
                " WHERE seq = ?1"
            ),
            &[&now, &LEASE_EXPIRED],
        )
    }

    fn completed(&mut self) -> rusqlite::Result<()> {
        let values = params![self.seq, self.attempts, self.claimed_at, self.now];
        self.complete.execute(values)?;
        if self.order != Order::Entity {
            self.conn
                .prepare_cached(LEAVE_ENTITY)?
                .execute([self.seq])?;
        }
        Ok(())
    }

    fn in_line(&self, sql: &str, rest: &[&dyn ToSql]) -> rusqlite::Result<()> {
        let status = self.status.code();
        let first: [&dyn ToSql; 5] = [
            &self.seq,
            &status,
            &self.slot,
            &self.attempts,
            &self.claimed_at,
        ];
        let values = [&first[..], rest].concat();
        self.conn.prepare_cached(sql)?.execute(&values[..])?;
        Ok(())
    }

    fn buried(
        &self,
        sql: &str,
        reason: DeadReason,
        message: &str,
        rest: &[&dyn ToSql],
    ) -> rusqlite::Result<()> {
        let reason = reason.code();
        let first: [&dyn ToSql; 6] = [
            &self.seq,
            &self.slot,
            &reason,
            &message,
            &self.attempts,
            &self.claimed_at,
        ];
        let values = [&first[..], rest].concat();
        self.conn.prepare_cached(sql)?.execute(&values[..])?;
        Ok(())
    }
}
