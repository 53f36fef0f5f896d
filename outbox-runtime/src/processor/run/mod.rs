//! The run: one loop that claims, starts handlers, records outcomes, keeps leases, and sleeps until something happens.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use self::ahead::{Pace, Waiting};
use self::jumps::Reading;
use self::turns::Turns;
use super::attempt::Ended;
use super::pauses::Pauses;
use super::routes::HandlerIndex;
use super::{Shared, Stopped};
use crate::claim::{Claim, Lease};
use crate::clock::{self, Clock};
use crate::error::StoreError;
use crate::outcome::Settlement;
use crate::repository::Revision;
use crate::retry::RetryPolicy;
use crate::statistics::WaitsFor;

mod ahead; // claimed before a handler is free, where handlers are quick
mod claiming; // how much, of what, and starting its handlers
mod ending; // what an attempt means, and recording it
mod jumps; // what a clock that was set must not do
mod stopping; // waiting for handlers, giving back the rest
mod suspension; // letting go of the files, and taking up work again
mod turns; // nobody waits for the backlog of somebody else
mod upkeep; // keeping leases, cleaning up

/// What a [`Running`](super::Running) handle asks of its run.
pub(super) enum Command {
    Trigger,
    Online,
    Explain {
        event_type: String,
        user_id: String,
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
    inbox: mpsc::Receiver<Command>,
    /// Moves whenever an outcome was recorded or a pause began, for those who wait for one.
    progress: watch::Sender<u64>,
    stop: CancellationToken,
    /// Cuts the wait of a stop short.
    hurry: CancellationToken,

    tasks: JoinSet<Done>,
    /// What each task is about: a task that panics cannot tell.
    jobs: HashMap<Id, Job>,
    /// Leases to be kept: of attempts under way, and of outcomes that are not recorded yet.
    leases: HashMap<Uuid, Held>,
    /// Claimed, and started as soon as a handler is free.
    waiting: Waiting,
    pace: Pace,
    turns: Turns,
    unrecorded: Vec<Settlement>,
    /// Something ended while the store was asked, so that what it was asked for may not be all that can be had.
    ended_meanwhile: bool,
    pauses: Pauses,
    /// Event types that were met and that no handler takes, each once.
    unhandled: Vec<String>,
    /// When the leases of each duration are renewed next.
    renew_at: BTreeMap<Duration, DateTime<Utc>>,
    /// When delivered events are cleaned up next; `None` while there are none.
    clean_up_at: Option<DateTime<Utc>>,
    /// When the store, as far as is known, has something due.
    due_at: Option<DateTime<Utc>>,
    back_off: Option<BackOff>,
    /// What the clock told the last time, so that a jump is noticed.
    reading: Reading,
    /// Until then nobody's work is taken from him, after a jump.
    rescue_from: Option<DateTime<Utc>>,
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
    ByStore,
    ByClock,
    /// There is more to do at once.
    Busy,
    Stopped,
}

/// A task with what it brought back, or with what its panic left.
type TaskEnd = Result<(Id, Done), JoinError>;

enum Job {
    Attempt(Box<Attempt>),
    Refresh { user_id: String },
}

/// An attempt under way.
struct Attempt {
    claim: Arc<Claim>,
    retry: RetryPolicy,
    handler: HandlerIndex,
    /// The credentials that it began with.
    credentials: u64,
    /// The rate limits that were known when it began.
    rate_limits: u64,
    abort: AbortHandle,
    /// Somebody else has the event: whatever the handler answers, nothing is recorded.
    lease_lost: bool,
}

/// A lease, and for how long it is renewed each time.
struct Held {
    lease: Lease,
    duration: Duration,
}

struct BackOff {
    until: DateTime<Utc>,
    delay: Duration,
}

impl Run {
    pub(super) fn new(
        shared: Arc<Shared>,
        user_id: Option<String>,
        inbox: mpsc::Receiver<Command>,
        progress: watch::Sender<u64>,
        stop: CancellationToken,
        hurry: CancellationToken,
    ) -> Self {
        let now = shared.clock.now();
        Self {
            user_id,
            inbox,
            progress,
            stop,
            hurry,
            tasks: JoinSet::new(),
            jobs: HashMap::new(),
            leases: HashMap::new(),
            waiting: Waiting::default(),
            pace: Pace::default(),
            turns: Turns::default(),
            unrecorded: Vec::new(),
            ended_meanwhile: false,
            pauses: Pauses::default(),
            unhandled: Vec::new(),
            renew_at: BTreeMap::new(),
            clean_up_at: Some(clock::after(now, shared.settings.cleanup_interval)),
            // Whatever died before this run began is found first.
            due_at: Some(now),
            back_off: None,
            reading: Reading::of(shared.clock.as_ref()),
            rescue_from: None,
            shared,
        }
    }

