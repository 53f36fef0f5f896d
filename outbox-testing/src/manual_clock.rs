//! A clock that stands still until it is moved.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;

use outbox_runtime::__private::clock;
use outbox_runtime::store::{OutboxQueue as _, Sleep};
use outbox_runtime::{Clock, Running};

use crate::kit::{self, Drained, KitError};

/// A [`Clock`] that a test moves manually. It starts at 2026-01-01T00:00:00Z. Clones share the same
/// time.
///
/// Sleepers wake in the order of their deadlines; sleepers with equal deadlines wake in the order
/// in which they fell asleep.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::{Clock, MemoryStore};
/// use outbox_testing::ManualClock;
///
/// let clock = ManualClock::new();
/// let store = MemoryStore::with_clock(clock.clone());
/// let before = clock.now();
/// clock.advance(Duration::from_secs(300));
/// assert_eq!((clock.now() - before).num_seconds(), 300);
/// # drop(store);
/// ```
///
/// What sleeps on it:
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::Clock;
/// use outbox_testing::ManualClock;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let clock = ManualClock::new();
/// let deadline = clock.now() + Duration::from_secs(90);
/// let sleeper = tokio::spawn(clock.sleep_until(deadline));
///
/// clock.until_asleep(deadline).await;
/// assert_eq!(clock.next_deadline(), Some(deadline));
/// clock.set(deadline); // forward or back
/// assert!(sleeper.await.is_ok());
/// # }
/// ```
#[derive(Clone)]
pub struct ManualClock(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Changes whenever a sleeper falls asleep, for [`ManualClock::until_asleep`].
    sleeps: watch::Sender<u64>,
}

struct State {
    /// In nanoseconds, so that steps below a microsecond add up. Reads and comparisons truncate it.
    exact: DateTime<Utc>,
    /// The sleepers by deadline, in the order in which they wake.
    sleepers: BTreeMap<SleeperKey, Waker>,
    sleeper_count: u64,
}

impl State {
    fn now(&self) -> DateTime<Utc> {
        clock::to_micros(self.exact)
    }
}

/// A deadline in whole microseconds, and a number unique to the sleeper.
type SleeperKey = (DateTime<Utc>, u64);

/// 2026-01-01T00:00:00Z, in seconds since 1970.
const BEGIN: i64 = 1_767_225_600;

/// How long a run may take to fall asleep, by the clock of the machine.
const FALLING_ASLEEP: Duration = Duration::from_secs(5);

