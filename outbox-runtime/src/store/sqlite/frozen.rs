//! Reading a file that nobody has open, without locks and without leaving files beside it.
//!
//! SQLite cannot read a WAL database without a `-shm`, and creates one, and a `-wal`, even for a
//! connection that only reads; closing that connection does not remove them. It reads a file that
//! it is told not to change (`immutable`) as it is.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::identity::wal_of;

/// Whether no program has the database open: it is in WAL mode, and has no `-wal`, which exists as
/// long as any connection does.
pub(super) fn is_closed(path: &Path) -> bool {
    // Elsewhere, an open file cannot be deleted or replaced, and SQLite's addresses differ.
    if !cfg!(unix) {
        return false;
    }
    let Ok(path) = std::fs::canonicalize(path) else {
        return false;
    };
    // Without a `-wal` no connection of this process holds locks that closing the file would drop.
    !wal_of(&path).exists() && is_in_wal_mode(&path)
}

/// Reads the versions of the file format, which are 2 in WAL mode.
fn is_in_wal_mode(path: &Path) -> bool {
    let mut header = [0; 20];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    read.is_ok() && header[18..] == [2, 2]
}

/// The address under which SQLite takes the file for one that does not change.
pub(super) fn address(path: &Path) -> PathBuf {
    let mut address = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'~' => address.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => address.push(char::from(*byte)),
            byte => address.push_str(&format!("%{byte:02X}")),
        }
    }
    address.push_str("?immutable=1");
    address.into()
}
