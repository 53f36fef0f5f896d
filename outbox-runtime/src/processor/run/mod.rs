//! The run: one loop that claims, starts handlers, records outcomes, keeps leases, and sleeps until something happens.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::ahead::{Pace, Waiting};
use self::idle::Idle;
use self::jumps::{Grace, Reading};
use self::leases::Leases;
use self::turns::Turns;
use self::unhandled::Unhandled;
use super::attempt::Ended;
use super::evidence::{Evidence, Facts};
use super::health::{Ending, Health, Trouble, TroubleKind};
use super::nudges::Nudges;
use super::{Shared, Stopped};
use crate::clock::{self, Clock};
use crate::error::{StoreError, StoreErrorKind};
use crate::event::OutboxEvent;
use crate::outage::Outage;
use crate::outcome::Settlement;
use crate::repository::Revision;
use crate::retry::RetryPolicy;
use crate::statistics::WaitsFor;

mod ahead; // claimed before a handler is free, where handlers are quick
mod claiming; // how much, of what, and starting its handlers
mod ending; // what an attempt means, and recording it
mod idle; // rounds that change nothing are not repeated at once
mod jumps; // what a clock that was set must not do
mod leases; // what is held, and when it is renewed
mod stopping; // waiting for handlers, giving back the rest
mod suspension; // letting go of the files, and taking up work again
mod turns; // nobody waits for the backlog of somebody else
mod unhandled; // event types that no handler takes
mod upkeep; // keeping leases, cleaning up

/// What a [`Running`](super::Running) handle asks of its run.
pub(super) enum Command {
    Explain {
        event: Box<OutboxEvent>,
        reply: oneshot::Sender<Option<WaitsFor>>,
    },
    /// Ends the work on one user's events. Answered when nothing of the user is under way.
    SignOut {
        user_id: String,
        reply: oneshot::Sender<Result<(), StoreError>>,
    },
    SignIn {
        user_id: String,
    },
    /// Ends all work and closes the store's files. Answered when that is done.
    Suspend {
        within: Duration,
        reply: oneshot::Sender<Result<Stopped, StoreError>>,
    },
    Resume {
        reply: oneshot::Sender<Result<(), StoreError>>,
    },
}

/// After a storage error the store is left alone for this long; doubled up to the longest.
const FIRST_BACK_OFF: Duration = Duration::from_millis(100);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);

pub(super) struct Run {
    shared: Arc<Shared>,
    user_id: Option<String>,
    inbox: mpsc::UnboundedReceiver<Command>,
    nudges: Arc<Nudges>,
    health: watch::Sender<Health>,
    /// Moves whenever an outcome was recorded or a pause began, for those who wait for one.
    progress: watch::Sender<u64>,
    stop: CancellationToken,
    /// Cuts the wait of a stop short.
    hurry: CancellationToken,

    tasks: JoinSet<Done>,
    /// What each task is about: a task that panics cannot tell.
    jobs: HashMap<Id, Job>,
    /// Leases to be kept: of attempts under way, and of outcomes that are not recorded yet.
    leases: Leases,
    /// Claimed, and started as soon as a handler is free.
    waiting: Waiting,
    pace: Pace,
    turns: Turns,
    unrecorded: Vec<Settlement>,
    /// Something ended while the store was asked, so that what it was asked for may not be all that can be had.
    ended_meanwhile: bool,
    evidence: Evidence,
    /// The outages that [`Health`] tells of.
    outages: Vec<Outage>,
    /// Which claim goes first among those that may be made.
    turn: usize,
    /// Event types that are there and that no handler takes.
    unhandled: Unhandled,
    /// When delivered events are cleaned up next; `None` while there are none.
    clean_up_at: Option<DateTime<Utc>>,
    /// When this round began to look: what became due since is for the next one.
    looked_at: DateTime<Utc>,
    /// When the store, as far as is known, has something due.
    due_at: Option<DateTime<Utc>>,
    back_off: Option<BackOff>,
    /// What the clock told the last time, so that a jump is noticed.
    reading: Reading,
    /// After a jump nobody's work is taken from him for a while.
    grace: Option<Grace>,
    /// Counts everything that a round can change, to tell rounds that changed nothing.
    activity: u64,
    idle: Idle,
    /// The store was closed for good, which ends the run.
    closed_by: Option<StoreError>,
}

/// What a task brings back.
enum Done {
    /// And how long it took.
    Attempt(Ended, Duration),
    Refresh(Result<(), String>),
}

/// What ends a sleep.
enum Woken {
    Ended(TaskEnd),
    Asked(Option<Command>),
    /// By the store, by the clock, by a nudge, or there is more to do at once: a round does whatever is due.
    ToWork,
    Stopped,
}

/// A task with what it brought back, or with what its panic left.
type TaskEnd = Result<(Id, Done), JoinError>;

enum Job {
    Attempt(Box<Attempt>),
    Refresh { user_id: String, abort: AbortHandle },
}

