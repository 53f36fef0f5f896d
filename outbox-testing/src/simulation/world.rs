//! The world of a simulation: its processes, its clock, and what happens to them step by step.

use std::time::Duration;

use tokio::runtime::Runtime;
use uuid::Uuid;

use super::outage::{Outage, Part};
use super::process::{Process, Program};
use super::report::Invariant;
use super::watched::rows;
use super::{Changes, Setup};
use crate::{ManualClock, SeededRng};
use outbox_runtime::__private::clock;
use outbox_runtime::Clock;
use outbox_runtime::{OutboxEvent, OutboxStatus};

pub(super) struct World {
    pub(super) program: Program,
    pub(super) clock: ManualClock,
    pub(super) draw: SeededRng,
    pub(super) users: Vec<String>,
    pub(super) banned: Option<String>,
    /// Whether parts of the world are refused for a while.
    pub(super) outages: bool,
    pub(super) changes: Changes,
    pub(super) processes: Vec<Process>,
    /// Where the store is asked by those who stand outside.
    pub(super) outside: Runtime,
    /// How far the clock was set back in all.
    pub(super) set_back: Duration,
}

#[derive(Clone, Copy)]
enum Step {
    Enqueue,
    EnqueueAgain,
    WaitForTheNextThing,
    Wait,
    JumpAhead,
    JumpBack,
    Kill,
    Stop,
    Freeze,
    Connection,
    Revoke,
    Nudge,
    RetryByHand,
    Cancel,
    Edit,
}

/// How often each step comes, beside the others.
const STEPS: [(u64, Step); 15] = [
    (26, Step::Enqueue),
    (4, Step::EnqueueAgain),
    (26, Step::WaitForTheNextThing),
    (12, Step::Wait),
    (1, Step::JumpAhead),
    (1, Step::JumpBack),
    (4, Step::Kill),
    (3, Step::Stop),
    (5, Step::Freeze),
    (3, Step::Connection),
    (3, Step::Revoke),
    (3, Step::Nudge),
    (4, Step::RetryByHand),
    (2, Step::Cancel),
    (3, Step::Edit),
];

/// How much longer than it was set back the clock may have to move, once the faults are over, until everything is done. A full
/// retry schedule, a lease, and the longest pauses of a run fit in many times.
const LONGEST_DRAIN: Duration = Duration::from_secs(6 * 60 * 60);

/// How long what is not refused may take while something else is, from when it is due: a probe a minute, a hung one of half a minute, and
/// what was under way at the beginning fit in several times.
const LONGEST_DETOUR: Duration = Duration::from_secs(30 * 60);

/// How much longer it may take with outages: an event that was deferred is due in a day at most, several times over.
const DEFERRALS: Duration = Duration::from_secs(10 * 24 * 60 * 60);

/// So often is looked again, a moment of real time apart, before nothing is taken to happen any more.
const PATIENCE: u32 = 10;
const A_MOMENT: Duration = Duration::from_millis(10);

impl World {
    /// To the end, or to the first invariant that does not hold.
    pub(super) fn run(&mut self, steps: u32) -> Result<(), Setup> {
        self.everybody()?;
        for _ in 0..steps {
            if self.program.ledger.is_broken() {
                return Ok(());
            }
            self.step()?;
        }
        self.drain()
    }

    /// One step, and what everybody makes of it.
    fn step(&mut self) -> Result<(), Setup> {
        self.program.ledger.book().report.steps += 1;
        if self.outages && self.draw.chance(150) {
            self.begin_or_end_outage()?;
        }
        match self.draw_step() {
            Step::Enqueue => self.enqueue()?,
            Step::EnqueueAgain => self.enqueue_again(),
            Step::WaitForTheNextThing => self.wait_for_the_next_thing(),
            Step::Wait => {
                let milliseconds = 1 + self.draw.below(10_000);
                self.clock.advance(Duration::from_millis(milliseconds));
            }
            Step::JumpAhead => {
                let jump = Duration::from_secs(60 * (1 + self.draw.below(20 * 60)));
                self.jumped("ahead", jump);
                self.clock.advance(jump);
            }
            Step::JumpBack => {
                let jump = Duration::from_secs(60 * 60);
                self.jumped("back", jump);
                self.set_back += jump;
                self.program.ledger.set_back();
                self.clock.set(clock::before(self.clock.now(), jump));
            }
            Step::Kill => self.kill(),
            Step::Stop => self.stop(),
            Step::Freeze => self.freeze_or_thaw(),
            Step::Connection => {
                let online = self.program.remote.flip_connection();
                self.trace(if online {
                    "the network is back"
                } else {
                    "the network is gone"
                });
            }
            Step::Revoke => {
                let user = self.draw.pick(&self.users).clone();
                self.trace(&format!("the credentials of {user} are revoked"));
                self.program.remote.revoke(&user);
            }
            Step::Nudge => {
                let online = self.draw.chance(500);
                let process = self.pick_process();
                self.processes[process].nudge(online);
            }
            Step::RetryByHand => self.retry_by_hand()?,
            Step::Cancel => self.cancel()?,
            Step::Edit => self.edit()?,
        }
        self.everybody()
    }

