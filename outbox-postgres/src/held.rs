//! The lanes of the events that workers of this store hold.
//!
//! Whoever ends an event unblocks the next one of its lane. With the lane at hand, that is one look
//! into the index of blocked events; without it, the row has to be read for it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// The most events that are remembered. Those that nobody settles would otherwise pile up.
const MOST: usize = 100_000;

/// The lanes of held events, by event; `None` is an event without a lane.
#[derive(Debug, Default)]
pub(crate) struct Held(Mutex<HashMap<Uuid, Option<i64>>>);

impl Held {
    fn all(&self) -> MutexGuard<'_, HashMap<Uuid, Option<i64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes claimed events.
    pub(crate) fn took(&self, events: impl Iterator<Item = (Uuid, Option<i64>)>) {
        let mut all = self.all();
        for (id, lane) in events {
            if all.len() >= MOST {
                all.clear();
            }
            all.insert(id, lane);
        }
    }

    /// The lane of each of these events; `None` for an event that is not remembered.
    pub(crate) fn lanes<'i>(
        &self,
        ids: impl Iterator<Item = &'i Uuid>,
    ) -> Vec<Option<Option<i64>>> {
        let all = self.all();
        ids.map(|id| all.get(id).copied()).collect()
    }

    /// Forgets events whose outcomes were recorded, or whose leases are lost.
    pub(crate) fn ended<'i>(&self, ids: impl Iterator<Item = &'i Uuid>) {
        let mut all = self.all();
        for id in ids {
            all.remove(id);
        }
    }

    /// Whether workers of this store hold any event.
    pub(crate) fn is_any(&self) -> bool {
        !self.all().is_empty()
    }
}
