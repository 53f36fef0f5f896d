//! The run: one loop that claims, starts handlers, records outcomes, keeps leases, and sleeps until something happens.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error, info, info_span, warn};
use uuid::Uuid;

use super::attempt::{self, Ended};
use super::pauses::{Pauses, Permission};
use super::routes::HandlerIndex;
use super::{Shared, Stopped};
use crate::claim::{Claim, ClaimRequest, Lease};
use crate::clock::{self, Clock};
use crate::error::StoreError;
use crate::event::OutboxStatus;
use crate::handler::Delivery;
use crate::outcome::{Disposition, Outcome, Settled, Settlement};
use crate::repository::Revision;
use crate::retry::RetryPolicy;
use crate::statistics::WaitsFor;

/// What a [`Running`](super::Running) handle asks of its run.
pub(super) enum Command {
    Trigger,
    Online,
    Explain {
        event_type: String,
        user_id: String,
        reply: oneshot::Sender<Option<WaitsFor>>,
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

    tasks: JoinSet<Done>,
    /// What each task is about: a task that panics cannot tell.
    jobs: HashMap<Id, Job>,
    /// Leases to be kept: of attempts under way, and of outcomes that are not recorded yet.
    leases: HashMap<Uuid, Lease>,
    unrecorded: Vec<Settlement>,
    pauses: Pauses,
    /// Event types that were met and that no handler takes.
    unhandled: Vec<String>,
    /// When the leases are renewed next.
    renew_at: Option<DateTime<Utc>>,
    /// When delivered events are cleaned up next; `None` while there are none.
    clean_up_at: Option<DateTime<Utc>>,
    /// When the store, as far as is known, has something due.
    due_at: Option<DateTime<Utc>>,
    back_off: Option<BackOff>,
}

/// What a task brings back.
enum Done {
    Attempt(Ended),
    Refresh(Result<(), String>),
}

/// What ends a sleep.
enum Woken {
    Ended(TaskEnd),
    Asked(Option<Command>),
    ByStore,
    ByClock,
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
    claim: Claim,
    retry: RetryPolicy,
    handler: HandlerIndex,
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

impl Run {
    pub(super) fn new(
        shared: Arc<Shared>,
        user_id: Option<String>,
        inbox: mpsc::Receiver<Command>,
        progress: watch::Sender<u64>,
        stop: CancellationToken,
    ) -> Self {
        let now = shared.clock.now();
        Self {
            user_id,
            inbox,
            progress,
            stop,
            tasks: JoinSet::new(),
            jobs: HashMap::new(),
            leases: HashMap::new(),
            unrecorded: Vec::new(),
            pauses: Pauses::default(),
            unhandled: Vec::new(),
            renew_at: None,
            clean_up_at: Some(clock::after(now, shared.settings.cleanup_interval)),
            // Whatever died before this run began is found first.
            due_at: Some(now),
            back_off: None,
            shared,
        }
    }

    /// Until stopped: do what there is to do, then sleep until something happens.
    pub(super) async fn run(mut self) -> Result<Stopped, StoreError> {
        info!(all_users = self.user_id.is_none(), "outbox run started");
        while !self.stop.is_cancelled() {
            // Taken before looking, so that what is committed while looking is not missed.
            let seen = self.shared.repository.revision();
            if let Err(error) = self.work().await {
                self.back_off(&error);
            }
            match self.wait(seen).await {
                Woken::Ended(done) => self.take_in(done),
                Woken::Asked(command) => self.obey(command),
                Woken::ByStore | Woken::ByClock | Woken::Stopped => {}
            }
        }
        self.wind_down().await
    }

    /// Sleeps until something happens; no query runs meanwhile.
    async fn wait(&mut self, seen: Revision) -> Woken {
        let listens = self.may_claim();
        let alarm = self.alarm();
        let shared = &self.shared;
        tokio::select! {
            () = self.stop.cancelled() => Woken::Stopped,
            command = self.inbox.recv() => Woken::Asked(command),
            Some(done) = self.tasks.join_next_with_id() => Woken::Ended(done),
            _ = shared.repository.changed(seen), if listens => Woken::ByStore,
            () = sleep_until(shared.clock.as_ref(), alarm) => Woken::ByClock,
        }
    }