    /// The faults are over: everything must be delivered, or dead with a reason, within due time.
    fn drain(&mut self) -> Result<(), Setup> {
        self.trace("the faults are over");
        self.program.remote.calm();
        self.processes.iter_mut().for_each(Process::heal);
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
        let mut patience = 0..PATIENCE;
        loop {
            self.everybody()?;
            let rows = self.rows()?;
            let banned = self.banned.as_deref();
            let may_wait = |row: &OutboxEvent| banned == Some(&row.user_id);
            let unfinished = self.program.ledger.unfinished(&rows, may_wait);
            if unfinished.is_empty() || self.program.ledger.is_broken() {
                self.program.ledger.check_attempts();
                self.program.ledger.close(&rows);
                return Ok(());
            }
            let next = self.clock.next_deadline().filter(|next| *next <= end);
            let Some(next) = next else {
                // A store with threads of its own wakes a run when it gets to it.
                if patience.next().is_some() {
                    self.outside.block_on(clock::pause(A_MOMENT));
                    continue;
                }
                // The cause, rather than what came of it.
                self.program.ledger.check_attempts();
                let what = format!("and nobody will ever see to {}", unfinished.join(", "));
                self.program.ledger.broken(Invariant::NothingStuck, what);
                return Ok(());
            };
            self.clock.set(next);
            patience = 0..PATIENCE;
        }
    }

    /// One part of the world is refused, and stays so: everything else must be done soon after it is due.
    fn refuse_one_part_for_long(&mut self) -> Result<(), Setup> {
        self.program.remote.set_outage(None);
        let open = |status| !matches!(status, OutboxStatus::Completed | OutboxStatus::Dead);
        let Some(of) = self.pick_row(open)? else {
            return Ok(());
        };
        let outage = Outage::draw(&mut self.draw, &of);
        if outage.part == Part::Everything {
            return Ok(());
        }
        self.begin_outage(&outage);
        let banned = self.banned.clone();
        let may_wait =
            |row: &OutboxEvent| banned.as_ref() == Some(&row.user_id) || outage.covers(row);
        let rows = self.rows()?;
        let due = rows.iter().filter(|row| open(row.status) && !may_wait(row));
        let due = due.map(|row| row.lease_expires_at.unwrap_or(row.next_attempt_at));
        let due = due.max().unwrap_or_default().max(self.clock.now());
        let end = clock::after(due, self.set_back + LONGEST_DETOUR);
        let mut patience = 0..PATIENCE;
        loop {
            self.everybody()?;
            let rows = self.rows()?;
            let unfinished = self.program.ledger.unfinished(&rows, may_wait);
            if unfinished.is_empty() || self.program.ledger.is_broken() {
                break;
            }
            let next = self.clock.next_deadline().filter(|next| *next <= end);
            if let Some(next) = next {
                self.clock.set(next);
                patience = 0..PATIENCE;
            } else if patience.next().is_some() {
                self.outside.block_on(clock::pause(A_MOMENT));
            } else {
                self.program.ledger.check_attempts();
                let what = format!("{outage}, and that holds up {}", unfinished.join(", "));
                self.program.ledger.broken(Invariant::OwnFault, what);
                break;
            }
        }
        self.trace("the outage is over");
        self.program.remote.set_outage(None);
        Ok(())
    }

    fn begin_or_end_outage(&mut self) -> Result<(), Setup> {
        if self.program.remote.outage().is_some() {
            self.trace("the outage is over");
            self.program.remote.set_outage(None);
        } else if let Some(row) = self.pick_row(|status| status != OutboxStatus::Completed)? {
            let outage = Outage::draw(&mut self.draw, &row);
            self.begin_outage(&outage);
        }
        Ok(())
    }

    fn begin_outage(&self, outage: &Outage) {
        self.trace(&outage.to_string());
        self.program.ledger.book().report.outages += 1;
        self.program.remote.set_outage(Some(outage.clone()));
    }

    /// Every process has its turn, and the store is compared with the ledger.
    fn everybody(&mut self) -> Result<(), Setup> {
        // Who comes first is as open as with real processes.
        let first = self.draw.below(self.processes.len() as u64) as usize;
        self.processes.rotate_left(first);
        for process in &mut self.processes {
            process.turn(&self.program).map_err(Setup)?;
        }
        let rows = self.rows()?;
        self.program.ledger.check(&rows);
        Ok(())
    }

    fn enqueue(&mut self) -> Result<(), Setup> {
        let user = self.draw.pick(&self.users).clone();
        let event = (self.changes)(&mut self.draw, &user);
        let id = Uuid::from_u64_pair(self.draw.word(), self.draw.word());
        let mut event = event.map_err(|error| Setup(error.to_string()))?.with_id(id);
        if self.outages && event.destination().is_none() {
            let spread = event
                .entity_id()
                .to_string()
                .bytes()
                .map(usize::from)
                .sum::<usize>();
            event = match spread % 3 {
                0 => event,
                1 => event.with_destination("north"),
                _ => event.with_destination("south"),
            };
        }
        let process = self.pick_process();
        let process = &self.processes[process];
        let (operation, event_type, entity_id) =
            (event.operation(), event.event_type(), event.entity_id());
        let what = format!("{operation} of {event_type} {entity_id} of {user}");
        let told = format!("{} enqueues e{}: {what}", process.name, self.promised() + 1);
        self.trace(&told);
        process.enqueue(&self.program.ledger, event);
        Ok(())
    }

