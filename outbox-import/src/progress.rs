//! Progress reports of an import.

/// The progress of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportProgress {
    /// The table being read, by the name that it was given.
    pub table: String,
    /// The number of rows read so far, in all tables.
    pub read: u64,
    /// The number of rows in all tables.
    pub total: u64,
}

pub(super) type OnProgress = Box<dyn FnMut(&ImportProgress) + Send>;
