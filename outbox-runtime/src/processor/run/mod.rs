//! The run: one loop that claims, starts handlers, records outcomes, keeps leases, and sleeps until
//! something happens.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, watch};
use tracing::info;

use self::activity::Activity;
use self::alarms::Alarms;
use self::grace::Grace;
use self::jobs::{Jobs, TaskEnd};
use self::leases::Leases;
use self::pace::Pace;
use self::reading::Reading;
use self::report::Report;
use self::turns::Turns;
use self::unhandled::Unhandled;
use self::unrecorded::Unrecorded;
use self::waiting::Waiting;
use super::command::Command;
use super::ending::Ending;
use super::evidence::Evidence;
use super::health::Health;
use super::nudges::Nudges;
use super::shared::Shared;
use crate::cancel::Cancel;
use crate::clock::{self, Clock};
use crate::error::{StoreError, StoreErrorKind};
use crate::outage::Outage;
use crate::repository::Revision;

// The parts of a run, which do not know it.
mod activity; // what has changed, and for whom
mod alarms; // what is due when, and leaving a failing store alone
mod grace; // after a clock jump, nothing is rescued from live processes
mod idle; // rounds that change nothing are not repeated at once
mod jobs; // the tasks, and what they are about
mod leases; // what is held, and when it is renewed
mod pace; // how quick the handlers were lately
mod reading; // two readings of the clock tell of a jump
mod report; // what it tells about itself
mod turns; // no starvation: a share of every claim is round-robin
mod unhandled; // event types that no handler takes
mod unrecorded; // outcomes that are kept until they are recorded
mod waiting; // claimed, and not started

// What the run does.
mod ahead; // claimed before a handler is free, where handlers are quick
mod claiming; // how much, of what
mod commands; // what handles ask
mod ending; // what an attempt means
mod jumps; // what a clock that was set must not do
mod recording; // outcomes, decided and written
mod starting; // handlers, and refreshes of credentials
mod stopping; // waiting for handlers, giving back the rest
mod suspension; // letting go of the files, and taking up work again
mod upkeep; // keeping leases, cleaning up

pub(super) struct Run {
    shared: Arc<Shared>,
    user_id: Option<String>,
    wires: Wires,
    report: Report,
    activity: Activity,

    jobs: Jobs,
    /// Leases to be kept: of attempts under way, and of outcomes that are not recorded yet.
    leases: Leases,
    unrecorded: Unrecorded,
    /// A task ended during a request to the store, so the answer may be out of date.
    ended_meanwhile: bool,
    /// Claimed, and started as soon as a handler is free.
    waiting: Waiting,
    pace: Pace,
    turns: Turns,
    /// Which claim goes first among those that may be made.
    turn: usize,
    evidence: Evidence,
    /// Event types without a handler.
    unhandled: Unhandled,
    alarms: Alarms,
    /// The last reading of the clock, to notice a jump.
    reading: Reading,
    /// After a clock jump, rescue nothing from live processes for a while.
    grace: Option<Grace>,
}

/// What ends a sleep.
enum Woken {
    Ended(TaskEnd),
    /// By a handle; `None` when the last one is gone.
    Command(Option<Command>),
    /// By the store, by the clock, by a nudge, or there is more to do at once: a round does
    /// whatever is due.
    ToWork,
    Stopped,
}

/// Connects a run to its handles.
pub(super) struct Wires {
    pub(super) inbox: mpsc::UnboundedReceiver<Command>,
    pub(super) nudges: Arc<Nudges>,
    pub(super) stop: Cancel,
    /// Cuts the wait of a stop short.
    pub(super) hurry: Cancel,
}

impl Run {
    pub(super) fn new(
        shared: Arc<Shared>,
        user_id: Option<String>,
        wires: Wires,
        health: watch::Sender<Health>,
        progress: watch::Sender<u64>,
    ) -> Self {
        let now = shared.clock.now();
        let settings = &shared.settings;
        let clean_up_at = clock::after(now, settings.cleanup_interval);
        Self {
            user_id,
            wires,
            report: Report::new(health),
            activity: Activity::new(progress),
            jobs: Jobs::default(),
            leases: Leases::default(),
            unrecorded: Unrecorded::default(),
            ended_meanwhile: false,
            waiting: Waiting::default(),
            pace: Pace::default(),
            turns: Turns::default(),
            turn: 0,
            evidence: Evidence::new(settings.max_concurrency, settings.shares_network),
            unhandled: Unhandled::default(),
            alarms: Alarms::new(now, clean_up_at),
            reading: Reading::of(shared.clock.as_ref()),
            grace: None,
            shared,
        }
    }

