//! The world of a simulation: its processes, its clock, and the steps that happen to them.

use std::time::Duration;

use tokio::runtime::Runtime;
use uuid::Uuid;

use super::outage::Outage;
use super::process::{Process, Program, Release};
use super::setup::{Changes, Setup};
use super::watched::rows;
use crate::{ManualClock, SeededRng};
use outbox_runtime::__private::clock;
use outbox_runtime::{Clock, NewEvent, OutboxEvent, OutboxStatus};

pub(super) struct World {
    pub(super) program: Program,
    pub(super) clock: ManualClock,
    pub(super) rng: SeededRng,
    pub(super) users: Vec<String>,
    pub(super) banned: Option<String>,
    /// Whether parts of the world are refused for a while.
    pub(super) outages: bool,
    /// Whether the application cancels events.
    pub(super) cancellations: bool,
    pub(super) changes: Changes,
    /// The changes of the older release, if there is one.
    pub(super) older_changes: Option<Changes>,
    pub(super) processes: Vec<Process>,
    /// The runtime for store calls that no process makes.
    pub(super) store_runtime: Runtime,
    /// The total time by which the clock was set back.
    pub(super) set_back: Duration,
}

#[derive(Clone, Copy)]
enum Step {
    Enqueue,
    EnqueueAgain,
    AdvanceToNextDeadline,
    Wait,
    JumpAhead,
    JumpBack,
    Kill,
    Stop,
    Freeze,
    Connection,
    Revoke,
    Nudge,
    RetryManually,
    Delete,
    Edit,
}

/// The relative frequency of each step.
const STEPS: [(u64, Step); 15] = [
    (26, Step::Enqueue),
    (4, Step::EnqueueAgain),
    (26, Step::AdvanceToNextDeadline),
    (12, Step::Wait),
    (1, Step::JumpAhead),
    (1, Step::JumpBack),
    (4, Step::Kill),
    (3, Step::Stop),
    (5, Step::Freeze),
    (3, Step::Connection),
    (3, Step::Revoke),
    (3, Step::Nudge),
    (4, Step::RetryManually),
    (2, Step::Delete),
    (3, Step::Edit),
];

impl World {
    /// Runs to the end, or to the first violated invariant.
    pub(super) fn run(&mut self, steps: u32) -> Result<(), Setup> {
        self.run_processes()?;
        for _ in 0..steps {
            if self.program.ledger.is_broken() {
                return Ok(());
            }
            self.step()?;
        }
        self.drain()
    }