/// An attempt under way.
struct Attempt {
    facts: Facts,
    retry: RetryPolicy,
    /// Whether its failures count whatever becomes of others.
    is_always_charged: bool,
    max_snoozes: Option<u32>,
    /// The credentials that it began with.
    credentials: u64,
    abort: AbortHandle,
    /// Somebody else has the event: whatever the handler answers, nothing is recorded.
    lease_lost: bool,
}

struct BackOff {
    until: DateTime<Utc>,
    delay: Duration,
}

/// What connects a run with its handles.
pub(super) struct Wires {
    pub(super) inbox: mpsc::UnboundedReceiver<Command>,
    pub(super) nudges: Arc<Nudges>,
    pub(super) health: watch::Sender<Health>,
    pub(super) progress: watch::Sender<u64>,
    pub(super) stop: CancellationToken,
    pub(super) hurry: CancellationToken,
}

impl Run {
    pub(super) fn new(shared: Arc<Shared>, user_id: Option<String>, wires: Wires) -> Self {
        let Wires {
            inbox,
            nudges,
            health,
            progress,
            stop,
            hurry,
        } = wires;
        let now = shared.clock.now();
        let settings = &shared.settings;
        Self {
            evidence: Evidence::new(settings.max_concurrency, settings.shares_network),
            outages: Vec::new(),
            turn: 0,
            user_id,
            inbox,
            nudges,
            health,
            progress,
            stop,
            hurry,
            tasks: JoinSet::new(),
            jobs: HashMap::new(),
            leases: Leases::default(),
            waiting: Waiting::default(),
            pace: Pace::default(),
            turns: Turns::default(),
            unrecorded: Vec::new(),
            ended_meanwhile: false,
            unhandled: Unhandled::default(),
            clean_up_at: Some(clock::after(now, shared.settings.cleanup_interval)),
            looked_at: now,
            // Whatever died before this run began is found first.
            due_at: Some(now),
            back_off: None,
            reading: Reading::of(shared.clock.as_ref()),
            grace: None,
            activity: 0,
            idle: Idle::default(),
            closed_by: None,
            shared,
        }
    }

    /// Until stopped: do what there is to do, then sleep until something happens.
    pub(super) async fn run(mut self) -> Ending {
        info!(all_users = self.user_id.is_none(), "outbox run started");
        self.nudges.began();
        while !self.stop.is_cancelled() {
            // A store that answers without waiting could else keep its thread from everybody else.
            tokio::task::consume_budget().await;
            // Taken before looking, so that what is committed while looking is not missed.
            let seen = self.shared.repository.revision();
            let before = self.activity;
            let is_busy = match self.work().await {
                Ok(is_busy) => is_busy,
                Err(error) if is_final(&error) => {
                    self.tell_store_is_gone(&error);
                    self.closed_by = Some(error);
                    break;
                }
                Err(error) => {
                    self.back_off(&error);
                    false
                }
            };
            let has_changed = self.activity != before || self.back_off.is_some();
            match self.wait(seen, is_busy, has_changed).await {
                Woken::Ended(done) => self.take_in(done),
                Woken::Asked(command) => self.obey(command).await,
                Woken::ToWork | Woken::Stopped => {}
            }
        }
        let closed_by = self.closed_by.take();
        Ending {
            stopped: self.wind_down().await,
            closed_by,
        }
    }

    /// Sleeps until something happens; no query runs meanwhile. Where there is more to do, it only looks who asks for something.
    async fn wait(&mut self, seen: Revision, is_busy: bool, has_changed: bool) -> Woken {
        self.tell_outages();
        let listens = self.may_claim();
        let now = self.now();
        let (is_busy, alarm) = self.idle.delayed(is_busy, self.alarm(), has_changed, now);
        let shared = &self.shared;
        tokio::select! {
            // Every round does all that is due, whatever it was woken by; so no branch can starve, and a run in a simulation
            // takes the same course each time.
            biased;
            () = self.stop.cancelled() => Woken::Stopped,
            command = self.inbox.recv() => Woken::Asked(command),
            () = self.nudges.nudged() => Woken::ToWork,
            () = std::future::ready(()), if is_busy => Woken::ToWork,
            Some(done) = self.tasks.join_next_with_id() => Woken::Ended(done),
            _ = shared.repository.changed(seen), if listens => Woken::ToWork,
            () = sleep_until(shared.clock.as_ref(), alarm) => Woken::ToWork,
        }
    }

