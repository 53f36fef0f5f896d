//! Identifies a store's own threads: code that runs on one must not wait for that thread.

use std::cell::RefCell;
use std::sync::Arc;

use super::watch::Watch;
use crate::clock::Clock;
use crate::error::{StoreError, StoreErrorKind};

/// The task of a store's thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Writer,
    Reader,
}

struct Own {
    watch: Arc<Watch>,
    role: Role,
    clock: Arc<dyn Clock>,
}

thread_local! {
    static OWN: RefCell<Option<Own>> = const { RefCell::new(None) };
}

/// Marks the current thread as one of the store that `watch` belongs to.
pub(super) fn set(watch: &Arc<Watch>, role: Role, clock: &Arc<dyn Clock>) {
    OWN.set(Some(Own {
        watch: Arc::clone(watch),
        role,
        clock: Arc::clone(clock),
    }));
}

/// Marks the current thread like [`set`] until the returned guard is dropped.
pub(super) fn lend(watch: &Arc<Watch>, role: Role, clock: &Arc<dyn Clock>) -> Lent {
    Lent(OWN.replace(Some(Own {
        watch: Arc::clone(watch),
        role,
        clock: Arc::clone(clock),
    })))
}

/// Restores the mark that the thread had before.
pub(super) struct Lent(Option<Own>);

impl Drop for Lent {
    fn drop(&mut self) {
        OWN.set(self.0.take());
    }
}

/// The clock of the store whose writer this thread is.
pub(super) fn writers_clock() -> Option<Arc<dyn Clock>> {
    OWN.with_borrow(|own| {
        let own = own.as_ref().filter(|own| own.role == Role::Writer)?;
        Some(Arc::clone(&own.clock))
    })
}

/// Whether this thread is the writer of this store.
pub(super) fn is_writer_of(watch: &Arc<Watch>) -> bool {
    OWN.with_borrow(|own| {
        own.as_ref()
            .is_some_and(|own| own.role == Role::Writer && Arc::ptr_eq(&own.watch, watch))
    })
}

/// Refuses a call that would deadlock: this thread is the store's thread of this role, or holds the
/// write lock that the call would wait for, as the writer of another store on the same file.
pub(super) fn refuse_to_wait(
    watch: &Arc<Watch>,
    role: Role,
    operation: &'static str,
) -> Result<(), StoreError> {
    let waits_for_itself = OWN.with_borrow(|own| {
        own.as_ref().is_some_and(|own| {
            own.role == role
                && match role {
                    Role::Writer => own.watch.shares_file_with(watch),
                    Role::Reader => Arc::ptr_eq(&own.watch, watch),
                }
        })
    });
    if waits_for_itself {
        return Err(would_deadlock(operation));
    }
    Ok(())
}

pub(super) fn would_deadlock(operation: &'static str) -> StoreError {
    StoreError::new(
        StoreErrorKind::NotAllowedHere,
        operation,
        "this call waits for the store on the store's own thread, inside a transaction of the store, and would \
         deadlock; use the transaction's connection (`.on(tx)`), or make the call after the transaction",
    )
}
