//! The latch that a store's commits set and a processor waits on.
//!
//! The mutex is imported from the parent module, so that `tests/promises/wakes.rs` can include this
//! file with the mutex of a model checker and explore every interleaving.

use std::future::poll_fn;
use std::sync::PoisonError;
use std::task::{Poll, Waker};

use super::{Mutex, Revision};

/// Counts commits that made work claimable. A notification can be missed, a count cannot: a later
/// look still shows that it has moved.
#[derive(Debug)]
pub struct Signal(Mutex<State>);

#[derive(Debug)]
struct State {
    count: u64,
    waiting: Vec<Waker>,
}

impl Default for Signal {
    fn default() -> Self {
        Self::new()
    }
}

impl Signal {
    /// A signal with count zero.
    #[must_use]
    pub fn new() -> Self {
        Self(Mutex::new(State {
            count: 0,
            waiting: Vec::new(),
        }))
    }

    /// Counts a commit, and wakes all waiters.
    pub fn raise(&self) {
        let waiting = self.with(|state| {
            state.count = state.count.wrapping_add(1);
            std::mem::take(&mut state.waiting)
        });
        // Outside the lock, because a woken task may look immediately.
        waiting.into_iter().for_each(Waker::wake);
    }

    /// The current count.
    #[must_use]
    pub fn revision(&self) -> Revision {
        Revision::new(self.with(|state| state.count))
    }

    /// Resolves once the count differs from `seen`.
    pub async fn changed(&self, seen: Revision) -> Revision {
        poll_fn(|cx| {
            self.with(|state| {
                if state.count != seen.count() {
                    return Poll::Ready(Revision::new(state.count));
                }
                // A task that stopped waiting and waits again is registered already.
                if !state
                    .waiting
                    .iter()
                    .any(|waker| waker.will_wake(cx.waker()))
                {
                    state.waiting.push(cx.waker().clone());
                }
                Poll::Pending
            })
        })
        .await
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        // No closure passed here panics halfway through a change.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
