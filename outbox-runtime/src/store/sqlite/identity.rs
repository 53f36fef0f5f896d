//! Whether the open file is still the one at its path.
//!
//! After a file is deleted or replaced, processes that have it open keep writing to it and reading
//! from it, but no other process sees that. On Unix, the device and inode numbers tell: the inode
//! of an open file is not reused. Other systems are not checked; Windows does not let an open
//! database be deleted or replaced.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// The identity of the opened files.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    database: File,
    /// The log next to the database. It exists, and stays the same file, as long as any connection
    /// to the database is open.
    wal: Option<File>,
    /// The file as it was when it was opened without locks, because nobody had it open.
    frozen: Option<Stamp>,
}

/// The properties of a file that a write changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) length: u64,
    pub(super) modified: Option<SystemTime>,
}

#[derive(Debug, Clone)]
struct File {
    path: Arc<Path>,
    id: Option<FileId>,
}

impl Identity {
    /// The identity of the database at `path`, taken after a connection has read from it.
    pub(super) fn of(path: &Arc<Path>) -> Self {
        // SQLite keeps the log next to the target of a symbolic link.
        let wal = std::fs::canonicalize(path).ok().map(|path| wal_of(&path));
        Self {
            database: File::at(Arc::clone(path)),
            wal: wal.map(|path| File::at(path.into())),
            frozen: None,
        }
    }

    /// Records that the file is read without locks, as long as nobody else opens it.
    pub(super) fn freeze(&mut self) {
        self.frozen = Stamp::of(&self.database.path);
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// Whether a program has opened the file since it was opened without locks, so that what was
    /// read from it may be torn.
    pub(super) fn is_thawed(&self) -> bool {
        self.frozen.is_some_and(|stamp| {
            let has_wal = self.wal().is_some_and(Path::exists);
            has_wal || Stamp::of(&self.database.path) != Some(stamp)
        })
    }

    /// The path of the log.
    pub(super) fn wal(&self) -> Option<&Path> {
        self.wal.as_ref().map(|wal| &*wal.path)
    }

    /// Whether both name the same files.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        let wal = |identity: &Self| identity.wal.as_ref().and_then(|wal| wal.id);
        self.database.id == other.database.id && wal(self) == wal(other)
    }

    /// The file that is no longer at the path where it was opened, if any. Makes two file system
    /// calls.
    pub(super) fn gone(&self) -> Option<Arc<Path>> {
        [Some(&self.database), self.wal.as_ref()]
            .into_iter()
            .flatten()
            .find(|file| file.is_gone())
            .map(|file| Arc::clone(&file.path))
    }
}

/// The path of the log that SQLite keeps next to a database.
pub(super) fn wal_of(database: &Path) -> PathBuf {
    let mut wal = database.as_os_str().to_owned();
    wal.push("-wal");
    wal.into()
}

impl Stamp {
    pub(super) fn of(path: &Path) -> Option<Self> {
        let file = std::fs::metadata(path).ok()?;
        Some(Self {
            length: file.len(),
            modified: file.modified().ok(),
        })
    }
}

impl File {
    fn at(path: Arc<Path>) -> Self {
        let id = match look(&path) {
            Looked::There(id) => Some(id),
            Looked::Missing | Looked::Unknown => None,
        };
        Self { path, id }
    }

    fn is_gone(&self) -> bool {
        let Some(opened) = self.id else {
            return false;
        };
        match look(&self.path) {
            Looked::There(now) => now != opened,
            Looked::Missing => true,
            // A lost permission to look says nothing about the file.
            Looked::Unknown => false,
        }
    }
}

#[cfg_attr(not(unix), allow(dead_code, reason = "other systems are not checked"))]
enum Looked {
    There(FileId),
    Missing,
    Unknown,
}

/// Device and inode number.
type FileId = (u64, u64);

#[cfg(unix)]
fn look(path: &Path) -> Looked {
    use std::io::ErrorKind;
    use std::os::unix::fs::MetadataExt as _;
    match std::fs::metadata(path) {
        Ok(file) => Looked::There((file.dev(), file.ino())),
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Looked::Missing,
            _ => Looked::Unknown,
        },
    }
}

#[cfg(not(unix))]
fn look(_: &Path) -> Looked {
    Looked::Unknown
}
