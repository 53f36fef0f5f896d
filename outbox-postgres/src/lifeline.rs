//! The lock that tells that a process lives.

use outbox_runtime::store::kit::ProcessKey;

/// Takes the lock of this process, in the session that listens.
pub(crate) fn hold_lock() -> String {
    let key = ProcessKey::own().as_i64();
    format!("SELECT pg_advisory_lock_shared({key}::bigint)")
}
