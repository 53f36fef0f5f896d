//! Leases, and what ends them.

use outbox_runtime::{DeadReason, OutboxStatus};

use super::Reference;
use super::words::{Answer, Millis, Report, Row};

const LEASE_EXPIRED: &str =
    "the lease ended without an outcome: the process that held it died or stalled";

impl Reference {
    pub(super) fn hold(&mut self, seq: u64, lease: Millis) -> u8 {
        let claim = self.claims.len();
        let ends = self.now + lease;
        let now = self.now;
        let Some(row) = self.rows.get_mut(&seq) else {
            unreachable!("the row is claimable")
        };
        row.status = OutboxStatus::Processing;
        row.attempts += 1;
        row.last_attempt = Some(now);
        row.lease = Some((claim, ends));
        self.claims.push(row.id);
        row.id
    }

    /// The row whose last claim is this one.
    pub(super) fn taken(&self, nth: usize) -> Option<u64> {
        let (claim, _) = self.nth_claim(nth)?;
        let taken = |row: &Row| row.lease.is_some_and(|(by, _)| by == claim);
        let mut rows = self.rows.iter();
        rows.find(|(_, row)| taken(row)).map(|(seq, _)| *seq)
    }

    /// The same, if its lease has not ended.
    fn held(&self, nth: usize) -> Option<u64> {
        let seq = self.taken(nth)?;
        let (_, ends) = self.rows[&seq].lease?;
        (ends > self.now).then_some(seq)
    }

    pub(super) fn settle(&mut self, nth: usize, report: Report) -> bool {
        let now = self.now;
        let Some(seq) = self.held(nth) else {
            return false;
        };
        let Some(row) = self.rows.get_mut(&seq) else {
            return false;
        };
        row.lease = None;
        row.crashes = 0;
        if let Report::GiveBack(..) | Report::Defer(_) | Report::Snooze(_) = report {
            row.give_back();
        }
        match report {
            Report::Complete => {
                row.status = OutboxStatus::Completed;
                row.completed = Some(now);
                row.error = None;
            }
            Report::Fail(delay) => {
                row.status = OutboxStatus::Failed;
                row.due = now + delay;
                row.error = Some("no".to_owned());
            }
            Report::Bury => {
                row.status = OutboxStatus::Dead;
                row.dead_reason = Some(DeadReason::Rejected);
                row.error = Some("never".to_owned());
            }
            Report::GiveBack(delay, refused) => {
                row.due = delay.map_or(row.due.min(now), |delay| now + delay);
                row.refusal = refused.then_some("timeout: 30 s").or(row.refusal);
            }
            Report::Defer(delay) => {
                row.due = now + delay;
                row.deferrals += 1;
                row.deferred_since.get_or_insert(now);
                row.refusal = Some("unavailable: 503");
            }
            Report::Snooze(delay) => {
                row.due = now + delay;
                row.snoozes += 1;
            }
        }
        true
    }

    pub(super) fn rescue(&mut self) -> Answer {
        let now = self.now;
        let (mut requeued, mut buried) = (0, 0);
        for row in self.rows.values_mut() {
            if row.lease.is_none_or(|(_, ends)| ends > now) {
                continue;
            }
            row.lease = None;
            row.due = now;
            row.error = Some(LEASE_EXPIRED.to_owned());
            row.give_back();
            row.crashes += 1;
            if row.crashes < row.max_attempts {
                requeued += 1;
            } else {
                row.status = OutboxStatus::Dead;
                row.dead_reason = Some(DeadReason::CrashLoop);
                buried += 1;
            }
        }
        Answer::Rescued(requeued, buried)
    }
}