    /// Until stopped: do what there is to do, then sleep until something happens.
    pub(super) async fn run(mut self) -> Ending {
        info!(all_users = self.user_id.is_none(), "outbox run started");
        self.wires.nudges.began();
        // The store was closed for good, which ends the run.
        let mut closed_by = None;
        while !self.wires.stop.is_cancelled() {
            // A store that answers without waiting could else keep its thread from everybody else.
            tokio::task::consume_budget().await;
            // Taken before looking, so that what is committed while looking is not missed.
            let seen = self.shared.repository.revision();
            let before = self.activity.count();
            let is_busy = match self.work().await {
                Ok(is_busy) => is_busy,
                Err(error) if is_final(&error) => {
                    self.tell_store_is_gone(&error);
                    closed_by = Some(error);
                    break;
                }
                Err(error) => {
                    self.back_off(&error);
                    false
                }
            };
            let has_changed = self.activity.count() != before || self.alarms.has_failed();
            match self.wait(seen, is_busy, has_changed).await {
                Woken::Ended(end) => self.on_task_end(end),
                Woken::Command(command) => self.handle_command(command).await,
                Woken::ToWork | Woken::Stopped => {}
            }
        }
        Ending {
            stopped: self.wind_down().await,
            closed_by,
        }
    }

    /// Sleeps until something happens; no query runs meanwhile. With more work to do, it only
    /// checks for commands.
    async fn wait(&mut self, seen: Revision, is_busy: bool, has_changed: bool) -> Woken {
        self.report.set_outages(self.outages());
        let listens = self.may_claim();
        let now = self.now();
        let alarm = self.alarm();
        let (is_busy, alarm) = self.activity.delayed(is_busy, alarm, has_changed, now);
        let shared = &self.shared;
        tokio::select! {
            // Every round does all that is due, whatever woke it, so no branch can starve; and a
            // simulated run takes the same course each time.
            biased;
            () = self.wires.stop.cancelled() => Woken::Stopped,
            command = self.wires.inbox.recv() => Woken::Command(command),
            () = self.wires.nudges.nudged() => Woken::ToWork,
            () = std::future::ready(()), if is_busy => Woken::ToWork,
            Some(end) = self.jobs.next() => Woken::Ended(end),
            _ = shared.repository.changed(seen), if listens => Woken::ToWork,
            () = sleep_until(shared.clock.as_ref(), alarm) => Woken::ToWork,
        }
    }

    /// One round: rescue, renew, record, claim, clean up, each where it is due. `true`: another one
    /// has work to do.
    async fn work(&mut self) -> Result<bool, StoreError> {
        self.handle_nudges();
        self.follow_clock();
        self.alarms.begin_round(self.now());
        self.end_finished_tasks();
        self.start_waiting();
        self.start_refresh();
        if self.is_backing_off() {
            return Ok(false);
        }
        self.renew().await?;
        self.start_waiting();
        self.rescue().await?;
        let is_busy = self.record_and_claim().await?;
        self.clean_up().await?;
        self.store_works();
        Ok(is_busy)
    }

    fn outages(&self) -> Vec<Outage> {
        if self.evidence.is_empty() {
            Vec::new()
        } else {
            self.evidence.outages()
        }
    }

    /// When the next thing is due by itself.
    fn alarm(&self) -> Option<DateTime<Utc>> {
        if let Some(retry_at) = self.alarms.retry_at() {
            return Some(retry_at);
        }
        [
            self.alarms.next(self.may_claim()),
            self.leases.next_renewal(),
            self.grace.as_ref().map(Grace::ends_at),
            self.next_pause_end(),
            self.waiting.until(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// When the next pause ends. Not from now on: one may have ended while the store was asked.
    fn next_pause_end(&self) -> Option<DateTime<Utc>> {
        self.evidence.next_end(self.alarms.looked_at())
    }

    fn now(&self) -> DateTime<Utc> {
        self.shared.clock.now()
    }
}

/// Whether the store will never do anything again: it was closed, or its file is gone.
fn is_final(error: &StoreError) -> bool {
    let kind = error.kind();
    kind == StoreErrorKind::Closed || kind == StoreErrorKind::FileReplaced
}

/// Sleeps until the alarm, or forever without one.
async fn sleep_until(clock: &dyn Clock, alarm: Option<DateTime<Utc>>) {
    match alarm {
        Some(alarm) => clock.sleep_until(alarm).await,
        None => std::future::pending().await,
    }
}
