//! Detects foreign commits to the store's file, by the caller's own connections and by other
//! processes.
//!
//! SQLite does not report them, but a commit writes to the `-wal` file, so its size and
//! modification time are checked: twice a second by default, and in a short, growing series after
//! an event was enqueued on one of the caller's connections in this process. The check runs no
//! statement. (It never opens the file: closing it would drop the locks that SQLite holds in this
//! process, see sqlite.org/howtocorrupt.html, 2.2.)
//!
//! The same check notices that the files are gone, so that idle runs look for work and get the
//! error.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, Weak};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::Notify;

use super::database_path::database_path;
use super::identity::{Identity, Stamp, wal_of};
use super::lock::lock;
use crate::clock::{self, Clock};
use crate::store::kit::Signal;

/// The interval of checks while no commit is expected.
const SLOW: Duration = Duration::from_millis(500);
/// The first interval after a commit is announced; doubles with each check.
const FAST: Duration = Duration::from_millis(1);
/// Two writes within one tick of the kernel's clock (at most 10 ms) share a modification time.
const TICK: Duration = Duration::from_millis(20);

/// Detects foreign commits to one database file.
#[derive(Debug)]
pub(super) struct Watch {
    /// The database's path as SQLite reports it.
    database: PathBuf,
    wal: PathBuf,
    /// The identity of these files.
    identity: Identity,
    clock: Arc<dyn Clock>,
    /// Whether the slow check is off.
    alone: bool,
    /// The latch of the store that owns this watch.
    signal: Arc<Signal>,
    expected: Notify,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    seen: Option<Stamp>,
    /// Whether the loss of the files was reported.
    is_gone: bool,
    /// The pause before the next check. Without one, only the slow check runs.
    wait: Option<Duration>,
}

/// The stores open in this process, by the database's path as SQLite reports it.
static OPEN: LazyLock<Mutex<HashMap<PathBuf, Vec<Weak<Watch>>>>> = LazyLock::new(Mutex::default);

impl Watch {
    /// Starts watching the file of `conn`, and registers the watch for the caller's connections.
    pub(super) fn register(
        conn: &Connection,
        clock: Arc<dyn Clock>,
        signal: Arc<Signal>,
        alone: bool,
    ) -> Arc<Self> {
        let path = database_path(conn).unwrap_or_default();
        let wal = wal_of(&path);
        let seen = Stamp::of(&wal);
        let identity = Identity::of(&Arc::from(path.as_path()));
        let watch = Arc::new(Self {
            database: path.clone(),
            wal,
            identity,
            clock,
            alone,
            signal,
            expected: Notify::new(),
            state: Mutex::new(State {
                seen,
                is_gone: false,
                wait: None,
            }),
        });
        let stores = &mut *lock(&OPEN);
        stores.retain(|_, watches| {
            watches.retain(|watch| watch.strong_count() > 0);
            !watches.is_empty()
        });
        stores.entry(path).or_default().push(Arc::downgrade(&watch));
        watch
    }

    /// Whether both watch the same file.
    pub(super) fn shares_file_with(&self, other: &Self) -> bool {
        self.database == other.database
    }

    /// Called when a commit of this store made events claimable: wakes its runs, and those of other
    /// stores on the same file in this process.
    pub(super) fn announce_commit(&self) {
        self.signal.raise();
        let stores = lock(&OPEN);
        let siblings = stores.get(&self.database).into_iter().flatten();
        for sibling in siblings.filter_map(Weak::upgrade) {
            if !Arc::ptr_eq(&sibling.signal, &self.signal) {
                sibling.signal.raise();
            }
        }
    }

    /// The watches of the stores that are open on this file.
    pub(super) fn of_file(path: &Path) -> Vec<Arc<Self>> {
        let open = lock(&OPEN);
        let watches = open.get(path).into_iter().flatten();
        watches.filter_map(Weak::upgrade).collect()
    }

    /// The clock of the store that owns this watch.
    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// Called when a connection in this process wrote an event and will commit soon.
    pub(super) fn expect_commit(&self) {
        lock(&self.state).wait = Some(FAST);
        self.expected.notify_one();
    }

    /// Resolves when the file has changed since the last check. The change may come from the
    /// store's own commit.
    ///
    /// # Cancel safety
    ///
    /// A change that was not reported is reported by the next call.
    pub(super) async fn foreign_commit(&self) {
        loop {
            let wait = {
                let state = lock(&self.state);
                state.wait.or((!self.alone).then_some(SLOW))
            };
            let pause = async {
                match wait {
                    Some(wait) => clock::pause(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.expected.notified() => continue,
                () = pause => {}
            }
            if self.look() {
                return;
            }
        }
    }

    /// Whether the file has changed since the last check.
    fn look(&self) -> bool {
        let now = Stamp::of(&self.wal);
        let is_gone = self.identity.gone().is_some();
        let state = &mut *lock(&self.state);
        let changed = now != state.seen || is_gone != state.is_gone;
        state.is_gone = is_gone;
        // A later write within the current tick would leave the same stamp, so a recent one is not
        // kept.
        state.seen = now.filter(|stamp| !is_recent(stamp));
        state.wait = match state.wait {
            // The change may come from an earlier commit: the announced transaction may still be
            // open.
            Some(wait) if wait < SLOW => Some((wait * 2).min(SLOW)),
            Some(wait) if !changed => Some(wait),
            _ => None,
        };
        changed
    }
}

fn is_recent(stamp: &Stamp) -> bool {
    stamp.modified.is_some_and(|at| clock::is_recent(at, TICK))
}