    /// Runs one step and the reactions of all processes.
    fn step(&mut self) -> Result<(), Setup> {
        self.program.ledger.book().report.steps += 1;
        if self.outages && self.rng.chance(150) {
            self.begin_or_end_outage()?;
        }
        if self.cancellations && self.rng.chance(150) {
            self.cancel_events()?;
            // An event that is enqueued again at the same time may be enqueued anew.
            self.run_processes()?;
        }
        match self.draw_step() {
            Step::Enqueue => self.enqueue()?,
            Step::EnqueueAgain => self.enqueue_again(),
            Step::AdvanceToNextDeadline => self.advance_to_next_deadline(),
            Step::Wait => {
                let milliseconds = 1 + self.rng.below(10_000);
                self.clock.advance(Duration::from_millis(milliseconds));
            }
            Step::JumpAhead => {
                let jump = Duration::from_secs(60 * (1 + self.rng.below(20 * 60)));
                self.record_jump("ahead", jump);
                self.clock.advance(jump);
            }
            Step::JumpBack => {
                let jump = Duration::from_secs(60 * 60);
                self.record_jump("back", jump);
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
                    "the network is up"
                } else {
                    "the network is down"
                });
            }
            Step::Revoke => {
                let user = self.rng.pick(&self.users).clone();
                self.trace(&format!("the credentials of {user} are revoked"));
                self.program.remote.revoke(&user);
            }
            Step::Nudge => {
                let online = self.rng.chance(500);
                let process = self.pick_process();
                self.processes[process].nudge(online);
            }
            Step::RetryManually => self.retry_manually()?,
            Step::Delete => self.delete()?,
            Step::Edit => self.edit()?,
        }
        self.run_processes()
    }

    fn begin_or_end_outage(&mut self) -> Result<(), Setup> {
        if self.program.remote.outage().is_some() {
            self.trace("the outage ends");
            self.program.remote.set_outage(None);
        } else if let Some(row) = self.pick_row(|status| status != OutboxStatus::Completed)? {
            let outage = Outage::draw(&mut self.rng, &row);
            self.begin_outage(&outage);
        }
        Ok(())
    }

    pub(super) fn begin_outage(&self, outage: &Outage) {
        self.trace(&outage.to_string());
        self.program.ledger.book().report.outages += 1;
        self.program.remote.set_outage(Some(outage.clone()));
    }

    /// Runs every process, then compares the store with the ledger.
    pub(super) fn run_processes(&mut self) -> Result<(), Setup> {
        // The order is random, as with real processes.
        let first = self.rng.below(self.processes.len() as u64) as usize;
        self.processes.rotate_left(first);
        for process in &mut self.processes {
            process.turn(&self.program).map_err(Setup)?;
        }
        let rows = self.rows()?;
        self.program.ledger.check(&rows);
        Ok(())
    }

    fn enqueue(&mut self) -> Result<(), Setup> {
        let user = self.rng.pick(&self.users).clone();
        let event = (self.changes)(&mut self.rng, &user);
        let id = Uuid::from_u64_pair(self.rng.word(), self.rng.word());
        let process = self.pick_process();
        let event = match &mut self.older_changes {
            Some(older) if self.processes[process].release == Release::Older => {
                older(&mut self.rng, &user)
            }
            _ => event,
        };
        let event = event.map_err(|error| Setup(error.to_string()))?.with_id(id);
        let event = match self.outages {
            true => spread(event),
            false => event,
        };
        let process = &self.processes[process];
        let (operation, event_type, entity_id) =
            (event.operation(), event.event_type(), event.entity_id());
        let what = format!("{operation} of {event_type} {entity_id} of {user}");
        let told = format!(
            "{} enqueues e{}: {what}",
            process.name,
            self.event_count() + 1
        );
        self.trace(&told);
        process.enqueue(&self.program.ledger, event);
        Ok(())
    }

    fn enqueue_again(&mut self) {
        let again = self.program.ledger.book().repeatable();
        if again.is_empty() {
            return;
        }
        let event = self.rng.pick(&again).clone();
        let label = self.program.ledger.label(event.id());
        let process = self.pick_process();
        let process = &self.processes[process];
        self.trace(&format!("{} enqueues {label} again", process.name));
        process.enqueue(&self.program.ledger, event);
    }

    fn event_count(&self) -> usize {
        self.program.ledger.book().promises.len()
    }

    fn advance_to_next_deadline(&mut self) {
        if let Some(next) = self.clock.next_deadline() {
            self.clock.set(next.max(self.clock.now()));
        }
    }

    fn record_jump(&self, direction: &str, jump: Duration) {
        self.trace(&format!("the clock is set {direction} by {jump:?}"));
        self.program.ledger.book().report.clock_jumps += 1;
    }

    fn kill(&mut self) {
        let process = self.rng.below(self.processes.len() as u64) as usize;
        self.trace(&format!("{} is killed", self.processes[process].name));
        self.processes[process].kill(&self.program.ledger);
        self.program.ledger.book().report.crashes += 1;
        self.draw_release(process);
    }

    fn stop(&mut self) {
        let process = self.pick_process();
        self.trace(&format!("{} is stopping", self.processes[process].name));
        self.processes[process].stop();
        self.program.ledger.book().report.stops += 1;
        self.draw_release(process);
    }

    fn freeze_or_thaw(&mut self) {
        let process = self.rng.below(self.processes.len() as u64) as usize;
        let process = &mut self.processes[process];
        process.frozen = !process.frozen;
        let frozen = process.frozen;
        let told = if frozen { "is frozen" } else { "is thawed" };
        let line = format!("{} {told}", process.name);
        self.trace(&line);
        self.program.ledger.book().report.freezes += u64::from(frozen);
    }

    /// Retries a failed or dead event manually.
    fn retry_manually(&mut self) -> Result<(), Setup> {
        let wanted = |status| matches!(status, OutboxStatus::Failed | OutboxStatus::Dead);
        if let Some(row) = self.pick_row(wanted)? {
            self.trace_row("is retried manually", &row);
            let store = &self.program.store;
            self.store_runtime
                .block_on(store.reset_for_retry(&[row.id]))?;
            self.program.ledger.reset(row.id);
        }
        Ok(())
    }

    /// Deletes an event in any state manually.
    fn delete(&mut self) -> Result<(), Setup> {
        if let Some(row) = self.pick_row(|status| status != OutboxStatus::Completed)? {
            self.trace_row("is deleted", &row);
            self.program.ledger.deleted(row.id);
            let store = &self.program.store;
            self.store_runtime.block_on(store.delete_event(row.id))?;
        }
        Ok(())
    }

    /// Changes the priority and the due time of a waiting event manually.
    fn edit(&mut self) -> Result<(), Setup> {
        let wanted = |status| matches!(status, OutboxStatus::Pending | OutboxStatus::Failed);
        if let Some(mut row) = self.pick_row(wanted)? {
            self.trace_row("is edited", &row);
            row.priority = self.rng.below(10) as i32;
            let now = self.clock.now();
            row.next_attempt_at = row.expires_at.map_or(now, |ends| ends.min(now));
            let store = &self.program.store;
            self.store_runtime.block_on(store.update_event(&row))?;
        }
        Ok(())
    }

    pub(super) fn pick_row(
        &mut self,
        wanted: impl Fn(OutboxStatus) -> bool,
    ) -> Result<Option<OutboxEvent>, Setup> {
        let mut rows = self.rows()?;
        rows.retain(|row| wanted(row.status));
        Ok((!rows.is_empty()).then(|| self.rng.pick(&rows).clone()))
    }

    /// A process that is not frozen. If all are, the first one is thawed.
    pub(super) fn pick_process(&mut self) -> usize {
        let awake: Vec<usize> = (0..self.processes.len())
            .filter(|process| !self.processes[*process].frozen)
            .collect();
        if awake.is_empty() {
            self.processes[0].frozen = false;
            return 0;
        }
        *self.rng.pick(&awake)
    }

    fn draw_step(&mut self) -> Step {
        let all = STEPS.iter().map(|(weight, _)| weight).sum();
        let mut at = self.rng.below(all);
        for (weight, step) in STEPS {
            match at.checked_sub(weight) {
                Some(rest) => at = rest,
                None => return step,
            }
        }
        Step::Wait
    }

    pub(super) fn rows(&self) -> Result<Vec<OutboxEvent>, Setup> {
        Ok(self
            .store_runtime
            .block_on(rows(self.program.store.as_ref()))?)
    }

    pub(super) fn trace(&self, line: &str) {
        self.program.ledger.trace(line);
    }

    fn trace_row(&self, what: &str, row: &OutboxEvent) {
        let label = self.program.ledger.label(row.id);
        self.trace(&format!("{label} ({}) {what}", row.status));
    }
}

/// Spreads changes without a destination over three.
fn spread(event: NewEvent) -> NewEvent {
    if event.destination().is_some() {
        return event;
    }
    let entity_id = event.entity_id().to_string();
    match entity_id.bytes().map(usize::from).sum::<usize>() % 3 {
        0 => event,
        1 => event.with_destination("north"),
        _ => event.with_destination("south"),
    }
}