    /// One round: rescue, renew, record, claim, clean up, each where it is due.
    async fn work(&mut self) -> Result<(), StoreError> {
        while let Some(done) = self.tasks.try_join_next_with_id() {
            self.take_in(done);
        }
        self.start_refreshes();
        if self.is_backing_off() {
            return Ok(());
        }
        self.renew().await?;
        if self.due_at.is_some_and(|due| due <= self.now()) {
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
        self.record_and_claim().await?;
        self.clean_up().await?;
        self.back_off = None;
        Ok(())
    }

    /// Records what has ended and fills the free slots, until either nothing is due or no slot is free.
    async fn record_and_claim(&mut self) -> Result<(), StoreError> {
        loop {
            let asked = self.slots();
            if asked == 0 {
                self.due_at = None;
                return self.record().await;
            }
            let request = self.request(asked);
            let repository = Arc::clone(&self.shared.repository);
            // Asked together so that a store can do both in one commit, in this order: what ends lets the next one go.
            let (recorded, claimed) = tokio::join!(self.record(), repository.claim(&request));
            recorded?;
            let claims = claimed?;
            let claimed = claims.len();
            for claim in claims {
                self.start(claim);
            }
            // An event that no handler takes is to be recorded as given back.
            if claimed < asked && self.unrecorded.is_empty() {
                self.due_at = repository.next_due(&request).await?;
                return Ok(());
            }
        }
    }

    /// How many events may be claimed now.
    fn slots(&self) -> usize {
        let settings = &self.shared.settings;
        let free = settings.max_concurrency.saturating_sub(self.attempts());
        let free = free.min(settings.batch_size);
        match self.pauses.permission(self.now()) {
            _ if self.is_own_user_paused() => 0,
            Permission::All => free,
            Permission::Probe => free.min(1),
            Permission::Nothing => 0,
        }
    }

    fn attempts(&self) -> usize {
        let is_attempt = |job: &&Job| matches!(job, Job::Attempt(_));
        self.jobs.values().filter(is_attempt).count()
    }

    fn is_own_user_paused(&self) -> bool {
        let user = self.user_id.as_deref();
        user.is_some_and(|user| self.pauses.is_user_paused(user))
    }

    fn may_claim(&self) -> bool {
        !self.is_backing_off() && self.slots() > 0
    }

    fn request(&self, limit: usize) -> ClaimRequest {
        let now = self.now();
        let paused = |handler| self.pauses.rate_limit(handler, now).is_some();
        let request = ClaimRequest::new(limit, self.shared.settings.lease)
            .with_event_types(self.shared.routes.claimable(&paused, &self.unhandled));
        match &self.user_id {
            Some(user) => request.with_user(user),
            None => request.without_users(self.pauses.paused_users()),
        }
    }

    /// Starts the handler of a claimed event.
    fn start(&mut self, claim: Claim) {
        self.leases.insert(claim.event.id, claim.lease);
        self.keep_leases();
        let settings = &self.shared.settings;
        let Some(route) = self.shared.routes.route(&claim.event.event_type, settings) else {
            let event_type = claim.event.event_type.clone();
            warn!(event_type = ?event_type, "no handler takes this event type; its events wait");
            self.unhandled.push(event_type);
            self.settle(
                &claim,
                Outcome::GivenBack {
                    delay: Duration::ZERO,
                },
                &RetryPolicy::default(),
            );
            return;
        };
        if self.pauses.permission(self.now()) == Permission::Probe {
            self.pauses.probe_started();
        }
        let event = &claim.event;
        let span = info_span!(
            "outbox_attempt",
            event_id = %event.id,
            event_type = ?event.event_type,
            attempt = event.attempt_count,
        );
        let attempt = attempt::run(
            route.handler,
            event.clone(),
            route.timeout,
            Arc::clone(&self.shared.clock),
        );
        let attempt = async move { Done::Attempt(attempt.await) };
        let abort = self.tasks.spawn(attempt.instrument(span));
        let job = Job::Attempt(Box::new(Attempt {
            retry: route.retry,
            handler: route.index,
            credentials: self.pauses.generation(&event.user_id),
            claim,
            abort: abort.clone(),
            lease_lost: false,
        }));
        self.jobs.insert(abort.id(), job);
    }

    /// Starts refreshing the credentials of the users who need it.
    fn start_refreshes(&mut self) {
        for user_id in self.pauses.take_refreshes(self.now()) {
            info!("credentials were refused; the user's work is paused until they are refreshed");
            let shared = Arc::clone(&self.shared);
            let user = user_id.clone();
            let refresh = async move {
                let Some(refresh) = &shared.settings.refresh else {
                    // Without a hook somebody else refreshes them; trying again tells.
                    return Done::Refresh(Ok(()));
                };
                let _one_at_a_time = shared.refresh.lock().await;
                let deadline = clock::after(shared.clock.now(), shared.settings.timeout);
                Done::Refresh(tokio::select! {
                    result = refresh(user) => result.map_err(|error| error.to_string()),
                    () = shared.clock.sleep_until(deadline) => Err("no answer in time".to_owned()),
                })
            };
            let abort = self.tasks.spawn(refresh);
            self.jobs.insert(abort.id(), Job::Refresh { user_id });
        }
    }

    /// Takes in what a task brought back, or what its panic left.
    fn take_in(&mut self, done: TaskEnd) {
        let (id, done) = match done {
            Ok((id, done)) => (id, Some(done)),
            Err(error) => (error.id(), panic_of(error)),
        };
        match (self.jobs.remove(&id), done) {
            (Some(Job::Attempt(attempt)), Some(Done::Attempt(ended))) => {
                self.ended(&attempt, &ended);
            }
            // Aborted: its lease was lost.
            (Some(Job::Attempt(attempt)), _) => {
                self.leases.remove(&attempt.claim.event.id);
                self.pauses.probe_inconclusive(self.now());
            }
            (Some(Job::Refresh { user_id }), done) => {
                let result = match done {
                    Some(Done::Refresh(result)) => result,
                    Some(Done::Attempt(ended)) => Err(format!("{ended:?}")),
                    None => Err("aborted".to_owned()),
                };
                if let Err(message) = &result {
                    warn!(error = ?message, "the credentials could not be refreshed");
                }
                self.pauses.refreshed(&user_id, result.is_ok(), self.now());
            }
            (None, _) => {}
        }
    }

    /// An attempt has ended: what it means for its event, and for others.
    fn ended(&mut self, attempt: &Attempt, ended: &Ended) {
        let now = self.now();
        let user_id = &attempt.claim.event.user_id;
        match ended {
            Ended::Answered(Ok(())) => {
                self.went_online();
                self.pauses.granted(user_id);
            }
            Ended::Answered(Err(error)) => match error.delivery() {
                Delivery::Offline => {
                    debug!("no network; nothing is sent until a probe succeeds");
                    self.pauses.went_offline(now);
                }
                Delivery::Unauthenticated => {
                    self.went_online();
                    self.pauses.refused(user_id, attempt.credentials, now);
                }
                Delivery::RateLimited { after } => {
                    self.went_online();
                    debug!(?after, "rate limited");
                    self.pauses
                        .rate_limited(attempt.handler, clock::after(now, after));
                }
                Delivery::NoHandler => self.unhandled.push(attempt.claim.event.event_type.clone()),
                _ => self.went_online(),
            },
            Ended::TimedOut(_) | Ended::Panicked(_) => self.pauses.probe_inconclusive(now),
        }
        if attempt.lease_lost {
            self.leases.remove(&attempt.claim.event.id);
        } else {
            self.settle(&attempt.claim, ended.outcome(), &attempt.retry);
        }
    }

    fn went_online(&mut self) {
        if self.pauses.went_online() {
            info!("the network is back");
        }
    }

    /// Decides what an outcome means and notes it to be recorded.
    fn settle(&mut self, claim: &Claim, outcome: Outcome, retry: &RetryPolicy) {
        let event = &claim.event;
        let settlement = outcome.settle(claim, retry, self.now());
        match &settlement.disposition {
            Disposition::Complete => {
                debug!(event_id = %event.id, event_type = ?event.event_type, "delivered");
            }
            Disposition::Fail {
                next_attempt_at,
                message,
            } => warn!(
                event_id = %event.id, event_type = ?event.event_type, attempt = event.attempt_count,
                next_attempt_at = %next_attempt_at, error = ?message, "failed; will be tried again"
            ),
            Disposition::Bury { reason, message } => error!(
                event_id = %event.id, event_type = ?event.event_type, attempt = event.attempt_count,
                reason = %reason, error = ?message, "dead letter"
            ),
            Disposition::GiveBack { .. } => {
                debug!(event_id = %event.id, event_type = ?event.event_type, "given back");
            }
        }
        self.unrecorded.push(settlement);
    }

    /// Records the outcomes that are not recorded yet. On an error they are kept for the next time.
    async fn record(&mut self) -> Result<(), StoreError> {
        if self.unrecorded.is_empty() {
            return Ok(());
        }
        let settled = self
            .shared
            .repository
            .settle(self.unrecorded.clone())
            .await?;
        for (settlement, settled) in self.unrecorded.drain(..).zip(settled) {
            self.leases.remove(&settlement.lease.event_id);
            if settled == Settled::LeaseLost {
                warn!(event_id = %settlement.lease.event_id, "the lease was lost; the outcome is not recorded");
            } else if settlement.disposition == Disposition::Complete && self.clean_up_at.is_none()
            {
                let interval = self.shared.settings.cleanup_interval;
                self.clean_up_at = Some(clock::after(self.shared.clock.now(), interval));
            }
        }
        if self.leases.is_empty() {
            self.renew_at = None;
        }
        self.made_progress();
        Ok(())
    }

    /// Renews all leases, when a third of their time is over.
    async fn renew(&mut self) -> Result<(), StoreError> {
        if self.renew_at.is_none_or(|at| at > self.now()) {
            return Ok(());
        }
        let held: Vec<Lease> = self.leases.values().copied().collect();
        self.renew_at = None;
        if held.is_empty() {
            return Ok(());
        }
        self.keep_leases();
        let lease = self.shared.settings.lease;
        let renewed = self.shared.repository.extend(&held, lease).await?;
        for (held, renewed) in held.iter().zip(renewed) {
            match renewed {
                Some(lease) => drop(self.leases.insert(held.event_id, lease)),
                None => self.lose(held.event_id),
            }
        }
        Ok(())
    }

    /// Somebody else has the event, or may have it at any time: the handler is stopped where it is.
    fn lose(&mut self, event_id: Uuid) {
        self.leases.remove(&event_id);
        for job in self.jobs.values_mut() {
            if let Job::Attempt(attempt) = job
                && attempt.claim.event.id == event_id
            {
                warn!(%event_id, "the lease was lost while the handler ran; it is stopped");
                attempt.lease_lost = true;
                attempt.abort.abort();
            }
        }
    }

    fn keep_leases(&mut self) {
        let third = self.shared.settings.lease / 3;
        let at = clock::after(self.now(), third);
        self.renew_at.get_or_insert(at);
    }

    /// Deletes old delivered events, where there are any and it is time.
    async fn clean_up(&mut self) -> Result<(), StoreError> {
        let now = self.now();
        if self.clean_up_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        let settings = &self.shared.settings;
        let repository = &self.shared.repository;
        let cutoff = clock::before(now, settings.keep_completed);
        let deleted = repository.delete_completed_events(cutoff).await?;
        if deleted > 0 {
            debug!(deleted, "cleaned up delivered events");
        }
        let oldest = repository
            .fetch_events(OutboxStatus::Completed, None, Some(1))
            .await?;
        self.clean_up_at = oldest
            .first()
            .and_then(|event| event.completed_at)
            .map(|at| {
                clock::after(at, settings.keep_completed)
                    .max(clock::after(now, settings.cleanup_interval))
            });
        Ok(())
    }

    fn obey(&mut self, command: Option<Command>) {
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
        [due, self.renew_at, self.clean_up_at, pause]
            .into_iter()
            .flatten()
            .min()
    }

    fn back_off(&mut self, error: &StoreError) {
        let delay = self.back_off.as_ref().map_or(FIRST_BACK_OFF, |last| {
            (last.delay * 2).min(LONGEST_BACK_OFF)
        });
        warn!(error = %error, retry_in = ?delay, "the store failed");
        self.back_off = Some(BackOff {
            until: clock::after(self.now(), delay),
            delay,
        });
    }

    fn is_backing_off(&self) -> bool {
        let back_off = self.back_off.as_ref();
        back_off.is_some_and(|back_off| back_off.until > self.now())
    }

    /// Waits for handlers, then stops them, and records what there is.
    async fn wind_down(mut self) -> Result<Stopped, StoreError> {
        let under_way = self.attempts();
        let deadline = clock::after(self.now(), self.shared.settings.stop_deadline);
        while self.attempts() > 0 && self.now() < deadline {
            // A failed renewal or record is tried again below, or left to the leases.
            if let Err(error) = self.renew().await {
                warn!(error = %error, "the leases could not be renewed");
            }
            let wake = self.renew_at.map_or(deadline, |renew| renew.min(deadline));
            tokio::select! {
                Some(done) = self.tasks.join_next_with_id() => {
                    self.take_in(done);
                    let _ = self.record().await;
                }
                () = self.shared.clock.sleep_until(wake) => {}
            }
        }
        let given_back = self.give_back();
        self.tasks.shutdown().await;
        let recorded = self.record().await;
        info!(given_back, "outbox run stopped");
        recorded.map(|()| Stopped {
            finished: under_way - given_back,
            given_back,
        })
    }

    /// Settles what is still under way as not attempted.
    fn give_back(&mut self) -> usize {
        let jobs = std::mem::take(&mut self.jobs);
        let attempts = jobs.into_values().filter_map(|job| match job {
            Job::Attempt(attempt) => Some(attempt),
            Job::Refresh { .. } => None,
        });
        let mut count = 0;
        for attempt in attempts {
            let outcome = Outcome::GivenBack {
                delay: Duration::ZERO,
            };
            self.settle(&attempt.claim, outcome, &attempt.retry);
            count += 1;
        }
        count
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

/// What a task's panic says; `None` where it was aborted.
fn panic_of(error: JoinError) -> Option<Done> {
    let payload = error.try_into_panic().ok()?;
    Some(Done::Attempt(Ended::panicked(payload.as_ref())))
}