    fn enqueue_again(&mut self) {
        let again = self.program.ledger.book().repeatable();
        if again.is_empty() {
            return;
        }
        let event = self.draw.pick(&again).clone();
        let label = self.program.ledger.label(event.id());
        let process = self.pick_process();
        let process = &self.processes[process];
        self.trace(&format!("{} enqueues {label} once more", process.name));
        process.enqueue(&self.program.ledger, event);
    }

    fn promised(&self) -> usize {
        self.program.ledger.book().promises.len()
    }

    fn wait_for_the_next_thing(&mut self) {
        if let Some(next) = self.clock.next_deadline() {
            self.clock.set(next.max(self.clock.now()));
        }
    }

    fn jumped(&self, whereto: &str, jump: Duration) {
        self.trace(&format!("the clock is set {whereto} by {jump:?}"));
        self.program.ledger.book().report.clock_jumps += 1;
    }

    fn kill(&mut self) {
        let process = self.draw.below(self.processes.len() as u64) as usize;
        self.trace(&format!("{} is killed", self.processes[process].name));
        self.processes[process].kill(&self.program.ledger);
        self.program.ledger.book().report.crashes += 1;
    }

    fn stop(&mut self) {
        let process = self.pick_process();
        self.trace(&format!("{} is to stop", self.processes[process].name));
        self.processes[process].stop();
        self.program.ledger.book().report.stops += 1;
    }

    fn freeze_or_thaw(&mut self) {
        let process = self.draw.below(self.processes.len() as u64) as usize;
        let process = &mut self.processes[process];
        process.frozen = !process.frozen;
        let frozen = process.frozen;
        let told = if frozen { "is frozen" } else { "goes on" };
        let line = format!("{} {told}", process.name);
        self.trace(&line);
        self.program.ledger.book().report.freezes += u64::from(frozen);
    }

    /// Somebody wants a failed or dead event tried again.
    fn retry_by_hand(&mut self) -> Result<(), Setup> {
        let wanted = |status| matches!(status, OutboxStatus::Failed | OutboxStatus::Dead);
        if let Some(row) = self.pick_row(wanted)? {
            self.trace_row("is to be tried again", &row);
            let store = &self.program.store;
            self.outside.block_on(store.reset_for_retry(&[row.id]))?;
            self.program.ledger.reset(row.id);
        }
        Ok(())
    }

    /// Somebody deletes an event, whatever state it is in.
    fn cancel(&mut self) -> Result<(), Setup> {
        if let Some(row) = self.pick_row(|status| status != OutboxStatus::Completed)? {
            self.trace_row("is deleted", &row);
            self.program.ledger.deleted(row.id);
            let store = &self.program.store;
            self.outside.block_on(store.delete_event(row.id))?;
        }
        Ok(())
    }

    /// Somebody gives a waiting event another priority and another due time.
    fn edit(&mut self) -> Result<(), Setup> {
        let wanted = |status| matches!(status, OutboxStatus::Pending | OutboxStatus::Failed);
        if let Some(mut row) = self.pick_row(wanted)? {
            self.trace_row("is edited", &row);
            row.priority = self.draw.below(10) as i32;
            row.next_attempt_at = self.clock.now();
            let store = &self.program.store;
            self.outside.block_on(store.update_event(&row))?;
        }
        Ok(())
    }

    fn pick_row(
        &mut self,
        wanted: impl Fn(OutboxStatus) -> bool,
    ) -> Result<Option<OutboxEvent>, Setup> {
        let mut rows = self.rows()?;
        rows.retain(|row| wanted(row.status));
        Ok((!rows.is_empty()).then(|| self.draw.pick(&rows).clone()))
    }

    /// A process that is not frozen, if there is one.
    fn pick_process(&mut self) -> usize {
        let awake: Vec<usize> = (0..self.processes.len())
            .filter(|process| !self.processes[*process].frozen)
            .collect();
        if awake.is_empty() {
            self.processes[0].frozen = false;
            return 0;
        }
        *self.draw.pick(&awake)
    }

    fn draw_step(&mut self) -> Step {
        let all = STEPS.iter().map(|(weight, _)| weight).sum();
        let mut at = self.draw.below(all);
        for (weight, step) in STEPS {
            match at.checked_sub(weight) {
                Some(rest) => at = rest,
                None => return step,
            }
        }
        Step::Wait
    }

    fn rows(&self) -> Result<Vec<OutboxEvent>, Setup> {
        Ok(self.outside.block_on(rows(self.program.store.as_ref()))?)
    }

    fn trace(&self, line: &str) {
        self.program.ledger.trace(line);
    }

    fn trace_row(&self, what: &str, row: &OutboxEvent) {
        let label = self.program.ledger.label(row.id);
        self.trace(&format!("{label} ({}) {what}", row.status));
    }
}
