//! Plain claims: those of an outbox in which no event has elders or parents.
//!
//! The looks for both are a third of the nodes of a claim's plan, and a claim pays for each node
//! whether it is reached or not. Most outboxes have neither, so a store leaves the looks out until
//! a claim meets one of them. Such a claim leases nothing, and is made again with the looks, as
//! are all later ones of the store.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the outbox never had an event that others may be elders of, or that may be an elder
/// itself: each has an entry in this index, which never gets smaller than its first page again.
/// The size is read after the snapshot is taken, and a page is added before its entry commits, so
/// no event that the claim sees is missed. Without the index it is not known.
pub(crate) const NO_ELDERS: &str = "coalesce(pg_relation_size(to_regclass('{s}.events_reordered')) <= current_setting('block_size')::bigint, false)";

/// Whether the row `e` may wait for a parent.
const HAS_PARENTS: &str = "(e.parents IS NOT NULL AND e.last_attempt_at IS NULL)";

/// Whether a claim has met an event with elders or parents.
#[derive(Debug, Default)]
pub(crate) struct Plain(AtomicBool);

impl Plain {
    /// Whether claims do without the looks.
    pub(crate) fn is_enough(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }

    /// Notes a claim that met such an event.
    pub(crate) fn is_too_little(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The condition, with `AND` before it, that this scan has met no event with parents.
pub(crate) fn no_parents(scan: &str) -> String {
    format!(" AND NOT EXISTS (SELECT 1 FROM {scan} WHERE {scan}.waits)")
}

/// The statement of a claim without the looks for elders and parents.
pub(crate) fn without_looks(sql: &str) -> String {
    sql.replace(" AND NOT {elders}", "")
        .replace(" AND NOT {waits}", "")
        .replace("{waits} AS waits", &format!("{HAS_PARENTS} AS waits"))
}
