//! Deadlock prevention inside a transaction that a store runs on its own thread.
//!
//! A call that waits for the store, or for a run on it, would wait forever there and block all
//! other writers: the run must write to the store before it can answer. A wait on another thread
//! that the closure starts is not detected.

use std::cell::Cell;

use crate::error::{StoreError, StoreErrorKind};

thread_local! {
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Marks this thread as running a store's transaction until dropped, also on unwind.
#[cfg(feature = "sqlite")]
#[derive(Debug)]
pub(crate) struct Inside(());

#[cfg(feature = "sqlite")]
impl Inside {
    pub(crate) fn a_transaction() -> Self {
        IS_INSIDE.set(true);
        Self(())
    }
}

#[cfg(feature = "sqlite")]
impl Drop for Inside {
    fn drop(&mut self) {
        IS_INSIDE.set(false);
    }
}

/// Returns an error if this thread is inside a store's transaction.
pub(crate) fn refuse_to_wait_for_a_run(operation: &'static str) -> Result<(), StoreError> {
    if IS_INSIDE.get() {
        return Err(StoreError::new(
            StoreErrorKind::NotAllowedHere,
            operation,
            "waiting for a run inside a store's transaction would deadlock, because the run may wait for the store; \
             call it after the transaction",
        ));
    }
    Ok(())
}
