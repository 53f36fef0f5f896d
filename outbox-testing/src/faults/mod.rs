//! A store that injects faults between its users and the store it wraps.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use self::plan::Plan;
use crate::SeededRng;
use outbox_runtime::__private::clock;
use outbox_runtime::store::{ClaimRequest, Exchange, OutboxQueue, Revision, Settlement};
use outbox_runtime::{Clock, OutboxRepository, StoreError};

mod calls; // the methods of a store
mod plan; // planned and random faults

pub use self::calls::StoreCall;
pub use self::plan::{Fault, FaultRates, Injected};

/// A store with injected faults: it fails before or after the work is done, answers late, or
/// returns stale listings.
///
/// It wraps any other store and passes on every call for which no fault is planned. Faults are
/// planned individually with [`fail_next`](Self::fail_next), or occur at random, reproducibly for a
/// seed ([`with_chance`](Self::with_chance)). It never withholds a wake-up: every store must keep
/// the promise of [`changed`](outbox_runtime::store::OutboxQueue::changed).
///
/// Cloning is cheap. All clones share their faults.
///
/// # Examples
///
/// Enqueue an event with an unknown outcome:
///
/// ```
/// use outbox_testing::{Fault, FaultStore, StoreCall};
/// use outbox_runtime::{MemoryStore, NewEvent, Operation, OutboxRepository};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = FaultStore::new(MemoryStore::new());
/// store.fail_next(StoreCall::CreateEvent, Fault::FailAfterCommit);
///
/// let event = NewEvent::new("moodEntry", 7, "user-1", Operation::Create);
/// let error = store.create_event(event.clone()).await.unwrap_err();
/// assert!(error.outcome_unknown());
/// store.create_event(event).await?; // the same id again: harmless
/// assert_eq!(store.statistics(None).await?.total_events, 1);
/// assert_eq!(store.injected().failures_after_commit, 1, "the fault was injected");
/// # Ok(())
/// # }
/// ```
///
/// Several faults, and their end:
///
/// ```
/// use outbox_runtime::{MemoryStore, OutboxRepository, StoreErrorKind};
/// use outbox_testing::{Fault, FaultStore, ManualClock, SeededRng, StoreCall};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = FaultStore::new(MemoryStore::new())
///     .with_clock(ManualClock::new()) // that of a process which is frozen
///     .with_chance(outbox_testing::FaultRates::default().with_failures(50), SeededRng::new(7));
/// store.fail_next_times(3, StoreCall::Statistics, Fault::Fail(StoreErrorKind::Unavailable));
/// assert!(store.statistics(None).await.is_err());
///
/// store.heal(); // the two that are left, and the random ones
/// assert!(store.statistics(None).await.is_ok());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FaultStore {
    inner: Arc<dyn OutboxRepository>,
    clock: Arc<dyn Clock>,
    /// Never held across an await.
    plan: Arc<Mutex<Plan>>,
}

impl FaultStore {
    /// Wraps a store, without any faults yet.
    #[must_use]
    pub fn new(inner: impl OutboxRepository) -> Self {
        Self {
            clock: inner.clock(),
            inner: Arc::new(inner),
            plan: Arc::default(),
        }
    }

    /// Reports another time than the wrapped store's. A clock that never moves simulates a frozen
    /// process.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Injects random faults from now on.
    #[must_use]
    pub fn with_chance(self, rates: FaultRates, rng: SeededRng) -> Self {
        self.plan().by_chance(rates, rng);
        self
    }

    /// Injects this fault into the next call of this method, after the faults already planned for
    /// it.
    pub fn fail_next(&self, call: StoreCall, fault: Fault) {
        self.fail_next_times(1, call, fault);
    }

    /// Injects this fault into the next `times` calls of this method.
    pub fn fail_next_times(&self, times: usize, call: StoreCall, fault: Fault) {
        self.plan().next(call, std::iter::repeat_n(fault, times));
    }

    /// Cancels all faults, planned and random.
    pub fn heal(&self) {
        self.plan().clear();
    }

