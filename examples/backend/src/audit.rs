//! The stored entities and the received calls, for checks.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::faults::Fault;

/// All entities of the service, and all calls in order of effect.
///
/// The JSON answer of `GET /admin/audit`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Audit {
    /// The stored entities by collection: `mood-entries`, `journal`, `goals`, `consultations`,
    /// `messages`, `progress`, `sleep`, `meal-logs`, `workouts`, `workout-templates`,
    /// `activity-snapshots`, `profiles`.
    pub collections: BTreeMap<String, Vec<Held>>,
    /// The calls, oldest first.
    pub calls: Vec<Call>,
    /// The number of older calls missing from `calls` because of
    /// [`Settings::audit_capacity`](crate::Settings::audit_capacity). The counters below include
    /// them.
    pub forgotten_calls: u64,
    /// How often each fault fired, by its name.
    pub faults: BTreeMap<String, u64>,
    /// The number of calls answered by replaying the first answer of their key.
    pub replays: u64,
}

/// A call, answered or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Call {
    /// Its position, from 1.
    pub seq: u64,
    /// `POST`, for example.
    pub method: String,
    /// The requested path.
    pub path: String,
    /// The endpoint, such as `POST /api/v1/goals/{id}/complete`; `None` if unknown.
    pub route: Option<String>,
    /// The user's id, if the token was valid.
    pub user: Option<String>,
    /// The header `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// The status of the answer, which the caller never saw if `fault` is [`Fault::Drop`].
    pub status: u16,
    /// The created or addressed entity.
    pub entity: Option<String>,
    /// The injected fault.
    pub fault: Option<Fault>,
    /// Whether the first answer of its key was replayed, without a second effect; for a batch,
    /// whether that of any item was.
    pub replay: bool,
    /// The number of items of a batch whose items have keys of their own; 0 for any other call.
    #[serde(default)]
    pub items: usize,
}

/// A stored entity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Held {
    /// The id assigned by the service.
    pub id: String,
    /// The owner's id.
    pub owner: String,
    /// The idempotency key of the call, or of the item of a batch, that created it.
    pub key: Option<String>,
    /// The call that created it.
    pub created_by: u64,
    /// The entity as the service sends it.
    pub entity: Value,
}

impl Audit {
    /// The entities of a collection in order of creation; none for an unknown collection.
    pub fn held(&self, collection: &str) -> impl Iterator<Item = &Held> {
        self.collections.get(collection).into_iter().flatten()
    }

    /// The calls of an endpoint, such as `POST /api/v1/goals/{id}/complete`.
    pub fn calls_of(&self, route: &str) -> impl Iterator<Item = &Call> {
        self.calls
            .iter()
            .filter(move |call| call.route.as_deref() == Some(route))
    }

    /// How often a fault fired; slow answers count together.
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

/// The counter of outages, because a closed port receives no calls.
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

    /// The position of the next call.
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

    /// Clears calls and counters. Positions continue.
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
