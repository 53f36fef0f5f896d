//! Whether the file that is open is still the one at its path.
//!
//! A file that was deleted, or in whose place another was put, goes on being written and read by
//! whoever has it open, and nobody else will ever see that. Device and inode number tell, on Unix:
//! an inode that is open is not given to another file. Elsewhere nothing is looked at; Windows does
//! not let an open database be deleted or replaced.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Which files were opened.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    database: File,
    /// The log beside it. It is there, and stays the same, as long as any connection to the
    /// database is open.
    wal: Option<File>,
}

#[derive(Debug, Clone)]
struct File {
    path: Arc<Path>,
    id: Option<FileId>,
}

impl Identity {
    /// That of the database at `path`, after a connection to it has read something.
    pub(super) fn of(path: &Arc<Path>) -> Self {
        // SQLite keeps the log beside the file that a symbolic link leads to.
        let wal = std::fs::canonicalize(path).ok().map(|path| wal_of(&path));
        Self {
            database: File::at(Arc::clone(path)),
            wal: wal.map(|path| File::at(path.into())),
        }
    }

    /// The path of the log.
    pub(super) fn wal(&self) -> Option<&Path> {
        self.wal.as_ref().map(|wal| &*wal.path)
    }

    /// Whether both are the same files.
    pub(super) fn is_that_of(&self, other: &Self) -> bool {
        let wal = |identity: &Self| identity.wal.as_ref().and_then(|wal| wal.id);
        self.database.id == other.database.id && wal(self) == wal(other)
    }

    /// The file that is no longer where it was opened, if any: two looks at the file system.
    pub(super) fn gone(&self) -> Option<Arc<Path>> {
        [Some(&self.database), self.wal.as_ref()]
            .into_iter()
            .flatten()
            .find(|file| file.is_gone())
            .map(|file| Arc::clone(&file.path))
    }
}

/// The log that SQLite keeps beside a database.
pub(super) fn wal_of(database: &Path) -> PathBuf {
    let mut wal = database.as_os_str().to_owned();
    wal.push("-wal");
    wal.into()
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
            // Nobody may look any more, which says nothing about the file.
            Looked::Unknown => false,
        }
    }
}

#[cfg_attr(not(unix), allow(dead_code, reason = "nothing is looked at there"))]
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
