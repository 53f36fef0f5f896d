//! Observes a process: its store calls, below the faults, and its handlers.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::attempts::Attempt;
use super::ledger::Ledger;
use super::observed::RowAfter;
use super::report::Invariant;
use outbox_runtime::store::{
    Claim, ClaimRequest, Exchange, OutboxQueue, Revision, Settled, Settlement,
};
use outbox_runtime::support::{EntityOptions, Retired};
use outbox_runtime::{
    Batch, Batching, Clock, HandlerError, OutboxEvent, OutboxEventHandler, OutboxRepository,
    OutboxStatus, StoreError,
};

/// All rows of a store, in `seq` order.
pub(super) async fn rows(store: &dyn OutboxRepository) -> Result<Vec<OutboxEvent>, StoreError> {
    let mut rows = Vec::new();
    for status in OutboxStatus::ALL {
        rows.extend(store.fetch_events(*status, None, None).await?);
    }
    rows.sort_by_key(|row| row.seq);
    Ok(rows)
}

/// The store under test, as one process uses it.
pub(super) struct Watched {
    pub(super) inner: Arc<dyn OutboxRepository>,
    pub(super) ledger: Ledger,
    /// The name of the observing process.
    pub(super) process: String,
    /// The number of calls that the store has not answered yet.
    pub(super) busy: watch::Sender<usize>,
}

/// A call that the store has not answered yet.
struct Call<'a>(&'a Watched);

impl<'a> Call<'a> {
    fn begin(store: &'a Watched) -> Self {
        store.ledger.active();
        store.busy.send_modify(|calls| *calls += 1);
        Self(store)
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.ledger.active();
        self.0.busy.send_modify(|calls| *calls -= 1);
    }
}

impl Watched {
    async fn claimed(&self, claims: &[Claim]) -> Result<(), StoreError> {
        if !claims.is_empty() {
            let rows = rows(self.inner.as_ref()).await?;
            self.ledger.claimed(&self.process, claims, &rows);
        }
        Ok(())
    }

    async fn rows_of(
        &self,
        settlements: &[Settlement],
    ) -> Result<Vec<Option<OutboxEvent>>, StoreError> {
        let mut rows = Vec::with_capacity(settlements.len());
        for settlement in settlements {
            rows.push(self.inner.fetch_event(settlement.lease.event_id).await?);
        }
        Ok(rows)
    }

    async fn settled(
        &self,
        settlements: &[Settlement],
        settled: &[Settled],
        before: &[Option<OutboxEvent>],
        claims: &[Claim],
    ) -> Result<(), StoreError> {
        let after = self.rows_of(settlements).await?;
        let rows = before.iter().zip(&after);
        for ((settlement, settled), (before, after)) in settlements.iter().zip(settled).zip(rows) {
            // An event that was given back may be claimed again in the same request.
            let moved_on = |claim: &Claim| claim.event.id == settlement.lease.event_id;
            let after = match claims.iter().any(moved_on) {
                true => RowAfter::ClaimedAgain,
                false => RowAfter::Current(after.as_ref()),
            };
            let (process, before) = (&self.process, before.as_ref());
            self.ledger
                .settled(process, settlement, *settled, before, after);
        }
        Ok(())
    }

    /// Records that the store's state could not be read, so no later observation is valid.
    fn unasked(&self, error: StoreError) -> Exchange {
        self.ledger.broken(Invariant::Setup, error.to_string());
        Exchange {
            settled: Ok(Vec::new()),
            claimed: Err(error),
        }
    }
}

