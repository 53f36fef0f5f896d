//! Limits: how many calls to a destination may be under way at once, and how often one may begin,
//! as the application sets it.
//!
//! All runs of a processor share them. Claims obey them: a run reserves places before it asks the
//! store for events, so events that wait for a place stay in the store. A claimed event *holds* a
//! place until its call begins, and then the call has it until the handler has answered. A batch
//! is one call.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::enqueue::key_fault;
use crate::error::BuildError;

#[cfg(feature = "pace")]
mod bucket; // the calls that may begin
mod member; // the part of one run
#[cfg(feature = "pace")]
mod pace; // how often a call may begin
#[cfg(not(feature = "pace"))]
mod unpaced; // both without the feature: no values

#[cfg(feature = "pace")]
use self::bucket::Bucket;
pub(super) use self::member::{Full, Member};
#[cfg(feature = "pace")]
pub use self::pace::Pace;
#[cfg(not(feature = "pace"))]
use self::unpaced::{Bucket, NoPace as Pace};

/// The limit of one destination, as set.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limit {
    /// The most calls under way at once.
    pub(super) most: Option<usize>,
    pub(super) pace: Option<Pace>,
}

/// The limits as set, by destination; `None` is for events without one.
pub(super) type LimitSettings = BTreeMap<Option<String>, Limit>;

/// The limits that all runs of a processor share.
pub(super) struct Limits {
    limited: Vec<Limited>,
    /// The place of each name in `limited`.
    named: HashMap<String, usize>,
    unnamed: Option<usize>,
    state: Mutex<State>,
}

/// A limited destination.
struct Limited {
    destination: Option<String>,
    most: usize,
}

#[derive(Default)]
struct State {
    /// For each limited destination, the calls that may begin; `None`: any number.
    buckets: Vec<Option<Bucket>>,
    runs: BTreeMap<u64, Part>,
    /// Numbers the runs.
    number: u64,
}

/// What a run has of the limits.
struct Part {
    uses: Vec<Use>,
    /// Whether the run lacks a place that another run has.
    lacks: bool,
    wake: Arc<Notify>,
}

/// The places that a run has at one destination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Use {
    /// Calls under way.
    pub(super) calls: usize,
    /// Claimed events and batches whose calls have not begun.
    pub(super) held: usize,
    /// Places for the events of a claim that the store has not answered yet.
    reserved: usize,
}

impl Use {
    fn waiting(self) -> usize {
        self.held.saturating_add(self.reserved)
    }

    fn places(self) -> usize {
        self.calls.saturating_add(self.waiting())
    }
}

impl State {
    /// The sum over all runs of what `which` picks at a destination.
    fn sum(&self, index: usize, which: impl Fn(Use) -> usize) -> usize {
        let parts = self.runs.values();
        let uses = parts.filter_map(|part| part.uses.get(index));
        uses.map(|uses| which(*uses)).fold(0, usize::saturating_add)
    }

    /// How many more events may be claimed.
    fn room(&self, index: usize, most: usize, now: Duration) -> usize {
        let places = most.saturating_sub(self.sum(index, Use::places));
        match self.buckets.get(index) {
            Some(Some(bucket)) => {
                let calls = bucket.look(now).unwrap_or(0);
                places.min(calls.saturating_sub(self.sum(index, Use::waiting)))
            }
            _ => places,
        }
    }
}

impl Limits {
    /// # Errors
    ///
    /// A limit that allows nothing, or of a name that no event can have.
    pub(super) fn new(settings: &LimitSettings, now: Duration) -> Result<Self, BuildError> {
        let mut limits = Self {
            limited: Vec::new(),
            named: HashMap::new(),
            unnamed: None,
            state: Mutex::default(),
        };
        let mut buckets = Vec::new();
        for (destination, limit) in settings {
            if let Some(fault) = fault(destination.as_deref(), limit) {
                return Err(BuildError::Limit {
                    destination: destination.clone(),
                    fault,
                });
            }
            let index = limits.limited.len();
            match destination {
                Some(name) => drop(limits.named.insert(name.clone(), index)),
                None => limits.unnamed = Some(index),
            }
            limits.limited.push(Limited {
                destination: destination.clone(),
                most: limit.most.unwrap_or(usize::MAX),
            });
            buckets.push(limit.pace.and_then(|pace| Bucket::new(&pace, now)));
        }
        limits.state().buckets = buckets;
        Ok(limits)
    }

    /// The limit that events to this destination obey.
    fn index_of(&self, destination: Option<&str>) -> Option<usize> {
        match destination {
            Some(name) => self.named.get(name).copied(),
            None => self.unnamed,
        }
    }

    fn most(&self, index: usize) -> usize {
        self.limited.get(index).map_or(usize::MAX, |it| it.most)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No change can panic halfway, so a poisoned lock holds valid data.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first rule that a limit violates, if any.
fn fault(destination: Option<&str>, limit: &Limit) -> Option<String> {
    if let Some(fault) = destination.and_then(key_fault) {
        return Some(format!(
            "no event can have this destination, because the name {fault}"
        ));
    }
    if limit.most == Some(0) {
        return Some("a limit allows at least 1 call".to_owned());
    }
    let fault = limit.pace.as_ref().and_then(Pace::fault);
    fault.map(str::to_owned)
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let destinations = self.limited.iter().map(|it| &it.destination);
        f.debug_set().entries(destinations).finish()
    }
}
