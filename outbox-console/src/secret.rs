//! Secrets: random ones, and comparisons in constant time.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};
use uuid::Uuid;

/// The bytes of a digest, and of a random secret.
pub(crate) type Bytes = [u8; 32];

/// Random bytes that nobody can guess: of three UUIDs with 122 bits each from the system's
/// generator.
pub(crate) fn random() -> Bytes {
    let mut hash = Sha256::new();
    for _ in 0..3 {
        hash.update(Uuid::new_v4().as_bytes());
    }
    hash.finalize().into()
}

pub(crate) fn digest(parts: &[&[u8]]) -> Bytes {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The secrets that let a visitor in. Only their digests are kept.
#[derive(Default)]
pub(crate) struct Secrets(Vec<Bytes>);

impl Secrets {
    pub(crate) fn add(&mut self, secret: &str) {
        self.0.push(digest(&[secret.as_bytes()]));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is one of them. Takes the same time for every text of a length: digests are
    /// compared, all of them, to the end.
    pub(crate) fn contain(&self, given: &str) -> bool {
        let given = digest(&[given.as_bytes()]);
        let none = Choice::from(0);
        let found = self
            .0
            .iter()
            .fold(none, |found, secret| found | secret.ct_eq(&given));
        found.into()
    }
}

/// Whether two texts are equal, in a time that does not tell where they differ.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    digest(&[one.as_bytes()])
        .ct_eq(&digest(&[other.as_bytes()]))
        .into()
}
