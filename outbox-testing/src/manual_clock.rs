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
use outbox_runtime::Clock;
use outbox_runtime::store::Sleep;

/// A [`Clock`] that a test moves by hand. It begins at 2026-01-01T00:00:00Z; clones are the same clock.
///
/// Those who sleep are woken in the order of their deadlines, and those with the same one in the order in which they fell asleep.
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
#[derive(Clone)]
pub struct ManualClock(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Moves whenever somebody falls asleep, for [`ManualClock::until_asleep`].
    bedtime: watch::Sender<u64>,
}

struct State {
    /// To the nanosecond, so that steps of less than a microsecond add up. What is told and compared is cut.
    exact: DateTime<Utc>,
    /// Who sleeps until when, in the order in which they are woken.
    sleepers: BTreeMap<Bed, Waker>,
    fallen_asleep: u64,
}

impl State {
    fn now(&self) -> DateTime<Utc> {
        clock::to_micros(self.exact)
    }
}

/// A deadline in whole microseconds, and a number that no other sleeper has.
type Bed = (DateTime<Utc>, u64);

/// 2026-01-01T00:00:00Z, in seconds since 1970.
const BEGIN: i64 = 1_767_225_600;

impl ManualClock {
    /// A clock at 2026-01-01T00:00:00Z.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            state: Mutex::new(State {
                exact: DateTime::from_timestamp(BEGIN, 0).unwrap_or(DateTime::UNIX_EPOCH),
                sleepers: BTreeMap::new(),
                fallen_asleep: 0,
            }),
            bedtime: watch::Sender::new(0),
        }))
    }

    /// Moves the clock forward, and wakes whoever slept until then. Threads that advance it at the same time all count: the
    /// clock moves by the sum. Steps of less than a microsecond add up.
    pub fn advance(&self, duration: Duration) {
        self.turn(|now| {
            let step = TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
            clock::shifted(now, step)
        });
    }

    /// Sets the clock, backwards too, and wakes whoever slept until then.
    pub fn set(&self, now: DateTime<Utc>) {
        self.turn(|_| now);
    }

    /// Reads and moves it in one step: nobody moves it in between.
    fn turn(&self, to: impl FnOnce(DateTime<Utc>) -> DateTime<Utc>) {
        let mut state = self.state();
        state.exact = to(state.exact);
        let now = state.now();
        let later = state.sleepers.split_off(&(now, u64::MAX));
        let woken = std::mem::replace(&mut state.sleepers, later);
        drop(state);
        woken.into_values().for_each(Waker::wake);
    }

    /// Resolves once somebody sleeps until exactly `deadline`, to the microsecond: what they had to do before it is done.
    pub async fn until_asleep(&self, deadline: DateTime<Utc>) {
        let deadline = clock::up_to_micros(deadline);
        let mut bedtime = self.0.bedtime.subscribe();
        let asleep = |_: &u64| {
            let state = self.state();
            let mut until_then = state.sleepers.range((deadline, 0)..=(deadline, u64::MAX));
            until_then.next().is_some()
        };
        // The sender is `self`, so it cannot be gone.
        let _ = bedtime.wait_for(asleep).await;
    }

    /// The earliest time that somebody sleeps until: what a test that has nothing else to wait for sets the clock to, which
    /// wakes them. A deadline between two microseconds is reached with the later one.
    #[must_use]
    pub fn next_deadline(&self) -> Option<DateTime<Utc>> {
        let state = self.state();
        state.sleepers.first_key_value().map(|(bed, _)| bed.0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing below can panic half way through a change.
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
            bed: None,
        })
    }
}

struct Sleeper {
    clock: ManualClock,
    deadline: DateTime<Utc>,
    /// From the first poll on.
    bed: Option<Bed>,
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
        let bed = *self.bed.get_or_insert_with(|| {
            state.fallen_asleep += 1;
            (deadline, state.fallen_asleep)
        });
        let fallen_asleep = state
            .sleepers
            .insert(bed, context.waker().clone())
            .is_none();
        drop(state);
        if fallen_asleep {
            clock
                .0
                .bedtime
                .send_modify(|count| *count = count.wrapping_add(1));
        }
        Poll::Pending
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        if let Some(bed) = self.bed {
            self.clock.state().sleepers.remove(&bed);
        }
    }
}