impl ManualClock {
    /// Creates a clock at 2026-01-01T00:00:00Z.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            state: Mutex::new(State {
                exact: DateTime::from_timestamp(BEGIN, 0).unwrap_or(DateTime::UNIX_EPOCH),
                sleepers: BTreeMap::new(),
                sleeper_count: 0,
            }),
            sleeps: watch::Sender::new(0),
        }))
    }

    /// Moves the clock forward and wakes all sleepers that are due. If several threads advance the
    /// clock at once, it moves by the sum of their steps. Steps below a microsecond add up.
    pub fn advance(&self, duration: Duration) {
        self.update(|now| {
            let step = TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
            clock::shifted(now, step)
        });
    }

    /// Sets the clock, forward or backward, and wakes all sleepers that are due.
    pub fn set(&self, now: DateTime<Utc>) {
        self.update(|_| now);
    }

    /// Reads and moves the clock atomically.
    fn update(&self, to: impl FnOnce(DateTime<Utc>) -> DateTime<Utc>) {
        let mut state = self.state();
        state.exact = to(state.exact);
        let now = state.now();
        let later = state.sleepers.split_off(&(now, u64::MAX));
        let woken = std::mem::replace(&mut state.sleepers, later);
        drop(state);
        woken.into_values().for_each(Waker::wake);
    }

    /// Completes once something sleeps until exactly `deadline`, to the microsecond: everything
    /// that it does before is done.
    pub async fn until_asleep(&self, deadline: DateTime<Utc>) {
        let deadline = clock::up_to_micros(deadline);
        let mut sleeps = self.0.sleeps.subscribe();
        let asleep = |_: &u64| {
            let state = self.state();
            let mut matching = state.sleepers.range((deadline, 0)..=(deadline, u64::MAX));
            matching.next().is_some()
        };
        // Cannot fail: the sender belongs to `self`.
        let _ = sleeps.wait_for(asleep).await;
    }

    /// Waits until a run on this clock has nothing to do at the present time: no event is with a
    /// handler or about to be, and the run sleeps until the time at which it goes on, if there is
    /// one. Returns what is left, and what was delivered since the call. Then advance the clock,
    /// and wait again.
    ///
    /// # Errors
    ///
    /// [`KitError::Store`] if the store fails; [`KitError::OtherClock`] if it has another clock;
    /// [`KitError::StillBusy`] if a handler is still running after a minute of the machine's time,
    /// as one does that waits for this clock.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait and nothing else.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use outbox_runtime::prelude::*;
    /// use outbox_testing::ManualClock;
    ///
    /// #[derive(OutboxEntity)]
    /// #[outbox(event_type = "goal")]
    /// struct Goal {
    ///     #[outbox(entity_id)]
    ///     id: i64,
    ///     #[outbox(user_id)]
    ///     user_id: String,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let clock = ManualClock::new();
    /// let store = MemoryStore::with_clock(clock.clone());
    /// let running = Processor::builder(store.clone())
    ///     .handle::<Goal>(|_| async { Ok(()) })
    ///     .build()?
    ///     .start_all_users();
    /// let goal = Goal { id: 7, user_id: "user-1".into() };
    /// goal.enqueue_create().delay(Duration::from_secs(60)).on(&store).await?;
    ///
    /// assert_eq!(clock.until_idle(&running).await?.waiting.len(), 1);
    /// clock.advance(Duration::from_secs(60));
    /// assert_eq!(clock.until_idle(&running).await?.assert_empty(), 1);
    /// # running.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn until_idle(&self, running: &Running) -> Result<Drained, KitError> {
        let before = self.now();
        let told = running.store().clock().now();
        if !(before..=self.now()).contains(&told) {
            return Err(KitError::OtherClock);
        }
        let report = kit::until_idle(running).await?;
        if let Some(at) = report.next(self.now()) {
            // The run falls asleep right after it has recorded its outcomes; the bound is for an
            // event that it does not wait for.
            tokio::select! {
                () = self.until_asleep_before(at) => {}
                () = clock::pause(FALLING_ASLEEP) => {}
            }
        }
        Ok(report)
    }

    /// Completes once something sleeps until `deadline` or less.
    async fn until_asleep_before(&self, deadline: DateTime<Utc>) {
        let mut sleeps = self.0.sleeps.subscribe();
        let asleep = |_: &u64| self.next_deadline().is_some_and(|next| next <= deadline);
        // Cannot fail: the sender belongs to `self`.
        let _ = sleeps.wait_for(asleep).await;
    }

    /// The earliest deadline of all sleepers. A test with nothing else to wait for sets the clock
    /// to it, which wakes them. A deadline between two microseconds is rounded up.
    #[must_use]
    pub fn next_deadline(&self) -> Option<DateTime<Utc>> {
        let state = self.state();
        state.sleepers.first_key_value().map(|(key, _)| key.0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can panic in the middle of a change.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ManualClock").field(&self.now()).finish()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        self.state().now()
    }

    fn sleep_until(&self, deadline: DateTime<Utc>) -> Sleep {
        Box::pin(Sleeper {
            clock: self.clone(),
            deadline: clock::up_to_micros(deadline),
            key: None,
        })
    }
}

struct Sleeper {
    clock: ManualClock,
    deadline: DateTime<Utc>,
    /// Set on the first poll.
    key: Option<SleeperKey>,
}

impl Future for Sleeper {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let clock = self.clock.clone();
        let mut state = clock.state();
        if state.now() >= self.deadline {
            return Poll::Ready(());
        }
        let deadline = self.deadline;
        let key = *self.key.get_or_insert_with(|| {
            state.sleeper_count += 1;
            (deadline, state.sleeper_count)
        });
        let fallen_asleep = state
            .sleepers
            .insert(key, context.waker().clone())
            .is_none();
        drop(state);
        if fallen_asleep {
            clock
                .0
                .sleeps
                .send_modify(|count| *count = count.wrapping_add(1));
        }
        Poll::Pending
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.clock.state().sleepers.remove(&key);
        }
    }
}
