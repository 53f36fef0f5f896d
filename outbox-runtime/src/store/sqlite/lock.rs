//! Locks without poisoning.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Ignores poisoning: no lock here guards data that a panic could leave half-changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
