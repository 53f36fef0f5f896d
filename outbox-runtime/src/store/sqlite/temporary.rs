//! The folder of a store whose data nobody keeps.

use std::fs::{self, DirBuilder};
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// A new folder among the temporary files of the system, readable by its owner alone, and removed with all that is in it
/// when this is dropped.
#[derive(Debug)]
pub(super) struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    pub(super) fn create() -> io::Result<Self> {
        // 122 random bits: nobody can have made the folder before, and `create` refuses one that exists.
        let name = format!("outbox-{}", Uuid::new_v4().simple());
        let path = std::env::temp_dir().join(name);
        private().create(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

#[cfg(unix)]
fn private() -> DirBuilder {
    use std::os::unix::fs::DirBuilderExt as _;

    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

/// The folder inherits the permissions of the user's own folder for temporary files.
#[cfg(not(unix))]
fn private() -> DirBuilder {
    DirBuilder::new()
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What cannot be removed is left to the system, as a drop has nobody to tell.
        let _ = fs::remove_dir_all(&self.0);
    }
}
