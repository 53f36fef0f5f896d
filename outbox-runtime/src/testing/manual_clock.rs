//! A clock that stands still until it is moved.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::watch;

use crate::clock::{self, Clock, Sleep};

/// A [`Clock`] that a test moves by hand. It begins at 2026-01-01T00:00:00Z; clones are the same clock.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::{Clock, MemoryStore, testing::ManualClock};
///
/// let clock = ManualClock::new();
/// let store = MemoryStore::with_clock(clock.clone());
/// let before = clock.now();
/// clock.advance(Duration::from_secs(300));
/// assert_eq!((clock.now() - before).num_seconds(), 300);
/// # drop(store);
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock(watch::Sender<State>);

#[derive(Debug)]
struct State {
    now: DateTime<Utc>,
    /// How many sleep until when.
    sleepers: BTreeMap<DateTime<Utc>, usize>,
}

/// 2026-01-01T00:00:00Z, in seconds since 1970.
const BEGIN: i64 = 1_767_225_600;

impl ManualClock {
    /// A clock at 2026-01-01T00:00:00Z.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(State {
            now: DateTime::from_timestamp(BEGIN, 0).unwrap_or(DateTime::UNIX_EPOCH),
            sleepers: BTreeMap::new(),
        }))
    }

    /// Moves the clock forward, and wakes whoever slept until then.
    pub fn advance(&self, duration: Duration) {
        self.0
            .send_modify(|state| state.now = clock::after(state.now, duration));
    }

    /// Sets the clock, backwards too.
    pub fn set(&self, now: DateTime<Utc>) {
        self.0
            .send_modify(|state| state.now = clock::to_micros(now));
    }

    /// Resolves once somebody sleeps until exactly `deadline`: what they had to do before it is done.
    pub async fn until_asleep(&self, deadline: DateTime<Utc>) {
        let mut states = self.0.subscribe();
        let asleep = |state: &State| state.sleepers.contains_key(&deadline);
        // The sender is `self`, so it cannot be gone.
        let _ = states.wait_for(asleep).await;
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        self.0.borrow().now
    }

    fn sleep_until(&self, deadline: DateTime<Utc>) -> Sleep {
        let states = self.0.clone();
        Box::pin(async move {
            let _sleeper = Sleeper::new(&states, deadline);
            let _ = states
                .subscribe()
                .wait_for(|state| state.now >= deadline)
                .await;
        })
    }
}

/// Counts one sleeper for as long as it sleeps.
struct Sleeper<'a> {
    states: &'a watch::Sender<State>,
    deadline: DateTime<Utc>,
}

impl<'a> Sleeper<'a> {
    fn new(states: &'a watch::Sender<State>, deadline: DateTime<Utc>) -> Self {
        states.send_modify(|state| *state.sleepers.entry(deadline).or_default() += 1);
        Self { states, deadline }
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        self.states.send_modify(|state| {
            if let Some(count) = state.sleepers.get_mut(&self.deadline) {
                *count -= 1;
                if *count == 0 {
                    state.sleepers.remove(&self.deadline);
                }
            }
        });
    }
}
