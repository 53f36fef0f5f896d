//! The in-memory store: every promise of a database except durability. For tests, and as the
//! plainest reading of the contract.

use std::fmt;
use std::future::{Ready, ready};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

use self::state::State;
use super::kit::Signal;
use crate::cancellation::{Cancel, CancelSink, Canceled};
use crate::clock::{Clock, SystemClock};
use crate::enqueue::{BatchSink, Enqueued, EventSink, NewEvent};
use crate::error::{EnqueueError, StoreError};
use crate::event::OutboxEvent;

mod claiming; // choosing the events of a claim
mod completing; // events that handlers complete
mod editing; // manual changes, clean-up
mod folding; // known ids and folding
mod following; // leasing the events behind a leased one
mod keyed; // events with keys, and cancellations
mod lanes; // which events wait for each other
mod leases; // leases and their outcomes
mod parents; // creations that other events wait for
mod pausing; // events held back
mod presence; // the processes that work on the store
mod queue; // implementation of the work queue
mod ready; // claimable events
mod repository; // implementation of the management contract
mod state; // rows and queues

/// An in-memory outbox. It keeps every promise of [`OutboxRepository`](crate::OutboxRepository)
/// except durability: its events are lost when the process ends.
///
/// Cloning is cheap; all clones share the same events.
///
/// # Examples
///
/// ```
/// use outbox_runtime::{MemoryStore, NewEvent, Operation, OutboxRepository};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// store.create_event(NewEvent::new("moodEntry", 7, "user-1", Operation::Create)).await?;
/// assert_eq!(store.statistics(Some("user-1")).await?.pending_count, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    signal: Signal,
    /// Never held across an await.
    state: Mutex<State>,
    suspended: AtomicBool,
}

impl MemoryStore {
    /// An empty store that uses the system clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(SystemClock)
    }

    /// An empty store that uses the given clock.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::MemoryStore;
    /// use outbox_runtime::store::SystemClock;
    ///
    /// let store = MemoryStore::with_clock(SystemClock); // in a test: `outbox_testing::ManualClock`
    /// # drop(store);
    /// ```
    #[must_use]
    pub fn with_clock(clock: impl Clock) -> Self {
        Self {
            shared: Arc::new(Shared {
                clock: Arc::new(clock),
                signal: Signal::new(),
                state: Mutex::default(),
                suspended: AtomicBool::new(false),
            }),
        }
    }

    /// Keeps deliveries in the [history](crate::OutboxRepository::attempts) of events, too.
    /// Default: only attempts that were not delivered.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use outbox_runtime::{MemoryStore, NewEvent, Operation, OutboxRepository};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MemoryStore::new().history_of_deliveries();
    /// let event = NewEvent::new("goal", 7, "user-1", Operation::Update);
    /// let event = store.create_event(event).await?;
    /// let claim = store.mark_as_processing(event.id, Duration::from_secs(60)).await?;
    /// store.mark_as_completed(&claim.lease).await?;
    /// assert_eq!(store.attempts(event.id).await?.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn history_of_deliveries(self) -> Self {
        self.state().keeps_deliveries = true;
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A poisoned lock is usable: each method either completes its change or panics before it
        // starts one.
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// # Errors
    ///
    /// `Suspended` while the store is suspended.
    fn awake(&self, operation: &'static str) -> Result<(), StoreError> {
        if self.shared.suspended.load(Ordering::SeqCst) {
            return Err(StoreError::suspended(operation));
        }
        Ok(())
    }

    fn now(&self) -> DateTime<Utc> {
        self.shared.clock.now()
    }

    fn insert(&self, event: NewEvent) -> Result<Enqueued, EnqueueError> {
        self.awake("enqueue")?;
        event.validate()?;
        let enqueued = self.state().enqueue(event, self.now())?;
        self.shared.signal.raise();
        Ok(enqueued)
    }

    /// Inserts all events or none, on a copy that replaces the state once every event is in.
    fn insert_all(
        &self,
        events: impl Iterator<Item = Result<NewEvent, EnqueueError>>,
    ) -> Result<Vec<Enqueued>, EnqueueError> {
        // Collected before the lock is taken, because the iterator runs code of the application.
        let events: Vec<_> = events.collect();
        self.awake("enqueue")?;
        let now = self.now();
        let state = &mut *self.state();
        let mut next = state.clone();
        let enqueued = events.into_iter().enumerate().map(|(index, event)| {
            let enqueued = event.and_then(|event| {
                event.validate()?;
                next.enqueue(event, now)
            });
            enqueued.map_err(|error| error.at(index))
        });
        let enqueued = enqueued.collect::<Result<_, _>>()?;
        *state = next;
        self.shared.signal.raise();
        Ok(enqueued)
    }

    /// The events that `wanted` selects, by seq.
    fn list(
        &self,
        limit: Option<usize>,
        wanted: impl Fn(&OutboxEvent) -> bool,
    ) -> Vec<OutboxEvent> {
        self.state()
            .rows
            .values()
            .filter(|event| wanted(event))
            .take(limit.unwrap_or(usize::MAX))
            .cloned()
            .collect()
    }

    /// Deletes the unclaimed ones among the events that `cancel` selects.
    fn cancel_waiting(&self, cancel: &Cancel) -> Canceled {
        let now = self.now();
        let canceled = self.state().cancel(cancel, now);
        if !canceled.canceled.is_empty() {
            self.shared.signal.raise();
        }
        canceled
    }

    fn delete(&self, wanted: impl Fn(&OutboxEvent) -> bool) -> u64 {
        let now = self.now();
        let state = &mut *self.state();
        let seqs: Vec<i64> = state
            .rows
            .values()
            .filter(|event| wanted(event))
            .map(|event| event.seq)
            .collect();
        for seq in &seqs {
            state.remove(*seq, now);
        }
        if !seqs.is_empty() {
            self.shared.signal.raise();
        }
        seqs.len() as u64
    }
}

/// `None` matches every user.
fn is_of(event: &OutboxEvent, user_id: Option<&str>) -> bool {
    user_id.is_none_or(|user| user == event.user_id)
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("events", &self.state().rows.len())
            .finish_non_exhaustive()
    }
}

/// The event is enqueued when the call returns; awaiting the result only keeps stores
/// interchangeable.
impl EventSink<MemoryStore> for &MemoryStore {
    type Output = Ready<Result<Enqueued, EnqueueError>>;

    fn enqueue(self, event: Result<NewEvent, EnqueueError>) -> Self::Output {
        ready(event.and_then(|event| self.insert(event)))
    }
}

/// The events are enqueued when the call returns, as for one event.
impl BatchSink<MemoryStore> for &MemoryStore {
    type Output = Ready<Result<Vec<Enqueued>, EnqueueError>>;

    fn enqueue_all(
        self,
        events: impl Iterator<Item = Result<NewEvent, EnqueueError>>,
    ) -> Self::Output {
        ready(self.insert_all(events))
    }
}

/// The events are canceled when the call returns, as for enqueueing.
impl CancelSink<MemoryStore> for &MemoryStore {
    type Output = Ready<Result<Canceled, StoreError>>;

    fn cancel_events(self, cancel: Cancel) -> Self::Output {
        ready(self.awake("cancel").map(|()| self.cancel_waiting(&cancel)))
    }
}