    /// Until stopped: do what there is to do, then sleep until something happens.
    pub(super) async fn run(mut self) -> Result<Stopped, StoreError> {
        info!(all_users = self.user_id.is_none(), "outbox run started");
        while !self.stop.is_cancelled() {
            // A store that answers without waiting could else keep its thread from everybody else.
            tokio::task::consume_budget().await;
            // Taken before looking, so that what is committed while looking is not missed.
            let seen = self.shared.repository.revision();
            let is_busy = match self.work().await {
                Ok(is_busy) => is_busy,
                Err(error) => {
                    self.back_off(&error);
                    false
                }
            };
            match self.wait(seen, is_busy).await {
                Woken::Ended(done) => self.take_in(done),
                Woken::Asked(command) => self.obey(command).await,
                Woken::ByStore | Woken::ByClock | Woken::Busy | Woken::Stopped => {}
            }
        }
        self.wind_down().await
    }

    /// Sleeps until something happens; no query runs meanwhile. Where there is more to do, it only looks who asks for something.
    async fn wait(&mut self, seen: Revision, is_busy: bool) -> Woken {
        let listens = self.may_claim();
        let alarm = self.alarm();
        let shared = &self.shared;
        tokio::select! {
            // Every round does all that is due, whatever it was woken by; so no branch can starve, and a run in a simulation
            // takes the same course each time.
            biased;
            () = self.stop.cancelled() => Woken::Stopped,
            command = self.inbox.recv() => Woken::Asked(command),
            () = std::future::ready(()), if is_busy => Woken::Busy,
            Some(done) = self.tasks.join_next_with_id() => Woken::Ended(done),
            _ = shared.repository.changed(seen), if listens => Woken::ByStore,
            () = sleep_until(shared.clock.as_ref(), alarm) => Woken::ByClock,
        }
    }

    /// One round: rescue, renew, record, claim, clean up, each where it is due. `true`: another one has work to do.
    async fn work(&mut self) -> Result<bool, StoreError> {
        self.follow_clock();
        while let Some(done) = self.tasks.try_join_next_with_id() {
            self.take_in(done);
        }
        self.start_waiting();
        self.start_refresh();
        if self.is_backing_off() {
            return Ok(false);
        }
        self.renew().await?;
        self.start_waiting();
        if self.is_rescue_due() {
            let rescued = self.shared.repository.rescue().await?;
            if rescued.requeued + rescued.buried > 0 {
                warn!(
                    requeued = rescued.requeued,
                    dead = rescued.buried,
                    "took events back whose lease had ended"
                );
                self.made_progress();
            }
        }
        let is_busy = self.record_and_claim().await?;
        self.clean_up().await?;
        self.back_off = None;
        Ok(is_busy)
    }

    async fn obey(&mut self, command: Option<Command>) {
        match command {
            Some(Command::Trigger) => {
                self.pauses.probe_now(self.now());
                self.due_at = Some(self.now());
            }
            Some(Command::Online) => self.went_online(),
            Some(Command::Explain {
                event_type,
                user_id,
                reply,
            }) => {
                let waits_for = match self.shared.routes.route(&event_type, &self.shared.settings) {
                    Some(route) => self.pauses.explain(&user_id, route.index, self.now()),
                    None => Some(WaitsFor::Registration { event_type }),
                };
                // Whoever asked may have stopped waiting.
                let _ = reply.send(waits_for);
            }
            // Whoever asked for the following, too.
            Some(Command::SignOut { user_id, reply }) => {
                let _ = reply.send(self.sign_out(user_id).await);
            }
            Some(Command::SignIn { user_id }) => {
                self.pauses.signed_in(&user_id);
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
        let pause = self.pauses.next_end(self.now());
        let patience = self.waiting.until();
        [
            due,
            self.next_renewal(),
            self.clean_up_at,
            self.rescue_from,
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
        // As Debug has it: what a driver says may hold anything.
        let text = error.to_string();
        warn!(error = ?text, retry_in = ?delay, "the store failed");
        self.back_off = Some(BackOff {
            until: clock::after(self.now(), delay),
            delay,
        });
    }

    fn is_backing_off(&self) -> bool {
        let back_off = self.back_off.as_ref();
        back_off.is_some_and(|back_off| back_off.until > self.now())
    }

    fn made_progress(&self) {
        self.progress
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    fn now(&self) -> DateTime<Utc> {
        self.shared.clock.now()
    }
}

/// For ever, where there is nothing to wake for.
async fn sleep_until(clock: &dyn Clock, alarm: Option<DateTime<Utc>>) {
    match alarm {
        Some(alarm) => clock.sleep_until(alarm).await,
        None => std::future::pending().await,
    }
}
