//! The latch that a store's commits set and a processor waits on.
//!
//! What it is made of comes from the module around it, so that `tests/wakes.rs` can check every interleaving of this very
//! file with a model's mutex.

use std::future::poll_fn;
use std::sync::PoisonError;
use std::task::{Poll, Waker};

use super::{Mutex, Revision};

/// Counts commits that made work claimable. A count cannot be missed, as a notification could: whoever looks at it
/// later still sees that it has moved.
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
    /// Nothing was committed yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Mutex::new(State {
            count: 0,
            waiting: Vec::new(),
        }))
    }

    /// Counts a commit, and wakes whoever waits for one.
    pub fn raise(&self) {
        let waiting = self.with(|state| {
            state.count = state.count.wrapping_add(1);
            std::mem::take(&mut state.waiting)
        });
        // Outside of the lock: who is woken may look at once.
        waiting.into_iter().for_each(Waker::wake);
    }

    /// The count now.
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
                // A task that gave up waiting and waits again is there already.
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
        // Nothing in here can panic half-way.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
