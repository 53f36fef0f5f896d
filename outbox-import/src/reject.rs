//! The reasons to put a row aside, or to end the import.

use std::borrow::Cow;
use std::fmt;

use super::error::ImportError;
use outbox_runtime::__private::bounded;
use outbox_runtime::store::BoxError;

/// The reason to put a row aside; or, from an [`ImportError`] or [`fatal`](Self::fatal), the error
/// that ends the import.
///
/// # Examples
///
/// ```
/// use outbox_import::{Reject, RejectReason, SourceRow};
///
/// fn minutes(row: &SourceRow) -> Result<u32, Reject> {
///     // NULL, or no integer: the row is put aside, with the column's name.
///     let minutes = row.integer("minutes")?;
///     u32::try_from(minutes)
///         .map_err(|_| Reject::new("impossible duration", "the workout ends before it begins"))
/// }
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("old.db");
/// # outbox_runtime::rusqlite::Connection::open(&path)?
/// #     .execute_batch("CREATE TABLE workout (minutes); INSERT INTO workout VALUES (-5)")?;
/// # let source = outbox_import::Source::open(&path)?;
/// # let row = source.get(&outbox_import::SourceTable::plain("workout"), 1)?.ok_or("no row")?;
/// let reject = minutes(&row).unwrap_err();
/// assert_eq!(reject.reason(), Some(&RejectReason::from("impossible duration")));
/// assert_eq!(reject.to_string(), "impossible duration: the workout ends before it begins");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Reject(pub(super) Rejected);

#[derive(Debug)]
pub(super) enum Rejected {
    Row {
        reason: RejectReason,
        detail: String,
    },
    Import(Box<ImportError>),
    Fatal(BoxError),
}

impl Reject {
    /// Puts the row aside. Rows are counted by `reason`. `detail` describes this row; it should not
    /// repeat the content, which is stored beside it.
    pub fn new(reason: impl Into<RejectReason>, detail: impl Into<String>) -> Self {
        Self(Rejected::Row {
            reason: reason.into(),
            detail: bounded(&detail.into()),
        })
    }

    /// Ends the import. Nothing is written.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_import::Reject;
    ///
    /// /// Without the key, every row would be put aside.
    /// fn key(from: &str) -> Result<String, Reject> {
    ///     std::fs::read_to_string(from).map_err(Reject::fatal)
    /// }
    ///
    /// assert_eq!(key("nowhere/key").unwrap_err().reason(), None);
    /// ```
    pub fn fatal(error: impl Into<BoxError>) -> Self {
        Self(Rejected::Fatal(error.into()))
    }

    /// The reason to put the row aside; `None` if the import ends.
    #[must_use]
    pub fn reason(&self) -> Option<&RejectReason> {
        match &self.0 {
            Rejected::Row { reason, .. } => Some(reason),
            Rejected::Import(_) | Rejected::Fatal(_) => None,
        }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Rejected::Row { reason, detail } => write!(f, "{reason}: {detail}"),
            Rejected::Import(error) => error.fmt(f),
            Rejected::Fatal(error) => error.fmt(f),
        }
    }
}

impl From<ImportError> for Reject {
    fn from(error: ImportError) -> Self {
        Self(Rejected::Import(Box::new(error)))
    }
}

impl From<rusqlite::Error> for Reject {
    fn from(error: rusqlite::Error) -> Self {
        Self::from(ImportError::Destination(error))
    }
}

/// The kind of fault that a row has. Rows are counted by its text.
///
/// # Examples
///
/// ```
/// use outbox_import::RejectReason;
///
/// let reason = RejectReason::Missing { column: "payload".to_owned() };
/// assert_eq!(reason.to_string(), "payload is missing");
/// assert_eq!(reason.column(), Some("payload"));
///
/// // One of the application's own.
/// let reason = RejectReason::from("unknown event type");
/// assert_eq!(reason.column(), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RejectReason {
    /// A column that must not be NULL is NULL.
    Missing {
        /// The column.
        column: String,
    },
    /// A column holds a value of the wrong form.
    Damaged {
        /// The column.
        column: String,
    },
    /// The file with the value of an attribute with external storage cannot be read. The detail has
    /// the file's path.
    FileMissing {
        /// The attribute.
        column: String,
    },
    /// A column holds a value for which a [`Mapping`](crate::Mapping) has no word.
    Unmapped {
        /// The column.
        column: String,
    },
    /// No section of a [`Mapping`](crate::Mapping) takes the row.
    NoSection,
    /// Another event with this id has other content or, in the same import, another state. The
    /// first one is kept.
    DuplicateId,
    /// The event violates a rule of the outbox.
    Invalid {
        /// The field.
        field: Cow<'static, str>,
    },
    /// A reason that the application gives.
    Other(Cow<'static, str>),
}

impl RejectReason {
    /// The column with the fault, if it is that of a column.
    #[must_use]
    pub fn column(&self) -> Option<&str> {
        match self {
            Self::Missing { column }
            | Self::Damaged { column }
            | Self::FileMissing { column }
            | Self::Unmapped { column } => Some(column),
            Self::NoSection | Self::DuplicateId | Self::Invalid { .. } | Self::Other(_) => None,
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { column } => write!(f, "{column} is missing"),
            Self::Damaged { column } => write!(f, "{column} is damaged"),
            Self::FileMissing { column } => write!(f, "the file of {column} cannot be read"),
            Self::Unmapped { column } => write!(f, "{column} has a value without a mapping"),
            Self::NoSection => f.write_str("no section of the mapping takes the row"),
            Self::DuplicateId => f.write_str("duplicate id, other content"),
            Self::Invalid { field } => write!(f, "invalid {field}"),
            Self::Other(reason) => f.write_str(reason),
        }
    }
}

impl From<&'static str> for RejectReason {
    fn from(reason: &'static str) -> Self {
        Self::Other(Cow::Borrowed(reason))
    }
}

impl From<String> for RejectReason {
    fn from(reason: String) -> Self {
        Self::Other(Cow::Owned(reason))
    }
}

impl std::error::Error for Reject {}
