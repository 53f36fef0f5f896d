//! Indexes that not every outbox has: what they are for, and what a store knows of them.
//!
//! An index costs each batch of new events an eighth, so a store creates these where it needs them,
//! once and for good; see [`creation`](crate::creation).

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outbox_runtime::Clock;
use outbox_runtime::store::SystemClock;

/// What a store knows of an index.
const UNKNOWN: u8 = 0;
const MISSING: u8 = 1;
/// A task of the store creates it, or has found that it cannot.
const CREATING: u8 = 2;
const THERE: u8 = 3;

/// An index that a store creates once it needs it.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) name: &'static str,
    /// Its columns and its condition.
    pub(crate) on: &'static str,
    /// Its name for people, and what is slow without it.
    pub(crate) title: &'static str,
    pub(crate) without: &'static str,
    /// The operations that look it up and create it, for errors.
    pub(crate) lookup: &'static str,
    pub(crate) creation: &'static str,
    /// The number of the lock under which it is created.
    pub(crate) lock: i32,
    known: AtomicU8,
    /// When the rest after an expensive look without it ends, on the steady clock.
    rests_until: Mutex<Duration>,
}

impl Index {
    /// The index by user, which only processors for all users need.
    pub(crate) fn for_turns() -> Self {
        Self {
            name: "events_by_user",
            on: "(user_id, priority DESC, due, seq) WHERE slot = 'r'",
            title: "the index for turns",
            without: "turns read all candidates",
            lookup: "look up the index for turns",
            creation: "create the index for turns",
            lock: 101,
            known: AtomicU8::new(UNKNOWN),
            rests_until: Mutex::default(),
        }
    }

    /// The index by destination, where `''` stands for none. No statement but those for this index
    /// has its condition, so the planner chooses it for these, and for no others.
    pub(crate) fn by_destination() -> Self {
        Self {
            name: "events_by_destination",
            on: "(coalesce(destination, ''), priority DESC, due, seq) \
                 WHERE slot::text = 'r' AND coalesce(destination, '') >= ''",
            title: "the index by destination",
            without: "claims read all events for destinations that are left out",
            lookup: "look up the index by destination",
            creation: "create the index by destination",
            lock: 103,
            known: AtomicU8::new(UNKNOWN),
            rests_until: Mutex::default(),
        }
    }

    pub(crate) fn is_unknown(&self) -> bool {
        self.known.load(Ordering::Relaxed) == UNKNOWN
    }

    pub(crate) fn is_there(&self) -> bool {
        self.known.load(Ordering::Relaxed) == THERE
    }

    pub(crate) fn learn_there(&self) {
        self.known.store(THERE, Ordering::Relaxed);
    }

    pub(crate) fn learn_missing(&self) {
        self.known.store(MISSING, Ordering::Relaxed);
    }

    /// Makes the store look for it again.
    pub(crate) fn forget(&self) {
        self.known.store(UNKNOWN, Ordering::Relaxed);
    }

    /// Whether the caller is the first to have it created.
    pub(crate) fn begins_creation(&self) -> bool {
        let missing = |known| matches!(known, UNKNOWN | MISSING).then_some(CREATING);
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        self.known.fetch_update(set, get, missing).is_ok()
    }

    /// Lets looks without it rest for some time.
    pub(crate) fn rest(&self, rest: Duration) {
        let until = SystemClock.uptime().saturating_add(rest);
        *self.rests_until() = until;
    }

    pub(crate) fn is_resting(&self) -> bool {
        SystemClock.uptime() < *self.rests_until()
    }

    fn rests_until(&self) -> MutexGuard<'_, Duration> {
        let rest = self.rests_until.lock();
        rest.unwrap_or_else(PoisonError::into_inner)
    }
}
