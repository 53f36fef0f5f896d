//! The folder of a temporary store.

use std::fs::{self, DirBuilder};
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// A new folder among the system's temporary files, accessible only to its owner, and removed with
/// its content on drop.
#[derive(Debug)]
pub(super) struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    pub(super) fn create() -> io::Result<Self> {
        // 122 random bits: no other process can predict the name, and `create` fails if the folder
        // exists.
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
        // A drop cannot report an error; the system cleans up the rest.
        let _ = fs::remove_dir_all(&self.0);
    }
}
