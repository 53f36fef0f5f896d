//! The errors of a mapping file.

use thiserror::Error;

/// A mapping file cannot be used. Nothing was read from the source.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {problem}")]
#[non_exhaustive]
pub struct MappingError {
    /// The line of the file, from 1.
    pub line: usize,
    /// The problem there.
    pub problem: MappingProblem,
}

/// The problem of a mapping file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MappingProblem {
    /// The file is no TOML.
    #[error("{0}")]
    Syntax(String),
    /// A key that means nothing at this place.
    #[error("unknown key `{key}`; known here: {}", known.join(", "))]
    UnknownKey {
        /// The key.
        key: String,
        /// The keys that mean something at this place.
        known: Vec<&'static str>,
    },
    /// A required key is missing.
    #[error("`{key}` is missing")]
    MissingKey {
        /// The key.
        key: &'static str,
    },
    /// A value that the key cannot have.
    #[error("`{key}`: {reason}")]
    Invalid {
        /// The key.
        key: String,
        /// The reason.
        reason: String,
    },
}
