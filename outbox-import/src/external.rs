//! Attributes with external storage: Core Data keeps small values in the row and large ones in
//! separate files.
//!
//! The first byte of the column distinguishes them: the value follows `01`; the name of a file, a
//! UUID as text, follows `02`. The files are in `.<store>_SUPPORT/_EXTERNAL_DATA/` beside the
//! store. A changed value gets a new file, so a file never changes.

use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::reject::{Reject, RejectReason};

const INLINE: u8 = 1;
const REFERENCE: u8 = 2;

/// Whether these bytes are certainly a reference to a file.
pub(super) fn is_reference(bytes: &[u8]) -> bool {
    matches!(bytes, [REFERENCE, name @ ..] if file_name(name).is_some())
}

/// The name of the file, without the NUL that may follow it.
fn file_name(bytes: &[u8]) -> Option<&str> {
    let name = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    let name = std::str::from_utf8(name).ok()?;
    // Only a UUID may become part of a path.
    (name.len() == 36 && Uuid::try_parse(name).is_ok()).then_some(name)
}

/// The folder with the files of the store at `path`.
fn folder(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_stem().unwrap_or_default());
    name.push("_SUPPORT");
    path.with_file_name(name).join("_EXTERNAL_DATA")
}

/// The value of an attribute with external storage.
pub(super) fn read(store: &Path, column: &str, bytes: &[u8]) -> Result<Vec<u8>, Reject> {
    match bytes {
        [INLINE, value @ ..] => Ok(value.to_vec()),
        [REFERENCE, name @ ..] if let Some(name) = file_name(name) => {
            let path = folder(store).join(name);
            read_file(&path).map_err(|error| {
                let reason = RejectReason::FileMissing {
                    column: column.to_owned(),
                };
                Reject::new(reason, format!("{}: {error}", path.display()))
            })
        }
        _ => Err(Reject::new(
            RejectReason::Damaged {
                column: column.to_owned(),
            },
            format!(
                "a blob of {} bytes that starts neither with 01 and a value nor with 02 and a file name; \
                 use `bytes` for an attribute without external storage",
                bytes.len()
            ),
        )),
    }
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let read = std::fs::read(path);
    let name = path.file_name().and_then(|name| name.to_str());
    match (read, name) {
        (Err(error), Some(name)) if error.kind() == io::ErrorKind::NotFound => {
            // The names may have the other case if the store was copied through another system.
            [name.to_uppercase(), name.to_lowercase()]
                .iter()
                .map(|name| std::fs::read(path.with_file_name(name)))
                .find(Result::is_ok)
                .unwrap_or(Err(error))
        }
        (read, _) => read,
    }
}