    /// The faults injected so far. A test whose fault never occurred proves nothing.
    #[must_use]
    pub fn injected(&self) -> Injected {
        self.plan().injected()
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the work with this fault, or without one.
    async fn answer<T, E>(
        &self,
        call: StoreCall,
        fault: Option<Fault>,
        asked: String,
        work: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E>
    where
        T: Clone + Send + 'static,
        E: From<StoreError>,
    {
        match fault {
            Some(Fault::Fail(kind)) => {
                return Err(StoreError::new(kind, call.as_str(), "an injected fault").into());
            }
            Some(Fault::Delay(delay)) => self.pause(delay).await,
            Some(Fault::Stale) if call.is_listing() => {
                if let Some(stale) = self.plan().stale(call, &asked) {
                    return Ok(stale);
                }
            }
            _ => {}
        }
        let answer = work.await?;
        if call.is_listing() {
            self.plan().remember(call, asked, answer.clone());
        }
        match fault {
            Some(Fault::FailAfterCommit) => {
                let kind = outbox_runtime::StoreErrorKind::Unavailable;
                let error = StoreError::new(kind, call.as_str(), "an injected fault");
                Err(error.with_unknown_outcome().into())
            }
            Some(Fault::DelayAnswer(delay)) => {
                self.pause(delay).await;
                Ok(answer)
            }
            _ => Ok(answer),
        }
    }

    async fn pause(&self, delay: std::time::Duration) {
        let until = clock::after(self.clock.now(), delay);
        self.clock.sleep_until(until).await;
    }
}

macro_rules! with_faults {
    (OutboxRepository: $($call:ident: $method:ident($($arg:ident: $type:ty),*) -> $answer:ty, $error:ty;)+) => {
        #[async_trait]
        impl OutboxRepository for FaultStore {
            $(async fn $method(&self, $($arg: $type),*) -> Result<$answer, $error> {
                let asked = if StoreCall::$call.is_listing() {
                    format!("{:?}", ($(&$arg,)*))
                } else {
                    String::new()
                };
                let fault = self.plan().strike(StoreCall::$call);
                self.answer(StoreCall::$call, fault, asked, self.inner.$method($($arg),*)).await
            })+
        }
    };
    (OutboxQueue: $($call:ident: $method:ident($($arg:ident: $type:ty),*) -> $answer:ty, $error:ty;)+) => {
        #[async_trait]
        impl OutboxQueue for FaultStore {
            $(async fn $method(&self, $($arg: $type),*) -> Result<$answer, $error> {
                let asked = if StoreCall::$call.is_listing() {
                    format!("{:?}", ($(&$arg,)*))
                } else {
                    String::new()
                };
                let fault = self.plan().strike(StoreCall::$call);
                self.answer(StoreCall::$call, fault, asked, self.inner.$method($($arg),*)).await
            })+

            /// Passes on one combined request unless a fault is due for either half.
            async fn settle_and_claim(
                &self,
                settlements: Vec<Settlement>,
                request: &ClaimRequest,
            ) -> Exchange {
                let settle = match settlements.is_empty() {
                    true => None,
                    false => self.plan().strike(StoreCall::Settle),
                };
                let claim = self.plan().strike(StoreCall::Claim);
                if settle.is_none() && claim.is_none() {
                    return self.inner.settle_and_claim(settlements, request).await;
                }
                let settled = match settlements.is_empty() {
                    true => Ok(Vec::new()),
                    false => {
                        let work = self.inner.settle(settlements);
                        self.answer(StoreCall::Settle, settle, String::new(), work).await
                    }
                };
                let work = self.inner.claim(request);
                let claimed = self.answer(StoreCall::Claim, claim, String::new(), work).await;
                Exchange { settled, claimed }
            }

            fn clock(&self) -> Arc<dyn Clock> {
                Arc::clone(&self.clock)
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
}

crate::__store_calls!(with_faults);

impl fmt::Debug for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultStore")
            .field("inner", &self.inner)
            .field("injected", &self.injected())
            .finish_non_exhaustive()
    }
}
