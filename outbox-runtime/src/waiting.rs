//! Where nobody may wait: inside a transaction that a store runs on its own thread.
//!
//! Whoever waits there for what waits for the store waits for ever, and so does everybody else who
//! writes. That is the store itself, and a run on it, which records what it is asked about. Another
//! thread that the closure starts and waits for is not known here.

use std::cell::Cell;

use crate::error::{StoreError, StoreErrorKind};

thread_local! {
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// This thread runs a transaction of a store's as long as this is there, also through a panic.
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

/// Refuses to wait for a run where this thread is inside a transaction of a store.
pub(crate) fn refuse_to_wait_for_a_run(operation: &'static str) -> Result<(), StoreError> {
    if IS_INSIDE.get() {
        return Err(StoreError::new(
            StoreErrorKind::NotAllowedHere,
            operation,
            "this waits for a run inside a transaction of a store; the run may wait for that store, and neither would \
             ever end; call it when the transaction has ended",
        ));
    }
    Ok(())
}
