//! The name of the schema that holds the outbox.

use std::fmt;

use outbox_runtime::{StoreError, StoreErrorKind};

/// The name of a PostgreSQL schema: 1 to 40 lowercase letters, digits and underscores, not
/// starting with a digit or `pg_`. It needs no quotes in any statement.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SchemaName(String);

impl SchemaName {
    /// The schema of a store that names none.
    pub(crate) const DEFAULT: &'static str = "outbox";

    /// # Errors
    ///
    /// `InvalidArgument` if the name breaks a rule.
    pub(crate) fn new(name: &str) -> Result<Self, StoreError> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let is_valid = (1..=40).contains(&name.len())
            && name.chars().all(allowed)
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && !name.starts_with("pg_");
        if is_valid {
            return Ok(Self(name.to_owned()));
        }
        let message = format!(
            "the schema name {name:?} is not valid; use 1 to 40 lowercase letters, digits and \
             underscores, not starting with a digit or \"pg_\""
        );
        Err(StoreError::new(
            StoreErrorKind::InvalidArgument,
            "open",
            message,
        ))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The first key of the advisory locks of this outbox.
    pub(crate) fn lock_class(&self) -> i32 {
        let mut hash = 0x811c_9dc5_u32;
        for byte in "outbox:".bytes().chain(self.0.bytes()) {
            hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
        hash.cast_signed()
    }
}

impl Default for SchemaName {
    fn default() -> Self {
        Self(Self::DEFAULT.to_owned())
    }
}

impl fmt::Display for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
