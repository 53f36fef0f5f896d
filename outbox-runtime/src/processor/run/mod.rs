//! The run: one loop that claims, starts handlers, records outcomes, keeps leases, and sleeps until
//! something happens.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::{broadcast, mpsc, watch};
use tracing::info;

use self::activity::Activity;
use self::alarms::Alarms;
use self::batches::Batches;
use self::grace::Grace;
use self::jobs::{Jobs, TaskEnd};
use self::leases::Leases;
use self::listeners::Listeners;
use self::metering::Meter;
use self::orphans::Orphans;
use self::pace::Pace;
use self::presence::Presence;
use self::promised::Promised;
use self::reading::Reading;
use self::report::Report;
use self::sampler::Sampler;
use self::spans::Spans;
use self::turns::Turns;
use self::unhandled::Unhandled;
use self::unrecorded::Unrecorded;
use self::waiting::Waiting;
use super::command::Command;
use super::ending::Ending;
use super::evidence::Evidence;
use super::health::Health;
use super::limits::Member;
use super::nudges::Nudges;
use super::outcomes::RunOutcome;
use super::shared::Shared;
use super::unhandled_types::Looked;
use crate::cancel::Cancel;
use crate::clock::{self, Clock};
use crate::error::{StoreError, StoreErrorKind};
use crate::outage::Outage;
use crate::presence::Announcement;
use crate::repository::Revision;

// Parts of a run that do not know the run.
mod activity; // counts changes, and tells waiters about progress
mod alarms; // due times, and the back-off from a failing store
mod batches; // events that are sent together
mod gathering; // a batch that waits for more events
mod grace; // after a clock jump, rescues nothing from live processes
mod idle; // delays rounds that change nothing
mod jobs; // the tasks in flight
mod lanes; // the lanes of a batch
mod leases; // the leases held, and when they are renewed
mod listeners; // tells the application of outcomes
mod metering; // the metrics of a run
mod orphans; // whether the run has looked for types that nobody handles
mod pace; // how quick handlers have been lately
mod presence; // whether the run is announced
mod promised; // handlers that complete their events themselves
mod reading; // clock readings, to detect a jump
mod report; // the health that handles read
mod sampler; // when gauges are sampled
mod search; // the halves of a refused batch
mod spans; // the spans of attempts
mod turns; // no starvation: a quarter of every claim is round-robin
mod unhandled; // event types without a handler
mod unrecorded; // outcomes not recorded yet
mod waiting; // claimed events whose handlers have not started

// Steps of a run.
mod ahead; // claims ahead of free handlers if handlers are quick
mod announcing; // tells the store of the run
mod batch_ending; // the same for batches
mod batching; // gathers batches and starts them
mod claiming; // decides what to claim, and how much
mod commands; // commands and nudges from handles
mod ending; // turns the end of an attempt into an outcome
mod following; // adds to batches what follows their events in its lane
mod jumps; // follows clock jumps, rescues expired work
mod limiting; // obeys the limits of destinations
mod looking; // tells once which stored types nobody handles
mod pausing; // gives back what a pause holds back meanwhile
mod recording; // settles attempts and records outcomes
mod retiring; // settles events of retired types
mod starting; // starts handlers and refreshes of credentials
mod stopping; // waits for handlers, gives back the rest
mod suspension; // closes the files, and resumes work later
mod upkeep; // renews leases, cleans up

pub(super) struct Run {
    shared: Arc<Shared>,
    user_id: Option<String>,
    controls: Controls,
    report: Report,
    activity: Activity,
    listeners: Listeners,
    meter: Meter,
    sampler: Sampler,
    spans: Spans,

    jobs: Jobs,
    /// Leases to renew: those of attempts in flight, of waiting events, and of unrecorded outcomes.
    leases: Leases,
    unrecorded: Unrecorded,
    promised: Promised,
    /// A task ended during a request to the store, so the store's answer may be outdated.
    ended_meanwhile: bool,
    /// Claimed events that start as soon as a handler is free.
    waiting: Waiting,
    /// Whether the last claim of any events brought less than it asked for.
    took_all: bool,
    /// Until when the run leaves the store alone, to record outcomes together.
    leaves_until: Option<DateTime<Utc>>,
    /// Claimed events that are sent in batches.
    batches: Batches,
    /// The state of the store in which the batches had all that follows in their lanes.
    followed: Option<Revision>,
    /// The state of the store in which the batches had nothing that is paused.
    heeded: Option<Revision>,
    pace: Pace,
    turns: Turns,
    /// Places at limited destinations.
    limits: Member,
    /// The turns of the claims for each limited destination.
    limited_turns: Vec<Turns>,
    /// Rotates which of the possible claims goes first.
    rotation: usize,
    evidence: Evidence,
    presence: Presence,
    /// Event types without a handler.
    unhandled: Unhandled,
    orphans: Orphans,
    alarms: Alarms,
    /// The last reading of the clock, to notice a jump.
    reading: Reading,
    /// After a clock jump, rescue nothing from live processes for a while.
    grace: Option<Grace>,
}

/// The reason why a sleep ended.
enum Woken {
    Ended(TaskEnd),
    /// A handle sent a command; `None` when the last handle is gone.
    Command(Option<Command>),
    /// The store, the clock, or a nudge woke the run, or more work is ready: the next round does
    /// whatever is due.
    ToWork,
    Stopped,
}

/// Connects a run to its handles.
pub(super) struct Controls {
    pub(super) inbox: mpsc::UnboundedReceiver<Command>,
    pub(super) nudges: Arc<Nudges>,
    pub(super) stop: Cancel,
    /// Cuts short the wait of a stop.
    pub(super) hurry: Cancel,
}

