//! Whose thread this is: what runs on one of a store's own threads must not wait for that thread.

use std::cell::RefCell;
use std::sync::Arc;

use super::watch::Watch;
use crate::clock::Clock;
use crate::error::{StoreError, StoreErrorKind};

/// What the thread does.
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

/// Makes the current thread one of the store that `watch` is of.
pub(super) fn set(watch: &Arc<Watch>, role: Role, clock: &Arc<dyn Clock>) {
    OWN.set(Some(Own {
        watch: Arc::clone(watch),
        role,
        clock: Arc::clone(clock),
    }));
}

/// The clock of the store whose writer this thread is.
pub(super) fn writers_clock() -> Option<Arc<dyn Clock>> {
    OWN.with_borrow(|own| {
        let own = own.as_ref().filter(|own| own.role == Role::Writer)?;
        Some(Arc::clone(&own.clock))
    })
}

/// Whether this thread is the writer of this very store.
pub(super) fn is_writer_of(watch: &Arc<Watch>) -> bool {
    OWN.with_borrow(|own| {
        own.as_ref()
            .is_some_and(|own| own.role == Role::Writer && Arc::ptr_eq(&own.watch, watch))
    })
}

/// Refuses a call that waits for a store's thread of this role where this thread is that, or holds
/// the write lock that it would wait for: another store on the same file.
pub(super) fn refuse_to_wait(
    watch: &Arc<Watch>,
    role: Role,
    operation: &'static str,
) -> Result<(), StoreError> {
    let waits_for_itself = OWN.with_borrow(|own| {
        own.as_ref().is_some_and(|own| {
            own.role == role
                && match role {
                    Role::Writer => own.watch.is_of_the_file_of(watch),
                    Role::Reader => Arc::ptr_eq(&own.watch, watch),
                }
        })
    });
    if waits_for_itself {
        return Err(waiting(operation));
    }
    Ok(())
}

pub(super) fn waiting(operation: &'static str) -> StoreError {
    StoreError::new(
        StoreErrorKind::NotAllowedHere,
        operation,
        "this waits for the store on the store's own thread, inside a transaction of the store, and would never end; \
         use the transaction's connection (`.on(tx)`), or call it when the transaction has ended",
    )
}
