//! The folder with all data of a run, from which the next run continues.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// A folder that this process owns exclusively while this value lives.
#[derive(Debug)]
pub(crate) struct Workdir {
    root: PathBuf,
    /// The system releases the lock however the process ends.
    _lock: File,
}

/// All files of this program in the folder, except the lock.
const FILES: [&str; 5] = [DATABASE, "lume.db-wal", "lume.db-shm", RECEIVED, ACCEPTED];
const DATABASE: &str = "lume.db";
const RECEIVED: &str = "received.jsonl";
const ACCEPTED: &str = "accepted.jsonl";
const LOCK: &str = "quickstart.lock";

impl Workdir {
    /// The default folder, which is the same in every run.
    pub(crate) fn default_root() -> PathBuf {
        std::env::temp_dir().join("outbox-quickstart")
    }

    /// Creates the folder if missing, and locks it for this process.
    pub(crate) fn open(root: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(root)
            .with_context(|| format!("cannot make the folder {}", root.display()))?;
        let path = root.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "another quickstart is at work in {}; wait for it, or take another --dir",
                root.display()
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        Ok(Self {
            root: root.to_owned(),
            _lock: lock,
        })
    }

    /// Deletes the files of earlier runs, and nothing else.
    pub(crate) fn empty(&self) -> anyhow::Result<()> {
        for name in FILES {
            let path = self.root.join(name);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot delete {}", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The app's database, with its own table and the outbox.
    pub(crate) fn database(&self) -> PathBuf {
        self.root.join(DATABASE)
    }

    /// The requests that the server received.
    pub(crate) fn received(&self) -> PathBuf {
        self.root.join(RECEIVED)
    }

    /// The changes that the server accepted.
    pub(crate) fn accepted(&self) -> PathBuf {
        self.root.join(ACCEPTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emptying_leaves_other_files() {
        let folder = tempfile::tempdir().unwrap();
        let workdir = Workdir::open(folder.path()).unwrap();
        let theirs = folder.path().join("holiday.jpg");
        for path in [&workdir.database(), &workdir.accepted(), &theirs] {
            std::fs::write(path, "x").unwrap();
        }
        workdir.empty().unwrap();
        assert!(theirs.exists());
        assert!(!workdir.database().exists() && !workdir.accepted().exists());
    }

    #[test]
    fn one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = Workdir::open(folder.path()).unwrap();
        let error = Workdir::open(folder.path()).unwrap_err();
        assert!(error.to_string().contains("another quickstart"), "{error}");
        drop(first);
        Workdir::open(folder.path()).unwrap();
    }
}
