//! Stores that break a promise: positive controls for everything that checks promises.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox_runtime::store::{
    Claim, ClaimRequest, Completion, Disposition, EventTypes, Exchange, FollowRequest, Lease,
    LeaseToken, OutboxQueue, Page, PageKey, Rescued, Revision, Settled, Settlement, StoreProcess,
    SystemClock,
};
use outbox_runtime::{
    Cancel, Canceled, Clock, CompleteError, DeadReason, Enqueued, EntityId, EventFilter, Headers,
    MemoryStore, NewEvent, Order, OutboxEvent, OutboxRepository, OutboxStatistics, OutboxStatus,
    PastAttempt, StoreError, StoreErrorKind, async_trait,
};

/// The flaw of a [`Broken`] store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// No flaw: a finding would be a false positive.
    None,
    /// Records an outcome under any lease.
    IgnoresTheToken,
    /// A claim does not count as an attempt.
    ForgetsToCount,
    /// Hands out events that are already leased.
    HandsOutTwice,
    /// Reports an outcome as recorded without recording it.
    ForgetsAnOutcome,
    /// Treats a failure as a delivery.
    CompletesFailures,
    /// Hands out later events of a lane first.
    IgnoresOrder,
    /// Follows leased events with gaps: leaves out the first event behind them.
    FollowsWithGaps,
    /// Follows leased events under another token.
    FollowsApart,
    /// Tells that it can follow and leases nothing.
    NeverFollows,
    /// Acknowledges an event without storing it.
    LosesAnEvent,
    /// Never rescues the work of dead processes.
    NeverRescues,
    /// Does not know the next due time.
    ForgetsDueTimes,
    /// Hands out events of all users.
    IgnoresUsers,
    /// Ignores turns: the user with the largest backlog goes first.
    IgnoresTurns,
    /// Counts one pending event too many in its statistics.
    Miscounts,
    /// Ignores the limit of a listing.
    IgnoresLimits,
    /// Pages have events that nobody selected.
    IgnoresFilters,
    /// Loses the message of `mark_as_failed`.
    DropsTexts,
    /// Does not know the oldest completion.
    ForgetsCompletions,
    /// Answers settlements in reverse order.
    AnswersInReverse,
    /// In an exchange, claims before it settles.
    ClaimsFirst,
    /// In an exchange, settles without claiming.
    NeverClaims,
    /// Continues to work while suspended.
    NeverSuspends,
    /// Returns a clock that it does not use.
    TellsAnotherClock,
    /// Enqueues events beside those with the same key.
    IgnoresKeys,
    /// Enqueues events without their expiry.
    ForgetsExpiry,
    /// Enqueues events without their parents.
    ForgetsParents,
    /// Cancels nothing.
    CancelsNothing,
    /// Reports events as canceled that stay.
    KeepsCanceled,
    /// Cancels what was claimed before as well.
    CancelsClaimed,
    /// Deletes another event of the user along with those that it cancels.
    CancelsAnother,
    /// Reports as too late what it could cancel.
    CancelsLate,
    /// Hands out events of all types.
    IgnoresTypes,
    /// Gives dead letters another reason.
    GivesAnotherReason,
    /// Knows no order between events of two types.
    OrdersTypesApart,
    /// Takes the headers of the waiting event for those of one that folds into it.
    KeepsOldHeaders,
    /// Hands events out without their destination.
    DropsDestinations,
    /// Hands events out without their trace context.
    DropsTraceContexts,
    /// Hands out events without their headers.
    DropsHeaders,
    /// Reports `mark_as_completed` as recorded, whatever the lease.
    MarksForAnybody,
    /// Lists as pending only events that are due and never failed.
    ListsWhatIsDue,
    /// Lists only the undelivered events of an entity.
    HidesWhatIsDone,
    /// Discards one dead letter at a time.
    DiscardsOne,
    /// Keeps the old version of edited metadata.
    KeepsTheVersion,
    /// Has no history of attempts.
    ForgetsAttempts,
    /// Lists no processes.
    HidesProcesses,
    /// Completes events for handlers under any lease.
    CompletesForAnybody,
    /// Tells a handler that its event is completed without completing it.
    ForgetsHandlersCompletions,
    /// Calls the lease of an event lost whose handler has completed it.
    ForgetsHandlers,
    /// Forgets pauses as soon as it has acknowledged them.
    ForgetsPauses,
    /// Lists the newest stale event first.
    ListsTheNewestFirst,
    /// Fails every claim, with this message.
    FailsClaims(&'static str),
    /// Records outcomes only at the fourth try, and fails before with this message.
    FailsOutcomes(&'static str),
    /// Answers this many times that the event of entity 1 is locked.
    LocksOutcomes(u64),
}

/// A store with a flaw.
#[derive(Debug)]
pub struct Broken {
    inner: Arc<dyn OutboxRepository>,
    flaw: Flaw,
    calls: AtomicU64,
    handed_out: Mutex<Vec<Claim>>,
}

impl Broken {
    /// An in-memory store with this flaw.
    pub fn new(flaw: Flaw, clock: impl Clock) -> Self {
        Self::over(flaw, MemoryStore::with_clock(clock))
    }

    /// This store with this flaw.
    pub fn over(flaw: Flaw, store: impl OutboxRepository) -> Self {
        Self {
            inner: Arc::new(store),
            flaw,
            calls: AtomicU64::new(0),
            handed_out: Mutex::default(),
        }
    }

    /// True for every fifth call, for flaws that would otherwise be too obvious.
    fn now_and_then(&self) -> bool {
        self.calls.fetch_add(1, Ordering::SeqCst) % 5 == 4
    }

    async fn create(&self, event: NewEvent) -> Result<OutboxEvent, outbox_runtime::EnqueueError> {
        let event = match self.flaw {
            Flaw::IgnoresOrder => event.with_order(Order::None),
            Flaw::IgnoresKeys => {
                let unique = event.id().to_string();
                match event.key() {
                    Some(_) => event.with_key(unique),
                    None => event,
                }
            }
            Flaw::ForgetsExpiry => event.with_expiry(None),
            Flaw::ForgetsParents => without_parents(&event),
            Flaw::OrdersTypesApart => self.ordered_by_type(event).await?,
            Flaw::KeepsOldHeaders => self.with_old_headers(event).await?,
            _ => event,
        };
        let created = self.inner.create_event(event).await?;
        if self.flaw == Flaw::LosesAnEvent && self.now_and_then() {
            self.inner.delete_event(created.id).await?;
        }
        Ok(created)
    }

    async fn of_its_entity(&self, event: &NewEvent) -> Result<Vec<OutboxEvent>, StoreError> {
        let (entity_id, user_id) = (event.entity_id(), Some(event.user_id()));
        let events = self.inner.fetch_events_for_entity(entity_id, None, user_id);
        events.await
    }

    async fn ordered_by_type(&self, event: NewEvent) -> Result<NewEvent, StoreError> {
        let others = self.of_its_entity(&event).await?;
        let mut others = others.iter().filter(|other| other.id != event.id());
        let has_another_type = others.any(|other| other.event_type != event.event_type());
        Ok(match has_another_type {
            true => event.with_order(Order::None),
            false => event,
        })
    }

    async fn with_old_headers(&self, event: NewEvent) -> Result<NewEvent, StoreError> {
        let mut waiting = self.of_its_entity(&event).await?;
        waiting.retain(|other| {
            other.event_type == event.event_type()
                && other.status == OutboxStatus::Pending
                && other.last_attempt_at.is_none()
        });
        Ok(match waiting.pop() {
            Some(waiting) if event.may_fold() => event.with_headers(waiting.headers),
            _ => event,
        })
    }

    async fn take_out(&self, cancel: &Cancel) -> Result<Canceled, StoreError> {
        let mut answer = Canceled::default();
        let waiting = self
            .inner
            .fetch_pending_events(Some(cancel.user_id()), None);
        let mut waiting = waiting.await?;
        match self.flaw {
            Flaw::CancelsNothing => return Ok(answer),
            Flaw::KeepsCanceled => {
                waiting.retain(|event| cancel.selects(event));
                for event in &waiting {
                    answer.add(event);
                }
                return Ok(answer);
            }
            Flaw::CancelsAnother => {
                let another = waiting.iter().find(|event| !cancel.selects(event));
                if let Some(another) = another {
                    self.inner.delete_event(another.id).await?;
                }
            }
            Flaw::CancelsLate => {
                let late = waiting.iter().filter(|event| cancel.selects(event));
                answer.too_late = late.map(|event| (event.id, event.status)).collect();
                return Ok(answer);
            }
            _ => {}
        }
        let mut answer = self.inner.cancel(cancel).await?;
        if self.flaw == Flaw::CancelsClaimed {
            for (id, _) in std::mem::take(&mut answer.too_late) {
                self.inner.delete_event(id).await?;
                answer.canceled.push(id);
            }
        }
        Ok(answer)
    }

    async fn lease_behind(&self, request: &FollowRequest) -> Result<Vec<Claim>, StoreError> {
        if self.flaw == Flaw::NeverFollows {
            return Ok(Vec::new());
        }
        let mut claims = self.inner.follow(request).await?;
        match self.flaw {
            Flaw::FollowsWithGaps if claims.len() > 1 => {
                let left_out = claims.remove(0);
                let disposition = Disposition::GiveBack {
                    next_attempt_at: None,
                    refusal: None,
                };
                let lease = left_out.lease;
                self.inner
                    .settle(vec![Settlement { lease, disposition }])
                    .await?;
            }
            Flaw::FollowsApart => {
                for claim in &mut claims {
                    claim.lease.token = LeaseToken::random();
                }
            }
            _ => {}
        }
        Ok(claims)
    }

    async fn hand_out(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError> {
        if let Flaw::FailsClaims(words) = self.flaw {
            return Err(StoreError::new(StoreErrorKind::Other, "claim", words));
        }
        let of_all = ClaimRequest::new(request.limit(), request.lease())
            .with_event_types(request.event_types().clone());
        let in_order = of_all
            .clone()
            .without_users(request.excluded_users().to_vec());
        let of_all_types = request
            .clone()
            .with_event_types(EventTypes::AllExcept(Vec::new()));
        let request = match self.flaw {
            Flaw::IgnoresUsers => &of_all,
            Flaw::IgnoresTypes => &of_all_types,
            Flaw::IgnoresTurns if request.user_id().is_none() => &in_order,
            _ => request,
        };
        let mut claims = self.inner.claim(request).await?;
        match self.flaw {
            Flaw::ForgetsToCount => claims
                .iter_mut()
                .for_each(|claim| claim.event.attempt_count -= 1),
            Flaw::DropsDestinations => claims
                .iter_mut()
                .for_each(|claim| claim.event.destination = None),
            Flaw::DropsTraceContexts => claims
                .iter_mut()
                .for_each(|claim| claim.event.trace_context = None),
            Flaw::DropsHeaders => claims
                .iter_mut()
                .for_each(|claim| claim.event.headers = Headers::new()),
            Flaw::HandsOutTwice => {
                let again = self.handed_out.lock().unwrap().pop();
                self.handed_out
                    .lock()
                    .unwrap()
                    .extend(claims.first().cloned());
                claims.extend(again);
            }
            _ => {}
        }
        Ok(claims)
    }

    async fn record(&self, mut settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError> {
        match self.flaw {
            Flaw::LocksOutcomes(times) => return self.record_unlocked(settlements, times).await,
            Flaw::FailsOutcomes(words) if self.calls.fetch_add(1, Ordering::SeqCst) < 3 => {
                let kind = StoreErrorKind::Unavailable;
                return Err(StoreError::new(kind, "settle", words));
            }
            Flaw::IgnoresTheToken => {
                for Settlement { lease, .. } in &mut settlements {
                    let row = self.inner.fetch_event(lease.event_id).await?;
                    if let Some(token) = row.and_then(|row| row.lease_token) {
                        lease.token = LeaseToken::from(token);
                    }
                }
            }
            Flaw::ForgetsAnOutcome if self.now_and_then() => {
                return Ok(vec![Settled::Recorded; settlements.len()]);
            }
            Flaw::CompletesFailures => {
                for Settlement { disposition, .. } in &mut settlements {
                    if matches!(disposition, Disposition::Fail { .. }) {
                        *disposition = Disposition::Complete;
                    }
                }
            }
            Flaw::GivesAnotherReason => {
                for Settlement { disposition, .. } in &mut settlements {
                    if let Disposition::Bury { reason, .. } = disposition {
                        *reason = DeadReason::Rejected;
                    }
                }
            }
            _ => {}
        }
        let mut settled = self.inner.settle(settlements).await?;
        if self.flaw == Flaw::AnswersInReverse {
            settled.reverse();
        }
        if self.flaw == Flaw::ForgetsHandlers {
            let lost = |settled: &&mut Settled| **settled == Settled::AlreadyCompleted;
            let lost = settled.iter_mut().filter(lost);
            lost.for_each(|settled| *settled = Settled::LeaseLost);
        }
        Ok(settled)
    }

    async fn record_unlocked(
        &self,
        settlements: Vec<Settlement>,
        times: u64,
    ) -> Result<Vec<Settled>, StoreError> {
        let mut settled = Vec::new();
        for settlement in settlements {
            let event = self.inner.fetch_event(settlement.lease.event_id).await?;
            let is_first = event.is_some_and(|event| event.entity_id == EntityId::from(1));
            if is_first && self.calls.fetch_add(1, Ordering::SeqCst) < times {
                settled.push(Settled::Locked);
            } else {
                settled.append(&mut self.inner.settle(vec![settlement]).await?);
            }
        }
        Ok(settled)
    }

    async fn mark(&self, lease: &Lease, error: &str) -> Result<Settled, StoreError> {
        match self.flaw {
            Flaw::DropsTexts => self.inner.mark_as_failed(lease, "").await,
            _ => self.inner.mark_as_failed(lease, error).await,
        }
    }

    async fn complete(&self, lease: &Lease) -> Result<Settled, StoreError> {
        let settled = self.inner.mark_as_completed(lease).await?;
        Ok(match self.flaw {
            Flaw::MarksForAnybody => Settled::Recorded,
            _ => settled,
        })
    }

    async fn complete_early(
        &self,
        mut completion: Completion,
        next: Option<NewEvent>,
    ) -> Result<Option<Enqueued>, CompleteError> {
        match self.flaw {
            Flaw::CompletesForAnybody => {
                let row = self.inner.fetch_event(completion.lease.event_id).await?;
                if let Some(token) = row.and_then(|row| row.lease_token) {
                    completion.lease.token = LeaseToken::from(token);
                }
            }
            Flaw::ForgetsHandlersCompletions if self.now_and_then() => return Ok(None),
            _ => {}
        }
        self.inner.complete_event(completion, next).await
    }

    async fn list_pending(
        &self,
        user_id: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<OutboxEvent>, StoreError> {
        let mut events = self.inner.fetch_pending_events(user_id, limit).await?;
        if self.flaw == Flaw::ListsWhatIsDue {
            let now = self.inner.clock().now();
            events.retain(|event| {
                event.status == OutboxStatus::Pending && event.next_attempt_at <= now
            });
        }
        Ok(events)
    }

    async fn list_for_entity(
        &self,
        entity_id: &EntityId,
        event_type: Option<&str>,
        user_id: Option<&str>,
    ) -> Result<Vec<OutboxEvent>, StoreError> {
        let events = self
            .inner
            .fetch_events_for_entity(entity_id, event_type, user_id);
        let mut events = events.await?;
        if self.flaw == Flaw::HidesWhatIsDone {
            events.retain(|event| event.completed_at.is_none() && event.dead_reason.is_none());
        }
        Ok(events)
    }

    async fn discard_some(&self, ids: &[uuid::Uuid]) -> Result<u64, StoreError> {
        match self.flaw {
            Flaw::DiscardsOne => self.inner.discard(&ids[..ids.len().min(1)]).await,
            _ => self.inner.discard(ids).await,
        }
    }

    async fn edit(&self, event: &OutboxEvent) -> Result<(), StoreError> {
        let mut edited = event.clone();
        if self.flaw == Flaw::KeepsTheVersion
            && let Some(stored) = self.inner.fetch_event(event.id).await?
        {
            edited.metadata_version = stored.metadata_version;
        }
        self.inner.update_event(&edited).await
    }

    async fn list_stale(&self, user_id: Option<&str>) -> Result<Vec<OutboxEvent>, StoreError> {
        let mut events = self.inner.stale_events(user_id).await?;
        if self.flaw == Flaw::ListsTheNewestFirst {
            events.reverse();
        }
        Ok(events)
    }

    async fn first_completion(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        match self.flaw {
            Flaw::ForgetsCompletions => Ok(None),
            _ => self.inner.oldest_completed().await,
        }
    }

    async fn freeze(&self) -> Result<(), StoreError> {
        match self.flaw {
            Flaw::NeverSuspends => Ok(()),
            _ => self.inner.suspend().await,
        }
    }

    async fn exchange(&self, settlements: Vec<Settlement>, request: &ClaimRequest) -> Exchange {
        match self.flaw {
            Flaw::ClaimsFirst => {
                let claimed = self.hand_out(request).await;
                let settled = self.record(settlements).await;
                Exchange { settled, claimed }
            }
            Flaw::NeverClaims => Exchange {
                settled: self.record(settlements).await,
                claimed: Ok(Vec::new()),
            },
            // Like the trait's default method.
            _ => Exchange {
                settled: if settlements.is_empty() {
                    Ok(Vec::new())
                } else {
                    self.record(settlements).await
                },
                claimed: self.hand_out(request).await,
            },
        }
    }

    async fn take_back(&self) -> Result<Rescued, StoreError> {
        match self.flaw {
            Flaw::NeverRescues => Ok(Rescued::default()),
            _ => self.inner.rescue().await,
        }
    }

    async fn take_back_from_others(
        &self,
        held: &[(Lease, Duration)],
        only: Option<&[Lease]>,
    ) -> Result<(Vec<Option<Lease>>, Rescued), StoreError> {
        let only = match self.flaw {
            Flaw::NeverRescues => Some([].as_slice()),
            _ => only,
        };
        self.inner.rescue_others(held, only).await
    }

    async fn due(&self, request: &ClaimRequest) -> Result<Option<DateTime<Utc>>, StoreError> {
        match self.flaw {
            Flaw::ForgetsDueTimes => Ok(None),
            _ => self.inner.next_due(request).await,
        }
    }

    async fn count(&self, user_id: Option<&str>) -> Result<OutboxStatistics, StoreError> {
        let mut statistics = self.inner.statistics(user_id).await?;
        if self.flaw == Flaw::Miscounts && self.now_and_then() {
            statistics.pending_count += 1;
        }
        Ok(statistics)
    }

    async fn recall(&self, id: uuid::Uuid) -> Result<Vec<PastAttempt>, StoreError> {
        match self.flaw {
            Flaw::ForgetsAttempts => Ok(Vec::new()),
            _ => self.inner.attempts(id).await,
        }
    }

    async fn show_processes(&self) -> Result<Vec<StoreProcess>, StoreError> {
        match self.flaw {
            Flaw::HidesProcesses => Ok(Vec::new()),
            _ => self.inner.processes().await,
        }
    }

    async fn hold_back(&self, pause: &outbox_runtime::Pause) -> Result<(), StoreError> {
        self.inner.pause(pause).await?;
        if self.flaw == Flaw::ForgetsPauses {
            self.inner.unpause(pause.scope()).await?;
        }
        Ok(())
    }

    async fn list(
        &self,
        status: OutboxStatus,
        user_id: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<OutboxEvent>, StoreError> {
        let limit = limit.filter(|_| self.flaw != Flaw::IgnoresLimits);
        let mut events = self.inner.fetch_events(status, user_id, limit).await?;
        if self.flaw == Flaw::ForgetsToCount && status == OutboxStatus::Processing {
            events.iter_mut().for_each(|event| event.attempt_count -= 1);
        }
        Ok(events)
    }
}

impl Broken {
    async fn turn_page(
        &self,
        filter: &EventFilter,
        from: Option<PageKey>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let everything = EventFilter::default();
        let filter = match self.flaw {
            Flaw::IgnoresFilters => &everything,
            _ => filter,
        };
        let limit = match self.flaw {
            Flaw::IgnoresLimits => usize::MAX,
            _ => limit,
        };
        self.inner.page(filter, from, limit).await
    }
}

macro_rules! broken {
    (OutboxRepository: $($call:ident: $method:ident($($arg:ident: $type:ty),*) -> $answer:ty, $error:ty;)+) => {
        #[async_trait]
        impl OutboxRepository for Broken {
            $(async fn $method(&self, $($arg: $type),*) -> Result<$answer, $error> {
                broken!(@do $method(self, $($arg),*))
            })+
        }
    };
    (OutboxQueue: $($call:ident: $method:ident($($arg:ident: $type:ty),*) -> $answer:ty, $error:ty;)+) => {
        #[async_trait]
        impl OutboxQueue for Broken {
            $(async fn $method(&self, $($arg: $type),*) -> Result<$answer, $error> {
                broken!(@do $method(self, $($arg),*))
            })+

            async fn settle_and_claim(
                &self,
                settlements: Vec<Settlement>,
                request: &ClaimRequest,
            ) -> Exchange {
                self.exchange(settlements, request).await
            }

            fn clock(&self) -> Arc<dyn Clock> {
                match self.flaw {
                    Flaw::TellsAnotherClock => Arc::new(SystemClock),
                    _ => self.inner.clock(),
                }
            }

            fn can_follow(&self) -> bool {
                self.inner.can_follow()
            }

            fn revision(&self) -> Revision {
                self.inner.revision()
            }

            async fn changed(&self, seen: Revision) -> Revision {
                self.inner.changed(seen).await
            }
        }
    };
    (@do create_event($self:ident, $event:ident)) => { $self.create($event).await };
    (@do fetch_events($self:ident, $($arg:ident),*)) => { $self.list($($arg),*).await };
    (@do claim($self:ident, $request:ident)) => { $self.hand_out($request).await };
    (@do follow($self:ident, $request:ident)) => { $self.lease_behind($request).await };
    (@do settle($self:ident, $settlements:ident)) => { $self.record($settlements).await };
    (@do rescue($self:ident,)) => { $self.take_back().await };
    (@do rescue_others($self:ident, $($arg:ident),*)) => { $self.take_back_from_others($($arg),*).await };
    (@do mark_as_failed($self:ident, $($arg:ident),*)) => { $self.mark($($arg),*).await };
    (@do mark_as_completed($self:ident, $lease:ident)) => { $self.complete($lease).await };
    (@do complete_event($self:ident, $($arg:ident),*)) => { $self.complete_early($($arg),*).await };
    (@do fetch_pending_events($self:ident, $($arg:ident),*)) => { $self.list_pending($($arg),*).await };
    (@do fetch_events_for_entity($self:ident, $($arg:ident),*)) => { $self.list_for_entity($($arg),*).await };
    (@do discard($self:ident, $ids:ident)) => { $self.discard_some($ids).await };
    (@do update_event($self:ident, $event:ident)) => { $self.edit($event).await };
    (@do page($self:ident, $filter:ident, $from:ident, $limit:ident)) => {
        $self.turn_page($filter, $from, $limit).await
    };
    (@do stale_events($self:ident, $user:ident)) => { $self.list_stale($user).await };
    (@do oldest_completed($self:ident,)) => { $self.first_completion().await };
    (@do attempts($self:ident, $id:ident)) => { $self.recall($id).await };
    (@do processes($self:ident,)) => { $self.show_processes().await };
    (@do cancel($self:ident, $cancel:ident)) => { $self.take_out($cancel).await };
    (@do pause($self:ident, $pause:ident)) => { $self.hold_back($pause).await };
    (@do suspend($self:ident,)) => { $self.freeze().await };
    (@do statistics($self:ident, $user:ident)) => { $self.count($user).await };
    (@do next_due($self:ident, $request:ident)) => { $self.due($request).await };
    (@do $method:ident($self:ident, $($arg:ident),*)) => { $self.inner.$method($($arg),*).await };
}

outbox_testing::__store_calls!(broken);

/// The same event, which waits for no parent.
fn without_parents(event: &NewEvent) -> NewEvent {
    let bare = NewEvent::new(
        event.event_type().to_owned(),
        event.entity_id().clone(),
        event.user_id(),
        event.operation(),
    )
    .with_id(event.id())
    .with_priority(event.priority())
    .with_max_attempts(event.max_attempts())
    .with_delay(event.delay())
    .with_order(event.order())
    .with_on_dead(event.on_dead())
    .with_coalesce(event.coalesce());
    match event.metadata() {
        Some(metadata) => bare.with_metadata(metadata.clone()),
        None => bare,
    }
}
