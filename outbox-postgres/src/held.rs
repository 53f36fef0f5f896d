//! The lanes of the events that workers of this store hold.
//!
//! The worker that ends an event unblocks the next one of its lane. If the lane is known, that
//! takes one look into the index of blocked events; otherwise the row has to be read first. So it
//! has in a lane of which a worker holds several events: others may still be leased.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// The most events that are remembered. Those that nobody settles would otherwise pile up.
const MOST: usize = 100_000;

/// The lane of an event, if it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KnownLane {
    Number(i64),
    /// Several of its events may be leased.
    Shared(i64),
    /// It has none, so nothing waits for it.
    None,
    Unknown,
}

/// The lanes of held events, by event.
#[derive(Debug, Default)]
pub(crate) struct Held(Mutex<HashMap<Uuid, KnownLane>>);

impl Held {
    fn all(&self) -> MutexGuard<'_, HashMap<Uuid, KnownLane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes claimed events.
    pub(crate) fn took(&self, events: impl Iterator<Item = (Uuid, Option<i64>)>) {
        let known = |lane: Option<i64>| lane.map_or(KnownLane::None, KnownLane::Number);
        self.insert(events.map(|(id, lane)| (id, known(lane))));
    }

    /// Notes events that are leased together with others of their lanes.
    pub(crate) fn took_together(&self, events: impl Iterator<Item = (Uuid, i64)>) {
        self.insert(events.map(|(id, lane)| (id, KnownLane::Shared(lane))));
    }

    fn insert(&self, events: impl Iterator<Item = (Uuid, KnownLane)>) {
        let mut all = self.all();
        for (id, lane) in events {
            if all.len() >= MOST {
                all.clear();
            }
            all.insert(id, lane);
        }
    }

    /// The lane of each of these events.
    pub(crate) fn lanes<'i>(&self, ids: impl Iterator<Item = &'i Uuid>) -> Vec<KnownLane> {
        let all = self.all();
        let lane = |id| all.get(id).copied().unwrap_or(KnownLane::Unknown);
        ids.map(lane).collect()
    }

    /// Forgets events whose outcomes were recorded, or whose leases are lost.
    pub(crate) fn ended<'i>(&self, ids: impl Iterator<Item = &'i Uuid>) {
        let mut all = self.all();
        for id in ids {
            all.remove(id);
        }
    }

    /// The lanes in which workers of this store hold an event.
    pub(crate) fn of_lanes(&self) -> HashSet<i64> {
        let number = |lane: &KnownLane| match lane {
            KnownLane::Number(lane) | KnownLane::Shared(lane) => Some(*lane),
            KnownLane::None | KnownLane::Unknown => None,
        };
        self.all().values().filter_map(number).collect()
    }
}
