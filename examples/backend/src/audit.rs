//! What is held and what was called, for those who check.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::faults::Fault;

/// Everything that the service holds, and every call in the order in which they took effect.
///
/// It is what `GET /admin/audit` answers, as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Audit {
    /// What is held, by collection: `mood-entries`, `journal`, `goals`, `consultations`, `messages`, `progress`, `sleep`, `meal-logs`,
    /// `workouts`, `workout-templates`, `activity-snapshots`, `profiles`.
    pub collections: BTreeMap<String, Vec<Held>>,
    /// The calls, oldest first.
    pub calls: Vec<Call>,
    /// How many older calls are not in `calls` any more, as there were more than
    /// [`Settings::audit_capacity`](crate::Settings::audit_capacity). The counters below include them.
    pub forgotten_calls: u64,
    /// How often each fault fired, by its name.
    pub faults: BTreeMap<String, u64>,
    /// How many calls got the first answer of their key again.
    pub replays: u64,
}

/// A call that was answered, or would have been.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Call {
    /// Its place in the order, from 1.
    pub seq: u64,
    /// `POST`, for example.
    pub method: String,
    /// The path as it was called.
    pub path: String,
    /// The endpoint, as `POST /api/v1/goals/{id}/complete`; `None` where there is none such.
    pub route: Option<String>,
    /// The id of the user, where the token was good.
    pub user: Option<String>,
    /// The header `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// The status of the answer. The caller has not seen it where `fault` is [`Fault::Drop`].
    pub status: u16,
    /// The entity that was made or addressed.
    pub entity: Option<String>,
    /// What went wrong on purpose.
    pub fault: Option<Fault>,
    /// Whether this was the first answer of its key again, without a second effect.
    pub replay: bool,
}

/// An entity that the service holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Held {
    /// The id that the service gave it.
    pub id: String,
    /// The id of the user whose it is.
    pub owner: String,
    /// The idempotency key of the call that made it.
    pub key: Option<String>,
    /// The call that made it.
    pub created_by: u64,
    /// The entity as the service sends it.
    pub entity: Value,
}

impl Audit {
    /// What a collection holds, in the order in which it was made. Nothing for a name that is no collection.
    pub fn held(&self, collection: &str) -> impl Iterator<Item = &Held> {
        self.collections.get(collection).into_iter().flatten()
    }

    /// The calls of an endpoint, as `POST /api/v1/goals/{id}/complete`.
    pub fn calls_of(&self, route: &str) -> impl Iterator<Item = &Call> {
        self.calls
            .iter()
            .filter(move |call| call.route.as_deref() == Some(route))
    }

    /// How often a fault fired; slow answers count together, however slow they were.
    #[must_use]
    pub fn fired(&self, fault: Fault) -> u64 {
        self.faults.get(fault.name()).copied().unwrap_or(0)
    }

    /// How often the service was offline.
    #[must_use]
    pub fn outages(&self) -> u64 {
        self.faults.get(OFFLINE).copied().unwrap_or(0)
    }
}

/// The name under which outages are counted: what meets a closed port is no call.
const OFFLINE: &str = "offline";

/// The calls so far.
#[derive(Debug)]
pub(crate) struct Log {
    capacity: usize,
    calls: VecDeque<Call>,
    forgotten: u64,
    faults: BTreeMap<String, u64>,
    replays: u64,
    last_seq: u64,
}

impl Log {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            calls: VecDeque::new(),
            forgotten: 0,
            faults: BTreeMap::new(),
            replays: 0,
            last_seq: 0,
        }
    }

    /// The place in the order that the next call has.
    pub(crate) fn next_seq(&self) -> u64 {
        self.last_seq + 1
    }

    pub(crate) fn record(&mut self, call: Call) {
        self.last_seq = call.seq;
        self.replays += u64::from(call.replay);
        if let Some(fault) = call.fault {
            self.count(fault.name());
        }
        self.calls.push_back(call);
        if self.calls.len() > self.capacity {
            self.calls.pop_front();
            self.forgotten += 1;
        }
    }

    pub(crate) fn record_outage(&mut self) {
        self.count(OFFLINE);
    }

    /// Forgets calls and counters. The order goes on.
    pub(crate) fn reset(&mut self) {
        *self = Self {
            last_seq: self.last_seq,
            ..Self::new(self.capacity)
        };
    }

    pub(crate) fn audit(&self, collections: BTreeMap<String, Vec<Held>>) -> Audit {
        Audit {
            collections,
            calls: self.calls.iter().cloned().collect(),
            forgotten_calls: self.forgotten,
            faults: self.faults.clone(),
            replays: self.replays,
        }
    }

    fn count(&mut self, fault: &str) {
        *self.faults.entry(fault.to_owned()).or_default() += 1;
    }
}
