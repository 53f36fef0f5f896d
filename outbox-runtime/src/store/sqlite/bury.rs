//! Dead letters: how a row becomes one. It keeps its place in its lane and holds back the events
//! behind it, unless its entity is set to skip dead letters.

/// The `slot` of a dead event.
macro_rules! buried_slot {
    () => {
        "CASE WHEN on_dead IS NULL THEN 'held' END"
    };
}
pub(super) use buried_slot;

/// The `open` of a dead event.
macro_rules! buried_open {
    () => {
        "CASE WHEN on_dead IS NULL THEN 1 END"
    };
}
pub(super) use buried_open;

/// The beginning of a statement that buries an event with the reason `?2` and the message `?3`.
macro_rules! buried {
    () => {
        concat!(
            "UPDATE outbox_events SET status = 'dead', slot = ",
            $crate::store::sqlite::bury::buried_slot!(),
            ", open = ",
            $crate::store::sqlite::bury::buried_open!(),
            ", dead_reason = ?2, error_message = ?3, lease_token = NULL, lease_expires_at = NULL"
        )
    };
}
pub(super) use buried;
