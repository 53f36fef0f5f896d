//! Opens and sets up the connections of a store.

use std::path::Path;
use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::counter;
use super::fault::{fault, gone, outdated_driver};
use super::frozen;
use super::identity::Identity;
use super::listed;
use super::schema::{check, migrate};
use super::settings::{Access, Settings};
use super::writer::gate::Gate;
use super::writer::wal::{self, Wal};
use crate::error::{StoreError, StoreErrorKind};

/// SQLite before 3.51.3 can corrupt a WAL database that several connections use
/// (sqlite.org/wal.html, "The WAL-Reset Bug").
const OLDEST_SQLITE: i32 = 3_051_003;

const OPEN: &str = "open";

/// The writing connection.
pub(super) struct WriterConnection {
    pub(super) conn: Connection,
    pub(super) gate: Arc<Gate>,
    pub(super) identity: Identity,
    pub(super) wal: Wal,
}

/// Opens the writing connection and migrates the tables to this program's version.
pub(super) fn open_writer(
    path: &Arc<Path>,
    settings: &Settings,
) -> Result<WriterConnection, StoreError> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(outdated_driver(rusqlite::version()));
    }
    match settings.access {
        Access::Migrate => {
            set_up_writer(path, READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE, settings)
        }
        Access::Existing => set_up_writer(path, READ_WRITE, settings),
        Access::ReadOnly => set_up_read_only(path, settings),
    }
}

const READ_WRITE: OpenFlags =
    OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);
const READ_ONLY: OpenFlags =
    OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// Opens the connection of the writer's thread in a store that writes nothing.
fn set_up_read_only(path: &Arc<Path>, settings: &Settings) -> Result<WriterConnection, StoreError> {
    let is_frozen = frozen::is_closed(path);
    let mut conn = connect_to_read(path, settings, is_frozen)?;
    check(&conn, path)?;
    let gate = Gate::install(&mut conn).map_err(|error| fault(OPEN, path, error))?;
    let mut identity = Identity::of(path);
    if is_frozen {
        identity.freeze();
    }
    Ok(WriterConnection {
        conn,
        gate,
        identity,
        wal: Wal::open(None),
    })
}

/// Opens a new writing connection while the previous one is still open. `identity` is that of the
/// file that the store opened first.
pub(super) fn reopen_writer(
    path: &Arc<Path>,
    settings: &Settings,
    identity: &Identity,
) -> Result<WriterConnection, StoreError> {
    let replaced = |file: &Path| {
        let message = gone(path, file);
        Err(StoreError::new(StoreErrorKind::FileReplaced, OPEN, message))
    };
    // Leave a file that replaced the original alone, and create none where it is missing.
    if let Some(file) = identity.gone() {
        return replaced(&file);
    }
    let opened = match settings.access {
        Access::ReadOnly => set_up_read_only(path, settings)?,
        Access::Migrate | Access::Existing => set_up_writer(path, READ_WRITE, settings)?,
    };
    if opened.identity.is_same_as(identity) {
        Ok(opened)
    } else {
        replaced(path)
    }
}

fn set_up_writer(
    path: &Arc<Path>,
    flags: OpenFlags,
    settings: &Settings,
) -> Result<WriterConnection, StoreError> {
    let mut conn = connect(path, flags, settings)?;
    if settings.access == Access::Existing {
        // Before anything changes the file of another program.
        check(&conn, path)?;
    }
    // The journal mode is stored in the file; the durability is set per connection.
    let mode = use_wal(&conn).map_err(|error| fault(OPEN, path, error))?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(StoreError::new(
            StoreErrorKind::CannotOpen,
            OPEN,
            format!(
                "{}: cannot switch journal mode {mode:?} to WAL; check whether the file is on a network or read-only file system",
                path.display()
            ),
        ));
    }
    conn.pragma_update(None, "synchronous", settings.durability.as_pragma())
        .and_then(|()| conn.pragma_update(None, "wal_autocheckpoint", 0))
        .and_then(|()| conn.pragma_update(None, "journal_size_limit", LOG_BYTES))
        // Savepoints keep their rollback data in memory instead of in a temporary file.
        .and_then(|()| conn.pragma_update(None, "temp_store", "MEMORY"))
        .and_then(|()| listed::register(&conn))
        .map_err(|error| fault(OPEN, path, error))?;
    migrate(&mut conn, path)?;
    prepare(&mut conn, settings);
    let gate = Gate::install(&mut conn).map_err(|error| fault(OPEN, path, error))?;
    let identity = Identity::of(path);
    let wal = Wal::open(identity.wal());
    Ok(WriterConnection {
        conn,
        gate,
        identity,
        wal,
    })
}

/// Switches to WAL and returns the journal mode that the file then has.
///
/// When several connections switch a new file at once, they block each other, and all but one get
/// `SQLITE_BUSY` at once, without waiting. Waiting for the write lock waits until another
/// connection has switched.
fn use_wal(conn: &Connection) -> rusqlite::Result<String> {
    let mut tries = 0..WAL_TRIES;
    loop {
        let mode = conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0));
        let busy =
            |error: &rusqlite::Error| error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy);
        if !mode.as_ref().is_err_and(busy) || tries.next().is_none() {
            return mode;
        }
        conn.execute_batch("BEGIN IMMEDIATE; ROLLBACK")?;
    }
}

/// More than the number of processes that could open a new file at the same instant.
const WAL_TRIES: usize = 100;

/// Opens a read-only connection.
pub(super) fn open_reader(
    path: &Path,
    settings: &Settings,
    identity: &Identity,
) -> Result<Connection, StoreError> {
    connect_to_read(path, settings, identity.is_frozen())
}

fn connect_to_read(
    path: &Path,
    settings: &Settings,
    is_frozen: bool,
) -> Result<Connection, StoreError> {
    let mut conn = match is_frozen {
        true => {
            let flags = READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
            connect(&frozen::address(path), flags, settings)?
        }
        false => connect(path, READ_ONLY, settings)?,
    };
    prepare(&mut conn, settings);
    Ok(conn)
}

/// The size that the log shrinks to after a reader that blocked checkpoints has ended: twice its
/// size without such a reader.
const LOG_BYTES: i64 = 2 * wal::CHECKPOINT_PAGES * 4_096;

/// More than the number of the store's statements, so that none is prepared twice.
const STATEMENTS: usize = 128;

/// Prepares `conn` for the store's statements.
fn prepare(conn: &mut Connection, settings: &Settings) {
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    if settings.statements.is_some() {
        counter::trace(conn);
    }
}

fn connect(path: &Path, flags: OpenFlags, settings: &Settings) -> Result<Connection, StoreError> {
    let opened = || {
        let conn = Connection::open_with_flags(path, flags)?;
        conn.busy_timeout(settings.busy_timeout)?;
        // The hook runs before any other statement: an encrypted file needs its key first.
        settings.on_connect.run(&conn)?;
        // Without this, SQLite replans a cached statement whenever a bound value might suit another
        // partial index.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        Ok(conn)
    };
    opened().map_err(|error| fault(OPEN, path, error))
}
