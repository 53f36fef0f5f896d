//! What a check of the wire lock can find, and why there may be no check at all.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use super::difference::Difference;

/// The command that every message leads to.
const UPDATE: &str = "OUTBOX_LOCK=update cargo test";

/// The wire lock does not hold, or could not be looked at.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WireLockError {
    /// The shapes are not what the file says.
    #[error(
        "{} does not describe the events of `{set}` as they are:\n{}",
        path.display(), listed(findings)
    )]
    Mismatch {
        /// The lock file.
        path: PathBuf,
        /// The set of events.
        set: String,
        /// Everything that does not match.
        findings: Vec<Finding>,
    },
    /// There is no lock file yet.
    #[error("there is no {}; write it with `{UPDATE}`, and check it in", path.display())]
    NoFile {
        /// Where it should be.
        path: PathBuf,
    },
    /// The file is not a lock file: damaged by hand, or by a merge that was left half done.
    #[error(
        "{} is damaged: {reason}; take it from version control again, or delete it and run `{UPDATE}`",
        path.display()
    )]
    Damaged {
        /// The lock file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// The file is of a format that a later version of this library writes.
    #[error(
        "{} has format {found}, and this version of outbox-runtime knows {known}: update the dependency",
        path.display()
    )]
    NewerFormat {
        /// The lock file.
        path: PathBuf,
        /// The format of the file.
        found: u32,
        /// The format that is known.
        known: u32,
    },
    /// The file, or its folder, cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was to be done: "read", "write", "lock".
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// `OUTBOX_LOCK` has a value without a meaning.
    #[error("OUTBOX_LOCK is {value:?}; it may be `update`, or not be set")]
    UnknownMode {
        /// The value.
        value: String,
    },
    /// The program was not built by cargo, so that nobody knows where its `Cargo.toml` is.
    #[error(
        "CARGO_MANIFEST_DIR was not set when this was compiled: call `outbox_testing::wire_lock::check` with the \
         folder of the lock file instead"
    )]
    NoFolder,
}

impl WireLockError {
    /// What does not match, where that is the error.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        match self {
            Self::Mismatch { findings, .. } => findings,
            _ => &[],
        }
    }
}

/// One thing in which a set of events and its lock file do not match.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The file has no shape for a version of an event.
    Unrecorded {
        /// The event type.
        event_type: String,
        /// The version of its metadata.
        version: u32,
    },
    /// The shape changed, and the version did not.
    Changed {
        /// The event type.
        event_type: String,
        /// The version of its metadata.
        version: u32,
        /// Where, and how.
        differences: Vec<Difference>,
    },
    /// The type as which an older version is read does not have the shape that this version had.
    OlderChanged {
        /// The event type.
        event_type: String,
        /// The older version.
        version: u32,
        /// Where the type differs from what was recorded, and how.
        differences: Vec<Difference>,
    },
    /// The file has an older version that the program does not read any more.
    NotRead {
        /// The event type.
        event_type: String,
        /// The older version.
        version: u32,
    },
    /// The file has a newer version than the program.
    WentBack {
        /// The event type.
        event_type: String,
        /// The version in the file.
        recorded: u32,
        /// The version of the program.
        version: u32,
    },
    /// The type has another order: which of its events wait for each other.
    OrderChanged {
        /// The event type.
        event_type: String,
        /// The order that it had.
        was: String,
        /// The order that it has.
        is: String,
    },
    /// The ids of the entity are of another type.
    EntityIdChanged {
        /// The event type.
        event_type: String,
        /// The type that they had.
        was: String,
        /// The type that they have.
        is: String,
    },
    /// The set had an event type that it does not have any more.
    Vanished {
        /// The event type.
        event_type: String,
    },
}

impl fmt::Display for Finding {
    /// What, line by line, and then what to do about it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unrecorded {
                event_type,
                version,
            } => write!(
                f,
                "{event_type} v{version}: not in the file\n  \
                 add it with `{UPDATE}`"
            ),
            Self::Changed {
                event_type,
                version,
                differences,
            } => {
                each(f, event_type, *version, differences)?;
                write!(
                    f,
                    "  rows of version {version} may be on devices already: set `version = {}`, keep the struct as it \
                     was, and name it in `upcast({version} = ..)`\n  \
                     if no program with version {version} was ever released, `{UPDATE}` takes the new shape",
                    version.saturating_add(1)
                )
            }
            Self::OlderChanged {
                event_type,
                version,
                differences,
            } => {
                each(f, event_type, *version, differences)?;
                write!(
                    f,
                    "  the type in `upcast({version} = ..)` must stay as the rows of version {version} are"
                )
            }
            Self::NotRead {
                event_type,
                version,
            } => write!(
                f,
                "{event_type} v{version}: not read any more\n  \
                 name the type of its rows in `OutboxEntity::upcast`; where there are no such rows any more, \
                 `{UPDATE}` forgets it"
            ),
            Self::WentBack {
                event_type,
                recorded,
                version,
            } => write!(
                f,
                "{event_type} v{version}: the file has version {recorded} already\n  \
                 a version only grows; if version {recorded} was never released, `{UPDATE}` forgets it"
            ),
            Self::OrderChanged {
                event_type,
                was,
                is,
            } => write!(
                f,
                "{event_type}: order: {was} → {is}\n  \
                 rows that wait keep the order `{was}`; an event that is enqueued from now on goes by `{is}`, and after those of its \
                 entity that wait\n  \
                 if that is meant, `{UPDATE}` takes the new order"
            ),
            Self::EntityIdChanged {
                event_type,
                was,
                is,
            } => write!(
                f,
                "{event_type}: entity id: {was} → {is}\n  \
                 rows that wait keep the id that they have: one that is written alike, as 5 and \"5\" or a UUID and its text, is the \
                 same; any other is another entity, whose events do not wait for those rows\n  \
                 if each id is written alike, or no row is left when the update comes, `{UPDATE}` takes the new type"
            ),
            Self::Vanished { event_type } => write!(
                f,
                "{event_type}: not in the set any more\n  \
                 its rows stay undelivered, wherever there are any; if that is meant, `{UPDATE}` forgets it"
            ),
        }
    }
}

/// `moodEntry v2: labels[]: string → integer(i64)`, a line each.
fn each(
    f: &mut fmt::Formatter<'_>,
    event_type: &str,
    version: u32,
    differences: &[Difference],
) -> fmt::Result {
    differences
        .iter()
        .try_for_each(|difference| writeln!(f, "{event_type} v{version}: {difference}"))
}

fn listed(findings: &[Finding]) -> String {
    let findings: Vec<String> = findings.iter().map(Finding::to_string).collect();
    findings.join("\n")
}