    /// One round: rescue, renew, record, claim, clean up, each where it is due. `true`: another one has work to do.
    async fn work(&mut self) -> Result<bool, StoreError> {
        self.heed_nudges();
        self.follow_clock();
        self.looked_at = self.now();
        self.take_in_ended();
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

    /// Keeps what [`Health`] tells of outages up to date.
    fn tell_outages(&mut self) {
        let outages = if self.evidence.is_empty() {
            Vec::new()
        } else {
            self.evidence.outages()
        };
        if outages != self.outages {
            self.health
                .send_modify(|health| health.set_outages(&outages));
            self.outages = outages;
        }
    }

    fn heed_nudges(&mut self) {
        let now = self.now();
        if self.nudges.take_online() {
            self.activity += 1;
            self.evidence.probe_now(true, now);
            self.due_at = Some(now);
        }
        if self.nudges.take_trigger() {
            self.activity += 1;
            self.evidence.probe_now(false, now);
            self.due_at = Some(now);
            if let Some(back_off) = &mut self.back_off {
                back_off.until = back_off.until.min(now);
            }
        }
    }

    async fn obey(&mut self, command: Option<Command>) {
        self.activity += 1;
        match command {
            Some(Command::Explain { event, reply }) => {
                let routes = &self.shared.routes;
                let waits_for = match routes.route(&event.event_type, &self.shared.settings) {
                    Some(route) => self
                        .evidence
                        .explain(route.index, &event, self.now())
                        .or_else(|| self.explain_idleness()),
                    None => Some(WaitsFor::Registration {
                        event_type: event.event_type,
                    }),
                };
                // Whoever asked may have stopped waiting.
                let _ = reply.send(waits_for);
            }
            // Whoever asked for the following, too.
            Some(Command::SignOut { user_id, reply }) => {
                let _ = reply.send(self.sign_out(user_id).await);
            }
            Some(Command::SignIn { user_id }) => {
                self.evidence.credentials.signed_in(&user_id);
                self.due_at = Some(self.now());
            }
            Some(Command::Suspend { within, reply }) => self.suspend(within, reply).await,
            Some(Command::Resume { reply }) => {
                let _ = reply.send(self.shared.repository.resume().await);
            }
            // The handle is gone, which has stopped the run as well.
            None => self.stop.cancel(),
        }
    }

    /// When the next thing is due by itself.
    fn alarm(&self) -> Option<DateTime<Utc>> {
        if let Some(back_off) = &self.back_off {
            return Some(back_off.until);
        }
        let due = self.due_at.filter(|_| self.may_claim());
        // Not from now on: a pause may have ended while the store was asked.
        let pause = if self.evidence.is_empty() {
            None
        } else {
            self.evidence.next_end(&self.flight(), self.looked_at)
        };
        let patience = self.waiting.until();
        [
            due,
            self.next_renewal(),
            self.clean_up_at,
            self.grace.as_ref().map(Grace::ends_at),
            pause,
            patience,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn back_off(&mut self, error: &StoreError) {
        let delay = self.back_off.as_ref().map_or(FIRST_BACK_OFF, |last| {
            (last.delay * 2).min(LONGEST_BACK_OFF)
        });
        // What is held is renewed before others may take it.
        let soon = self.leases.shortest().map(|lease| lease / 6);
        let wait = soon.map_or(delay, |soon| delay.min(soon.max(FIRST_BACK_OFF)));
        // As Debug has it: what a driver says may hold anything.
        let text = error.to_string();
        warn!(error = ?text, retry_in = ?wait, "the store failed");
        let now = self.now();
        let until = clock::after(now, wait);
        self.back_off = Some(BackOff { until, delay });
        let trouble = Trouble::new(TroubleKind::Store(error.kind()), now, text, Some(until));
        self.health.send_modify(|health| health.add(trouble));
    }

    /// The run ends with it, though not before its handlers.
    fn tell_store_is_gone(&mut self, error: &StoreError) {
        // As Debug has it: what a driver says may hold anything.
        let text = error.to_string();
        warn!(error = ?text, "the store is gone, and the run ends with it");
        let trouble = Trouble::new(TroubleKind::Store(error.kind()), self.now(), text, None);
        self.health.send_modify(|health| health.add(trouble));
    }

    /// The store has done what it was asked.
    fn store_works(&mut self) {
        if self.back_off.take().is_some() {
            info!("the store works again");
            let is_of_store = |kind: &TroubleKind| matches!(kind, TroubleKind::Store(_));
            self.health.send_modify(|health| health.clear(is_of_store));
        }
    }

    fn is_backing_off(&self) -> bool {
        let back_off = self.back_off.as_ref();
        back_off.is_some_and(|back_off| back_off.until > self.now())
    }

    /// What keeps this run from claiming what it may claim, apart from pauses.
    fn explain_idleness(&self) -> Option<WaitsFor> {
        if let Some(back_off) = self.back_off.as_ref().filter(|_| self.is_backing_off()) {
            return Some(WaitsFor::Store {
                retry_at: back_off.until,
            });
        }
        (self.attempts() >= self.shared.settings.max_concurrency).then_some(WaitsFor::FreeHandler)
    }

    fn made_progress(&mut self) {
        self.activity += 1;
        self.progress
            .send_modify(|count| *count = count.wrapping_add(1));
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

/// For ever, where there is nothing to wake for.
async fn sleep_until(clock: &dyn Clock, alarm: Option<DateTime<Utc>>) {
    match alarm {
        Some(alarm) => clock.sleep_until(alarm).await,
        None => std::future::pending().await,
    }
}
