//! Commits that others make to the same file: the caller's own connections, and other processes.
//!
//! SQLite tells nobody. A commit writes to the `-wal` file, though, so its size and time of change are looked at: twice a
//! second as a rule, and in a short, growing series after an event was enqueued on a connection of the caller's in
//! this process. No statement runs for it. (The file is never opened here: closing it would drop the locks that SQLite
//! holds in this process, see sqlite.org/howtocorrupt.html, 2.2.)
//!
//! The same look notices that the files are gone, so that runs that rest look for work, and are
//! told.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, Weak};
use std::time::{Duration, SystemTime};

use rusqlite::Connection;
use tokio::sync::Notify;

use super::identity::{Identity, wal_of};
use super::{lock, own_thread};
use crate::clock::{self, Clock, SystemClock};
use crate::store::kit::Signal;

/// How often the file is looked at when nobody said that a commit is coming.
const SLOW: Duration = Duration::from_millis(500);
/// How soon it is looked at when somebody did; doubled from look to look.
const FAST: Duration = Duration::from_millis(1);
/// Two writes within one tick of the kernel's clock (10 ms at the slowest) have the same time of change.
const TICK: Duration = Duration::from_millis(20);

/// Looks for foreign commits to one database file.
#[derive(Debug)]
pub(super) struct Watch {
    /// The database's path as SQLite gives it.
    database: PathBuf,
    wal: PathBuf,
    /// Which files these are.
    identity: Identity,
    clock: Arc<dyn Clock>,
    /// Whether the slow look is off.
    alone: bool,
    /// The latch of the store that looks.
    signal: Arc<Signal>,
    expected: Notify,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    seen: Option<Stamp>,
    /// Whether it was told that the files are gone.
    is_gone: bool,
    /// How long to wait for the next look; none is due while this is `None`.
    wait: Option<Duration>,
}

/// What a write to the file changes.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
}

/// The stores that are open in this process, by the database's path as SQLite gives it.
static OPEN: LazyLock<Mutex<HashMap<PathBuf, Vec<Weak<Watch>>>>> = LazyLock::new(Mutex::default);

impl Watch {
    /// Starts looking at the file of `conn`, and makes it known to connections of the caller's.
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

    /// Whether both look at the same file.
    pub(super) fn is_of_the_file_of(&self, other: &Self) -> bool {
        self.database == other.database
    }

    /// A commit of this store made work claimable: tells its runs, and those of other stores on the same file in this process.
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

    /// Somebody in this process wrote an event and will commit soon.
    fn expect_commit(&self) {
        lock(&self.state).wait = Some(FAST);
        self.expected.notify_one();
    }

    /// Resolves when the file has changed since the last look. It may have been a commit of our own.
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

    /// Whether the file has changed since the last look.
    fn look(&self) -> bool {
        let now = Stamp::of(&self.wal);
        let is_gone = self.identity.gone().is_some();
        let state = &mut *lock(&self.state);
        let changed = now != state.seen || is_gone != state.is_gone;
        state.is_gone = is_gone;
        // What was written within the present tick might be followed by a write that looks the same.
        state.seen = now.filter(|stamp| !stamp.is_recent());
        state.wait = match state.wait {
            // The commit that was announced, or one before it: its sender may still hold the transaction open.
            Some(wait) if wait < SLOW => Some((wait * 2).min(SLOW)),
            Some(wait) if !changed => Some(wait),
            _ => None,
        };
        changed
    }
}

impl Stamp {
    fn of(file: &Path) -> Option<Self> {
        let file = std::fs::metadata(file).ok()?;
        Some(Self {
            length: file.len(),
            modified: file.modified().ok(),
        })
    }

    fn is_recent(&self) -> bool {
        self.modified.is_some_and(|at| clock::is_recent(at, TICK))
    }
}

/// The path of the main database of `conn`, as SQLite gives it; `None` where it is in memory or has
/// no name.
pub(super) fn database_path(conn: &Connection) -> Option<PathBuf> {
    match conn.path() {
        Some("") => None,
        Some(path) => Some(path.into()),
        // The driver gives no path that is not UTF-8.
        None => listed_path(conn),
    }
}

#[cfg(unix)]
fn listed_path(conn: &Connection) -> Option<PathBuf> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use rusqlite::types::ValueRef;

    let mut list = conn.prepare_cached("PRAGMA database_list").ok()?;
    // The main database is always the first.
    list.query_row([], |row| {
        Ok(match row.get_ref(2)? {
            ValueRef::Text(path) if !path.is_empty() => Some(OsStr::from_bytes(path).into()),
            _ => None,
        })
    })
    .ok()
    .flatten()
}

/// Elsewhere every path that SQLite knows is UTF-8.
#[cfg(not(unix))]
fn listed_path(_: &Connection) -> Option<PathBuf> {
    None
}

/// What an event that is written on some connection needs to know of the stores on the same file.
pub(super) struct Surroundings {
    /// The clock that the event's due time will be compared with.
    pub(super) clock: Arc<dyn Clock>,
    watches: Vec<Arc<Watch>>,
}

impl Surroundings {
    /// Those of the main database of `conn`.
    pub(super) fn of(conn: &Connection) -> Self {
        // A store announces the commits of its writer itself.
        if let Some(clock) = own_thread::writers_clock() {
            return Self {
                clock,
                watches: Vec::new(),
            };
        }
        let watches: Vec<Arc<Watch>> = database_path(conn)
            .and_then(|path| {
                let open = lock(&OPEN);
                let watches = open.get(&path)?.iter().filter_map(Weak::upgrade);
                Some(watches.collect())
            })
            .unwrap_or_default();
        Self {
            clock: watches.first().map_or_else(
                || Arc::new(SystemClock) as Arc<dyn Clock>,
                |watch| Arc::clone(&watch.clock),
            ),
            watches,
        }
    }

    /// The event was written and will be committed soon: the stores look out for it.
    pub(super) fn expect_commit(&self) {
        for watch in &self.watches {
            watch.expect_commit();
        }
    }
}
