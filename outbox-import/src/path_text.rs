//! Paths as text in the ledger, convertible back.
//!
//! A UTF-8 path is written unchanged. A Unix path that is not UTF-8 is written in hexadecimal:
//! replacement characters would give two paths the same text.

#[cfg(unix)]
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A prefix that no absolute path has.
const BYTES: &str = "bytes:";

pub(super) fn text_of(path: &Path) -> String {
    if let Some(text) = path.to_str() {
        return text.to_owned();
    }
    let mut text = BYTES.to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The path for a text. If the platform cannot represent the bytes, a path that does not exist.
pub(super) fn path_of(text: &str) -> PathBuf {
    let digits = text.strip_prefix(BYTES).filter(|digits| !digits.is_empty());
    let bytes = digits.and_then(from_hexadecimal);
    bytes.and_then(path_of_bytes).unwrap_or_else(|| text.into())
}

fn from_hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: &u8| char::from(*digit).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
            _ => None,
        })
        .collect()
}

#[cfg(unix)]
fn path_of_bytes(bytes: Vec<u8>) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    Some(OsString::from_vec(bytes).into())
}

/// Other platforms have no safe way back from the bytes of `as_encoded_bytes`.
#[cfg(not(unix))]
fn path_of_bytes(bytes: Vec<u8>) -> Option<PathBuf> {
    String::from_utf8(bytes).ok().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_utf_8_path_is_written_unchanged() {
        for path in ["/home/anna/default.store", "/tmp/café", ""] {
            assert_eq!(text_of(Path::new(path)), path);
            assert_eq!(path_of(path), Path::new(path));
        }
    }

    #[test]
    fn text_that_only_resembles_bytes_is_a_path() {
        for text in ["bytes:", "bytes:6", "bytes:zz", "bytes: 61"] {
            assert_eq!(path_of(text), Path::new(text));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_path_of_any_bytes_round_trips() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        for bytes in [b"/caf\xe8".as_slice(), b"/caf\xe9", b"\xff\x00\x0a"] {
            let path = Path::new(OsStr::from_bytes(bytes));
            assert_eq!(path_of(&text_of(path)), path);
        }
        let texts =
            [b"/caf\xe8", b"/caf\xe9"].map(|bytes| text_of(OsStr::from_bytes(bytes).as_ref()));
        assert_ne!(texts[0], texts[1]);
    }
}