impl Run {
    pub(super) fn new(
        shared: Arc<Shared>,
        user_id: Option<String>,
        controls: Controls,
        health: watch::Sender<Health>,
        progress: watch::Sender<u64>,
        outcomes: broadcast::Sender<RunOutcome>,
        orphans: watch::Sender<Option<Looked>>,
    ) -> Self {
        let now = shared.clock.now();
        let settings = &shared.settings;
        let clean_up_at = clock::after(now, settings.cleanup_interval);
        let announcement = announcement(&shared, user_id.as_deref());
        let limits = Member::new(&shared.limits);
        Self {
            user_id,
            controls,
            report: Report::new(health),
            activity: Activity::new(progress),
            listeners: Listeners::new(outcomes, settings.on_dead.clone()),
            meter: Meter::new(),
            sampler: Sampler::new(settings.sample_interval),
            spans: Spans::new(settings.links_traces),
            jobs: Jobs::default(),
            leases: Leases::default(),
            unrecorded: Unrecorded::default(),
            promised: Promised::new(!settings.keep_completed.is_zero()),
            ended_meanwhile: false,
            waiting: Waiting::default(),
            took_all: false,
            leaves_until: None,
            batches: Batches::default(),
            followed: None,
            heeded: None,
            pace: Pace::default(),
            turns: Turns::default(),
            limited_turns: limits.destinations().map(|_| Turns::default()).collect(),
            limits,
            rotation: 0,
            evidence: Evidence::new(settings.max_concurrency, settings.shares_network),
            presence: Presence::new(announcement),
            unhandled: Unhandled::default(),
            orphans: Orphans::new(orphans),
            alarms: Alarms::new(now, clean_up_at),
            reading: Reading::of(shared.clock.as_ref()),
            grace: None,
            shared,
        }
    }

    /// Alternates between work and sleep until the run is stopped.
    pub(super) async fn run(mut self) -> Ending {
        info!(all_users = self.user_id.is_none(), "outbox run started");
        self.controls.nudges.began();
        // Set when the store is closed for good, which ends the run.
        let mut closed_by = None;
        while !self.controls.stop.is_cancelled() {
            // Yield now and then: a store that answers without waiting would starve other tasks.
            tokio::task::consume_budget().await;
            // Read the revision before looking, so that no commit meanwhile is missed.
            let seen = self.shared.queue.revision();
            let before = self.activity.count();
            let is_busy = match self.work().await {
                Ok(is_busy) => is_busy,
                Err(error) if is_final(&error) => {
                    self.report_store_gone(&error);
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
        self.publish_places(false);
        let has_limits = !self.limits.is_empty();
        let shared = &self.shared;
        tokio::select! {
            // Every round does everything that is due, no matter what woke it, so no branch can
            // starve. The fixed order makes simulated runs repeatable.
            biased;
            () = self.controls.stop.cancelled() => Woken::Stopped,
            command = self.controls.inbox.recv() => Woken::Command(command),
            () = self.controls.nudges.nudged() => Woken::ToWork,
            () = std::future::ready(()), if is_busy => Woken::ToWork,
            Some(end) = self.jobs.next() => Woken::Ended(end),
            _ = shared.queue.changed(seen), if listens => Woken::ToWork,
            () = self.limits.woken(), if has_limits => Woken::ToWork,
            () = sleep_until(shared.clock.as_ref(), alarm) => Woken::ToWork,
        }
    }

    /// Does one round: renews, rescues, records, claims, and cleans up, each if due. Returns
    /// whether another round has work to do.
    async fn work(&mut self) -> Result<bool, StoreError> {
        self.handle_nudges();
        self.follow_clock();
        self.alarms.begin_round(self.now());
        self.end_finished_tasks();
        self.unrecorded.resume(self.now());
        self.close_batches().await;
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
        self.announce().await;
        self.look_for_orphans().await;
        self.sample().await;
        // Attempts may have ended since the last claim.
        Ok(is_busy || self.ended_meanwhile)
    }

    fn outages(&self) -> Vec<Outage> {
        if self.evidence.is_empty() {
            Vec::new()
        } else {
            self.evidence.outages()
        }
    }

    /// When the run next has something to do by itself.
    fn alarm(&self) -> Option<DateTime<Utc>> {
        if let Some(retry_at) = self.alarms.retry_at() {
            return Some(retry_at);
        }
        [
            self.alarms
                .next(self.leaves_until.is_none() && self.may_claim()),
            self.leases.next_renewal(),
            self.unrecorded.again_at(),
            self.grace.as_ref().map(Grace::ends_at),
            self.next_pause_end(),
            self.next_paced_call(),
            self.waiting.until(),
            self.leaves_until,
            self.batches.until(),
            self.sampler.due_at(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// When the next pause ends, counted from the start of the round: one may have ended during a
    /// request to the store.
    fn next_pause_end(&self) -> Option<DateTime<Utc>> {
        if self.evidence.is_empty() {
            return None;
        }
        self.evidence
            .next_pause_end(&self.flight(), self.alarms.looked_at())
    }

    fn now(&self) -> DateTime<Utc> {
        self.shared.clock.now()
    }
}

/// How the run announces itself to its store.
fn announcement(shared: &Shared, user_id: Option<&str>) -> Announcement {
    let announcement = Announcement::new(shared.clock.now());
    let announcement = match user_id {
        Some(user_id) => announcement.with_user(user_id),
        None => announcement,
    };
    let announcement = announcement.with_held_types(shared.routes.held_types());
    match shared.routes.announced_types() {
        Some(types) => announcement.with_event_types(types),
        None => announcement,
    }
}

/// Whether the store will never work again: it was closed, or its file is gone.
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
