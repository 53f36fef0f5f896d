//! Counts the statements that SQLite starts on the store's connections.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use rusqlite::trace::{TraceEvent, TraceEventCodes};

use super::lock::lock;

/// The number of SQL statements a store has run, as SQLite itself counts them. Zero unless the
/// store was opened with
/// [`SqliteStoreBuilder::count_statements`](crate::store::SqliteStoreBuilder::count_statements).
///
/// # Examples
///
/// ```
/// # use outbox_runtime::{OutboxRepository, SqliteStore};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("app.db");
/// let store = SqliteStore::builder(&path).count_statements().open().await?;
/// let before = store.statements().get();
/// store.statistics(None).await?;
/// assert!(store.statements().get() > before);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct StatementCounter(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    count: AtomicU64,
    texts: Mutex<BTreeSet<String>>,
}

impl StatementCounter {
    /// The count so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        // Informational: nothing is ordered by this count.
        self.0.count.load(Ordering::Relaxed)
    }

    /// The distinct statements run so far, without bound values. Put one after `EXPLAIN QUERY PLAN`
    /// to see how SQLite finds its rows.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::{OutboxRepository, SqliteStore};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = SqliteStore::builder_in_memory()?.count_statements().open().await?;
    /// store.statistics(None).await?;
    /// let texts = store.statements().texts();
    /// assert!(texts.iter().any(|text| text.contains("outbox_")));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        lock(&self.0.texts).iter().cloned().collect()
    }
}

thread_local! {
    /// SQLite's trace hook is a plain function. Each connection has its own thread, which stores
    /// the counter to use.
    static COUNTER: std::cell::RefCell<Option<StatementCounter>> = const { std::cell::RefCell::new(None) };
}

/// Sets the counter for the connection of this thread.
pub(super) fn count_here(counter: Option<StatementCounter>) {
    COUNTER.set(counter);
}

/// Like [`count_here`], until the returned guard is dropped.
pub(super) fn lend(counter: Option<&StatementCounter>) -> Option<Lent> {
    counter.map(|counter| Lent(COUNTER.replace(Some(counter.clone()))))
}

/// Restores the counter that the thread had before.
pub(super) struct Lent(Option<StatementCounter>);

impl Drop for Lent {
    fn drop(&mut self) {
        COUNTER.set(self.0.take());
    }
}

/// Starts counting the statements of `conn`.
pub(super) fn trace(conn: &mut Connection) {
    // Newer drivers report whether the hook was set; without it the count stays at zero. Older ones
    // return nothing.
    #[allow(
        clippy::let_unit_value,
        reason = "the return type depends on the driver"
    )]
    let _ = conn.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(count));
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "the hook's signature is the driver's"
)]
fn count(event: TraceEvent<'_>) {
    if let TraceEvent::Stmt(_, text) = event {
        COUNTER.with_borrow(|counter| {
            if let Some(StatementCounter(counted)) = counter {
                counted.count.fetch_add(1, Ordering::Relaxed);
                let texts = &mut *lock(&counted.texts);
                if !texts.contains(text) {
                    texts.insert(text.to_owned());
                }
            }
        });
    }
}
