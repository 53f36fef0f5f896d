//! Promises of handlers to complete their events in transactions of their own.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// The claims of a run whose handlers complete the event in a transaction: only its commit
/// completes the event then.
#[derive(Debug)]
pub(crate) struct Promises {
    keeps_completed: bool,
    /// Whether there ever was one; nearly all runs have none.
    any: AtomicBool,
    made: Mutex<HashSet<ClaimId>>,
}

/// A claim, by its event and its lease token. Events that are claimed together may share a token.
pub(crate) type ClaimId = (Uuid, Uuid);

impl Promises {
    /// No promises yet, of a run that keeps completed events or not.
    pub(crate) fn new(keeps_completed: bool) -> Self {
        Self {
            keeps_completed,
            any: AtomicBool::new(false),
            made: Mutex::default(),
        }
    }

    fn made(&self) -> MutexGuard<'_, HashSet<ClaimId>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the handler of this claim has promised.
    pub(crate) fn has(&self, claim: ClaimId) -> bool {
        self.any.load(Ordering::Acquire) && self.made().contains(&claim)
    }

    /// Forgets a claim that has ended.
    pub(crate) fn end(&self, claim: ClaimId) {
        if self.any.load(Ordering::Acquire) {
            self.made().remove(&claim);
        }
    }
}

/// The promises of the run that makes an attempt at an event; none for an event outside of one.
///
/// It is no part of the event: all are equal.
#[derive(Clone, Default)]
pub(crate) struct PromisesOfRun(Option<Arc<Promises>>);

impl PromisesOfRun {
    pub(crate) fn of(run: &Arc<Promises>) -> Self {
        Self(Some(Arc::clone(run)))
    }

    /// Notes a promise. Returns whether the completed event is kept.
    pub(crate) fn promise(&self, claim: ClaimId) -> bool {
        let Some(run) = &self.0 else {
            return true;
        };
        run.made().insert(claim);
        run.any.store(true, Ordering::Release);
        run.keeps_completed
    }
}

impl PartialEq for PromisesOfRun {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for PromisesOfRun {}

impl fmt::Debug for PromisesOfRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}
