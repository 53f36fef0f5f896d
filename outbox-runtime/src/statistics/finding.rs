//! Findings of a check of a store.

use std::fmt;

use serde::Serialize;

/// Something that a check of a store found wrong, or worth knowing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Finding {
    /// The part of the store.
    pub subject: Subject,
    /// How serious it is.
    pub severity: Severity,
    /// The fact, for people.
    pub message: String,
    /// What mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Remedy>,
}

impl Finding {
    /// For stores.
    #[must_use]
    pub fn new(subject: Subject, severity: Severity, message: impl Into<String>) -> Self {
        Self {
            subject,
            severity,
            message: message.into(),
            remedy: None,
        }
    }

    /// Sets what mends it. For stores.
    #[must_use]
    pub fn with_remedy(mut self, remedy: Remedy) -> Self {
        self.remedy = Some(remedy);
        self
    }
}

/// How thorough a check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum CheckDepth {
    /// Reads no event: a few milliseconds, whatever the size.
    Quick,
    /// Also checks every page of the database, and recounts lanes and statistics.
    #[default]
    Full,
}

/// The part of a store that a [`Finding`] concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Subject {
    /// Settings of the database that the store relies on.
    Settings,
    /// Tables, indices, triggers and functions.
    Schema,
    /// The pages of the database.
    Integrity,
    /// The order of events that wait for each other.
    Lanes,
    /// The counts behind statistics.
    Statistics,
    /// Leases that have ended.
    Leases,
    /// Workers that are gone.
    Processes,
    /// The clocks of enqueuers, workers and this machine.
    Clock,
    /// The write-ahead log.
    Log,
    /// Disk space.
    Space,
    /// Transactions and snapshots that hold up clean-up.
    Transactions,
    /// Dead rows.
    Vacuum,
}

impl Subject {
    /// The name, as in the serde form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Schema => "schema",
            Self::Integrity => "integrity",
            Self::Lanes => "lanes",
            Self::Statistics => "statistics",
            Self::Leases => "leases",
            Self::Processes => "processes",
            Self::Clock => "clock",
            Self::Log => "log",
            Self::Space => "space",
            Self::Transactions => "transactions",
            Self::Vacuum => "vacuum",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How serious a [`Finding`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Severity {
    /// Worth knowing; nothing needs to be done.
    Notice,
    /// Deliveries or statistics suffer, or soon will.
    Warning,
    /// Data is damaged, or events are stuck.
    Fault,
}

impl Severity {
    /// The name, as in the serde form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Fault => "fault",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What mends a [`Finding`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Remedy {
    /// The `repair` method of the store.
    Repair,
    /// [`OutboxQueue::rescue`](crate::store::OutboxQueue::rescue), which a running worker also does
    /// by itself.
    Rescue,
    /// These SQL statements.
    Sql(String),
    /// Something else, for people.
    Advice(String),
}

/// The counts of a `repair`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Repaired {
    /// Lanes that were stuck.
    pub lanes: u64,
    /// Blocks of rows that are counted again.
    pub blocks: u64,
}

impl Repaired {
    /// For stores.
    #[must_use]
    pub const fn new(lanes: u64, blocks: u64) -> Self {
        Self { lanes, blocks }
    }
}
