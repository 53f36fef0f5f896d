//! The errors of a mapping file.

use thiserror::Error;

/// A mapping file cannot be used. Nothing was read from the source.
///
/// # Examples
///
/// ```
/// use outbox_import::{Mapping, MappingError};
///
/// let file = "[[events]]\nentity = \"SDMeal\"\nkind = \"meal\"";
/// let error: MappingError = file.parse::<Mapping>().unwrap_err();
/// assert_eq!(error.line, 3);
/// assert!(error.to_string().starts_with("line 3: unknown key `kind`; known here: entity, "));
/// ```
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
///
/// # Examples
///
/// ```
/// use outbox_import::{Mapping, MappingProblem};
///
/// let problem = "".parse::<Mapping>().unwrap_err().problem;
/// assert_eq!(problem, MappingProblem::MissingKey { key: "events" });
/// assert_eq!(problem.to_string(), "`events` is missing");
/// ```
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
