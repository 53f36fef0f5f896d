//! The end of a simulation: the faults stop, and every event must be delivered in due time.

use std::time::Duration;

use super::outage::{Outage, Part};
use super::process::Process;
use super::report::Invariant;
use super::setup::Setup;
use super::world::World;
use outbox_runtime::__private::clock;
use outbox_runtime::{Clock, OutboxEvent, OutboxStatus};

/// The time, beyond the total set-back, that the clock may take to finish everything after the
/// faults stop. It covers a full retry schedule, a lease, and the longest pauses of a run many
/// times over.
const LONGEST_DRAIN: Duration = Duration::from_secs(6 * 60 * 60);

/// The time, from its due time, that an unaffected event may take during an outage. It covers a
/// probe per minute, a hung probe of half a minute, and work in progress at the start several times
/// over.
const LONGEST_DELAY: Duration = Duration::from_secs(30 * 60);

/// The extra time with outages: a deferred event is due within a day, several times over.
const DEFERRALS: Duration = Duration::from_secs(10 * 24 * 60 * 60);

/// The number of checks, a moment of real time apart, before the world counts as idle.
const IDLE_CHECKS: u32 = 10;
const IDLE_PAUSE: Duration = Duration::from_millis(10);

impl World {
    /// Stops the faults: everything must be delivered, or dead with a reason, in due time.
    pub(super) fn drain(&mut self) -> Result<(), Setup> {
        self.trace("the faults stop");
        self.program.remote.calm();
        self.processes.iter_mut().for_each(Process::heal);
        self.update_all();
        if self.outages {
            self.refuse_one_part_for_long()?;
        }
        let deferrals = if self.outages {
            DEFERRALS
        } else {
            Duration::ZERO
        };
        let longest = self.set_back + LONGEST_DRAIN + deferrals;
        let end = clock::after(self.clock.now(), longest);
        let mut idle_checks = 0..IDLE_CHECKS;
        loop {
            self.run_processes()?;
            let rows = self.rows()?;
            let banned = self.banned.as_deref();
            let held = self.program.ledger.held_types();
            let may_wait =
                |row: &OutboxEvent| banned == Some(&row.user_id) || held.contains(&row.event_type);
            let unfinished = self.program.ledger.unfinished(&rows, may_wait);
            if unfinished.is_empty() || self.program.ledger.is_broken() {
                self.program.ledger.check_attempts();
                self.program.ledger.close(&rows);
                return Ok(());
            }
            let next = self.clock.next_deadline().filter(|next| *next <= end);
            let Some(next) = next else {
                // A store with its own threads may take a moment to wake a run.
                if idle_checks.next().is_some() {
                    self.store_runtime.block_on(clock::pause(IDLE_PAUSE));
                    continue;
                }
                // Report the cause rather than its effect.
                self.program.ledger.check_attempts();
                let what = format!("nothing will ever deliver {}", unfinished.join(", "));
                self.program.ledger.broken(Invariant::NothingStuck, what);
                return Ok(());
            };
            self.clock.set(next);
            idle_checks = 0..IDLE_CHECKS;
        }
    }

    /// Refuses one part of the world for a long time: everything else must finish soon after it is
    /// due.
    fn refuse_one_part_for_long(&mut self) -> Result<(), Setup> {
        self.program.remote.set_outage(None);
        let open = |status| !matches!(status, OutboxStatus::Completed | OutboxStatus::Dead);
        let Some(of) = self.pick_row(open)? else {
            return Ok(());
        };
        let outage = Outage::draw(&mut self.rng, &of);
        if outage.part == Part::Everything {
            return Ok(());
        }
        self.begin_outage(&outage);
        let banned = self.banned.clone();
        let is_refused =
            |row: &OutboxEvent| banned.as_ref() == Some(&row.user_id) || outage.covers(row);
        let rows = self.rows()?;
        let due = rows
            .iter()
            .filter(|row| open(row.status) && !is_refused(row));
        let due = due.map(|row| row.lease_expires_at.unwrap_or(row.next_attempt_at));
        let due = due.max().unwrap_or_default().max(self.clock.now());
        let end = clock::after(due, self.set_back + LONGEST_DELAY);
        let mut idle_checks = 0..IDLE_CHECKS;
        loop {
            self.run_processes()?;
            let rows = self.rows()?;
            let held = self.program.ledger.held_types();
            let may_wait = |row: &OutboxEvent| is_refused(row) || held.contains(&row.event_type);
            let unfinished = self.program.ledger.unfinished(&rows, may_wait);
            if unfinished.is_empty() || self.program.ledger.is_broken() {
                break;
            }
            let next = self.clock.next_deadline().filter(|next| *next <= end);
            if let Some(next) = next {
                self.clock.set(next);
                idle_checks = 0..IDLE_CHECKS;
            } else if idle_checks.next().is_some() {
                self.store_runtime.block_on(clock::pause(IDLE_PAUSE));
            } else {
                self.program.ledger.check_attempts();
                let what = format!("{outage}, and that blocks {}", unfinished.join(", "));
                self.program.ledger.broken(Invariant::OwnFault, what);
                break;
            }
        }
        self.trace("the outage ends");
        self.program.remote.set_outage(None);
        Ok(())
    }
}
