//! External tools for fault injection: whether they are available, and how to skip a test without
//! them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// If this variable is set, a missing tool is a failure instead of a skipped test.
pub const REQUIRED: &str = "OUTBOX_CRASH_REQUIRE_TOOLS";

/// Prints that a test is skipped and why.
///
/// # Panics
///
/// If tools are required: see [`REQUIRED`].
pub fn skip(why: &str) {
    assert!(
        std::env::var_os(REQUIRED).is_none(),
        "{why}, and {REQUIRED} is set"
    );
    eprintln!("skipped: {why}");
}

/// Whether system calls can be traced.
#[must_use]
pub fn has_strace() -> bool {
    let traced = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=none", "true"])
        .stderr(Stdio::null())
        .status();
    let there = traced.is_ok_and(|status| status.success());
    if !there {
        skip("strace is not installed, or ptrace is not permitted");
    }
    there
}

/// Path of libfaketime.
#[must_use]
pub fn faketime() -> Option<PathBuf> {
    let folders = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/local/lib",
        "/usr/lib",
    ];
    let library = folders
        .iter()
        .map(|folder| Path::new(folder).join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.exists());
    if library.is_none() {
        skip("libfaketime is not installed");
    }
    library
}

/// A small in-memory file system, unmounted on drop.
#[derive(Debug)]
pub struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    /// Mounts a file system of this many kibibytes, where permitted.
    ///
    /// # Panics
    ///
    /// If there is no directory for the mount point.
    #[must_use]
    pub fn mount(kibibytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kibibytes}k"), "none"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(folder));
        }
        // This is never a failure: no container permits mounting.
        eprintln!("skipped: this process may not mount a file system");
        None
    }

    /// Resizes the file system.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub fn resize(&self, kibibytes: u32) {
        let resized = Command::new("mount")
            .args(["-o", &format!("remount,size={kibibytes}k")])
            .arg(self.0.path())
            .status();
        assert!(resized.is_ok_and(|status| status.success()));
    }

    /// Path of the mount point.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}