macro_rules! watched {
    (OutboxRepository: $($call:ident: $method:ident($($arg:ident: $type:ty),*) -> $answer:ty, $error:ty;)+) => {
        #[async_trait]
        impl OutboxRepository for Watched {
            $(async fn $method(&self, $($arg: $type),*) -> Result<$answer, $error> {
                let _call = Call::begin(self);
                watched!(@do $method(self, $($arg),*))
            })+
        }
    };
    (OutboxQueue: $($call:ident: $method:ident($($arg:ident: $type:ty),*) -> $answer:ty, $error:ty;)+) => {
        #[async_trait]
        impl OutboxQueue for Watched {
            $(async fn $method(&self, $($arg: $type),*) -> Result<$answer, $error> {
                let _call = Call::begin(self);
                watched!(@do $method(self, $($arg),*))
            })+

            async fn settle_and_claim(
                &self,
                settlements: Vec<Settlement>,
                request: &ClaimRequest,
            ) -> Exchange {
                let _call = Call::begin(self);
                let before = match self.rows_of(&settlements).await {
                    Ok(before) => before,
                    Err(error) => return self.unasked(error),
                };
                let exchange = self.inner.settle_and_claim(settlements.clone(), request).await;
                let claims = exchange.claimed.as_deref().unwrap_or_default();
                let settled = match &exchange.settled {
                    Ok(settled) => self.settled(&settlements, settled, &before, claims).await,
                    Err(_) => Ok(()),
                };
                let claimed = match &exchange.claimed {
                    Ok(claims) => self.claimed(claims).await,
                    Err(_) => Ok(()),
                };
                match settled.and(claimed) {
                    Ok(()) => exchange,
                    Err(error) => self.unasked(error),
                }
            }

            fn clock(&self) -> Arc<dyn Clock> {
                self.inner.clock()
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
    (@do claim($self:ident, $request:ident)) => {{
        let claims = $self.inner.claim($request).await?;
        $self.claimed(&claims).await?;
        Ok(claims)
    }};
    (@do follow($self:ident, $request:ident)) => {{
        let claims = $self.inner.follow($request).await?;
        if !claims.is_empty() {
            let rows = rows($self.inner.as_ref()).await?;
            $self.ledger.followed(&$self.process, &claims, &rows);
        }
        Ok(claims)
    }};
    (@do settle($self:ident, $settlements:ident)) => {{
        let before = $self.rows_of(&$settlements).await?;
        let settled = $self.inner.settle($settlements.clone()).await?;
        $self.settled(&$settlements, &settled, &before, &[]).await?;
        Ok(settled)
    }};
    (@do extend($self:ident, $leases:ident, $lease:ident)) => {{
        let extended = $self.inner.extend($leases, $lease).await?;
        $self.ledger.extended(&extended);
        Ok(extended)
    }};
    (@do rescue($self:ident,)) => {{
        let rescued = $self.inner.rescue().await?;
        let rows = rows($self.inner.as_ref()).await?;
        $self.ledger.rescued(&rows);
        Ok(rescued)
    }};
    (@do rescue_others($self:ident, $held:ident, $only:ident)) => {{
        let (renewed, rescued) = $self.inner.rescue_others($held, $only).await?;
        // Leases that have not ended come back unchanged, whatever happened to them.
        let moved = renewed.iter().zip($held).filter(|(now, (was, _))| **now != Some(*was));
        let moved: Vec<_> = moved.map(|(now, _)| *now).collect();
        $self.ledger.extended(&moved);
        let rows = rows($self.inner.as_ref()).await?;
        $self.ledger.rescued(&rows);
        Ok((renewed, rescued))
    }};
    (@do create_event($self:ident, $event:ident)) => {{
        let row = $self.inner.create_event($event.clone()).await?;
        $self.ledger.taken_in(&$event, &row);
        Ok(row)
    }};
    (@do cancel($self:ident, $cancel:ident)) => {{
        let before = rows($self.inner.as_ref()).await?;
        let canceled = $self.inner.cancel($cancel).await?;
        $self.ledger.canceled(&$self.process, $cancel, &canceled, &before);
        Ok(canceled)
    }};
    (@do complete_event($self:ident, $completion:ident, $next:ident)) => {{
        let lease = $completion.lease;
        $self.ledger.completing(&lease);
        let completed = $self.inner.complete_event($completion, $next).await;
        // A row that cannot be read cannot be checked.
        let row = $self.inner.fetch_event(lease.event_id).await.ok().flatten();
        $self.ledger.completed(&$self.process, &lease, completed.is_ok(), row.as_ref());
        completed
    }};
    (@do $method:ident($self:ident, $($arg:ident),*)) => {
        $self.inner.$method($($arg),*).await
    };
}

crate::__store_calls!(watched);

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

/// The handlers under test, as one process runs them.
pub(super) struct WatchedHandler {
    pub(super) inner: Arc<dyn OutboxEventHandler>,
    pub(super) store: Arc<Watched>,
    pub(super) ledger: Ledger,
    pub(super) process: String,
    /// The user whose events the process handles; `None` for all users.
    pub(super) user: Option<String>,
}

#[async_trait]
impl OutboxEventHandler for WatchedHandler {
    fn can_handle(&self, event_type: &str) -> bool {
        self.inner.can_handle(event_type)
    }

    async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError> {
        let attempt = self.begin(event).await;
        let answer = self.inner.handle(event).await;
        attempt.answered(event, &answer);
        answer
    }

    fn batching(&self, event_type: &str) -> Option<Batching> {
        self.inner.batching(event_type)
    }

    async fn handle_batch(&self, batch: Batch<OutboxEvent>) -> Result<(), HandlerError> {
        let mut attempts = Vec::new();
        for event in &batch {
            attempts.push(self.begin(event).await);
        }
        let watched = WatchedBatch {
            batch: batch.clone(),
            attempts,
        };
        let common = self.inner.handle_batch(batch).await;
        watched.end(&common);
        common
    }

    fn entities(&self) -> Vec<EntityOptions> {
        self.inner.entities()
    }

    fn retired(&self) -> Vec<Retired> {
        self.inner.retired()
    }

    fn redact(&self, event: &OutboxEvent, text: String) -> String {
        self.inner.redact(event, text)
    }
}

/// A batch in progress. Dropping it tells of the answers for single events, which stand.
struct WatchedBatch {
    batch: Batch<OutboxEvent>,
    attempts: Vec<Attempt>,
}

impl WatchedBatch {
    /// Records the answers, and the common one for the events without one of their own.
    fn tell(&self, common: Option<&Result<(), HandlerError>>) {
        let answers = self.batch.take_answers();
        let told = self.attempts.iter().zip(self.batch.iter()).zip(answers);
        for (index, ((attempt, event), answer)) in told.enumerate() {
            match (&answer, common) {
                (Some(own), _) => attempt.answered(event, own),
                (None, Some(common)) => attempt.answered(event, common),
                (None, None) => {}
            }
            match answer {
                Some(Ok(())) => self.batch.ok(index),
                Some(Err(error)) => self.batch.fail(index, error),
                None => {}
            }
        }
    }
}

impl WatchedBatch {
    fn end(mut self, common: &Result<(), HandlerError>) {
        self.tell(Some(common));
        self.attempts.clear();
    }
}

impl Drop for WatchedBatch {
    fn drop(&mut self) {
        if !self.attempts.is_empty() {
            self.tell(None);
        }
    }
}

impl WatchedHandler {
    /// Notes that an attempt begins.
    async fn begin(&self, event: &OutboxEvent) -> Attempt {
        let row = match self.store.fetch_event(event.id).await {
            Ok(row) => row,
            Err(error) => {
                self.ledger.broken(Invariant::Setup, error.to_string());
                None
            }
        };
        let attempt = self.ledger.started(&self.process, event, row.as_ref());
        if self
            .user
            .as_ref()
            .is_some_and(|user| *user != event.user_id)
        {
            let what = format!("{} handles an event of another user", self.process);
            self.ledger.broken(Invariant::OneUser, what);
        }
        attempt
    }
}
