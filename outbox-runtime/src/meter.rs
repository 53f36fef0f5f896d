//! Metrics, through the facade of the crate `metrics`; without the feature `metrics`, nothing.
//!
//! docs/operations/metrics.md describes them for operators.

/// The names, each with its unit; those of counters end in `_total`.
#[cfg(feature = "metrics")]
pub(crate) mod name {
    pub(crate) const ENQUEUED: &str = "outbox_enqueued_total";
    pub(crate) const CLAIMED: &str = "outbox_claimed_total";
    pub(crate) const DELIVERED: &str = "outbox_delivered_total";
    pub(crate) const RETRIED: &str = "outbox_retried_total";
    pub(crate) const GIVEN_BACK: &str = "outbox_given_back_total";
    pub(crate) const DEAD: &str = "outbox_dead_total";
    pub(crate) const DROPPED: &str = "outbox_dropped_total";
    pub(crate) const RESCUED: &str = "outbox_rescued_total";
    pub(crate) const QUEUE: &str = "outbox_queue_seconds";
    pub(crate) const HANDLER: &str = "outbox_handler_seconds";
    pub(crate) const COMMIT: &str = "outbox_commit_seconds";
    pub(crate) const BACKLOG: &str = "outbox_backlog_events";
    pub(crate) const DEAD_LETTERS: &str = "outbox_dead_letter_events";
    pub(crate) const STALE: &str = "outbox_stale_events";
    pub(crate) const OLDEST: &str = "outbox_oldest_due_timestamp_seconds";
    pub(crate) const PAUSES: &str = "outbox_pauses";
    #[cfg(feature = "sqlite")]
    pub(crate) const WAL: &str = "outbox_sqlite_wal_bytes";
}

/// Counts a change that is handed to a sink.
#[cfg(feature = "metrics")]
pub(crate) fn enqueued(event_type: &str, destination: Option<&str>) {
    let (event_type, destination) = labels(event_type, destination);
    metrics::counter!(name::ENQUEUED, "event_type" => event_type, "destination" => destination)
        .increment(1);
}

#[cfg(not(feature = "metrics"))]
pub(crate) fn enqueued(_: &str, _: Option<&str>) {}

/// Reports the size of the -wal file.
#[cfg(feature = "sqlite")]
pub(crate) fn wal_size(path: &std::path::Path) {
    #[cfg(feature = "metrics")]
    {
        let mut wal = path.as_os_str().to_owned();
        wal.push("-wal");
        let size = std::fs::metadata(wal).map_or(0, |wal| wal.len());
        metrics::gauge!(name::WAL).set(size as f64);
    }
    #[cfg(not(feature = "metrics"))]
    let _ = path;
}

/// The most pairs of labels of a process. Types and destinations come from events, and each pair is
/// several series for ever.
#[cfg(feature = "metrics")]
pub(crate) const MOST_LABELS: usize = 500;

/// The labels for an event: its type and its destination, which is empty without one. Beyond the
/// limit both are `other`.
#[cfg(feature = "metrics")]
pub(crate) fn labels(event_type: &str, destination: Option<&str>) -> (String, String) {
    use std::collections::HashSet;
    use std::sync::{LazyLock, Mutex, PoisonError};

    static KNOWN: LazyLock<Mutex<HashSet<(String, String)>>> = LazyLock::new(Mutex::default);

    let labels = (
        event_type.to_owned(),
        destination.unwrap_or_default().to_owned(),
    );
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if known.contains(&labels) {
        return labels;
    }
    if known.len() >= MOST_LABELS {
        return ("other".to_owned(), "other".to_owned());
    }
    known.insert(labels.clone());
    labels
}
