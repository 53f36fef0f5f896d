//! Copies a database that may be in use without touching it: no byte or timestamp changes, and no
//! file is created beside it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::TempDir;

use super::error::ImportError;

/// The files of a database. The `-shm` is left out: SQLite recreates it.
const SUFFIXES: [&str; 3] = ["", "-wal", "-journal"];

/// The number of times to try the copy when the file changes.
const TRIES: usize = 5;

/// A copy in its own folder, which is removed on drop.
#[derive(Debug)]
pub(super) struct StoreCopy {
    /// The path of the copy. SQLite never opens the original: it would checkpoint and delete the
    /// `-wal`.
    pub(super) path: PathBuf,
    _folder: TempDir,
}

impl StoreCopy {
    /// Copies the database at `original` and its companion files into a new folder in `into`.
    pub(super) fn of(original: &Path, into: Option<&Path>) -> Result<Self, ImportError> {
        let cannot_copy = |path: &Path| {
            let path = path.to_owned();
            move |source| ImportError::CannotCopy { path, source }
        };
        let there = match std::fs::metadata(original) {
            Ok(there) => there,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let path = original.to_owned();
                return Err(ImportError::SourceMissing { path });
            }
            Err(error) => return Err(cannot_copy(original)(error)),
        };
        if !there.is_file() {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "not a file");
            return Err(cannot_copy(original)(error));
        }
        if there.len() == 0 {
            let path = original.to_owned();
            return Err(ImportError::SourceEmpty { path });
        }
        let into = into.map_or_else(std::env::temp_dir, Path::to_owned);
        let folder = tempfile::Builder::new()
            .prefix("outbox-import-")
            .tempdir_in(&into)
            .map_err(cannot_copy(&into))?;
        let path = folder.path().join("source.sqlite");
        for _ in 0..TRIES {
            if copy_once(original, &path).map_err(cannot_copy(original))? {
                return Ok(Self {
                    path,
                    _folder: folder,
                });
            }
        }
        let path = original.to_owned();
        Err(ImportError::SourceChanging { path })
    }
}

/// Copies the files once. Returns whether the copy is consistent: after the last file is copied,
/// all originals still equal their copies.
///
/// Modification times alone are not enough: two writes within one tick of the kernel's clock have
/// the same.
fn copy_once(original: &Path, copy: &Path) -> io::Result<bool> {
    let before = stamps(original)?;
    for (suffix, stamp) in SUFFIXES.iter().zip(&before) {
        let (from, to) = (beside(original, suffix), beside(copy, suffix));
        match stamp {
            Some(_) => {
                // Copies only the bytes: the original's permissions could make a copy unreadable.
                let mut from = match File::open(from) {
                    Ok(from) => from,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                    Err(error) => return Err(error),
                };
                io::copy(&mut from, &mut File::create(to)?)?;
            }
            // A previous try may have left it.
            None if to.exists() => std::fs::remove_file(to)?,
            None => {}
        }
    }
    for (suffix, stamp) in SUFFIXES.iter().zip(&before) {
        if stamp.is_some() && !is_same(&beside(original, suffix), &beside(copy, suffix))? {
            return Ok(false);
        }
    }
    Ok(stamps(original)? == before)
}

/// The size and the modification time of a file, if it exists.
type Stamp = Option<(u64, Option<SystemTime>)>;

fn stamps(path: &Path) -> io::Result<Vec<Stamp>> {
    let stamp = |suffix: &&str| match std::fs::metadata(beside(path, suffix)) {
        Ok(there) => Ok(Some((there.len(), there.modified().ok()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    SUFFIXES.iter().map(stamp).collect()
}

fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let mut one = match File::open(one) {
        Ok(one) => one,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut other = File::open(other)?;
    let (mut left, mut right) = (vec![0; CHUNK], vec![0; CHUNK]);
    loop {
        let (at_left, at_right) = (fill(&mut one, &mut left)?, fill(&mut other, &mut right)?);
        if left[..at_left] != right[..at_right] {
            return Ok(false);
        }
        if at_left == 0 {
            return Ok(true);
        }
    }
}

const CHUNK: usize = 1 << 16;

fn fill(file: &mut File, chunk: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < chunk.len() {
        match file.read(&mut chunk[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Whether both paths lead to the same file.
pub(super) fn is_one_file(one: &Path, other: &Path) -> bool {
    if let (Ok(one), Ok(other)) = (one.canonicalize(), other.canonicalize())
        && one == other
    {
        return true;
    }
    has_same_inode(one, other)
}

#[cfg(unix)]
fn has_same_inode(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let inode = |path: &Path| Some(std::fs::metadata(path).ok()?).map(|it| (it.dev(), it.ino()));
    inode(one).is_some_and(|one| inode(other) == Some(one))
}

#[cfg(not(unix))]
fn has_same_inode(_: &Path, _: &Path) -> bool {
    false
}
