//! The findings of a wire lock check, and the errors that prevent one.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use super::difference::Difference;

/// The command that messages suggest.
const UPDATE: &str = "OUTBOX_LOCK=update cargo test";

/// The wire lock check failed or could not run.
///
/// # Examples
///
/// ```
/// use outbox_testing::wire_lock::{WireLockError, check};
///
/// # fn main() -> std::io::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// let error = check(folder.path(), "goals", &[]).err();
/// assert!(matches!(error, Some(WireLockError::NoFile { .. })));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WireLockError {
    /// The shapes differ from the file.
    #[error(
        "{} does not match the events of `{set}`:\n{}",
        path.display(), listed(findings)
    )]
    Mismatch {
        /// The lock file.
        path: PathBuf,
        /// The set of events.
        set: String,
        /// All differences.
        findings: Vec<Finding>,
    },
    /// The lock file does not exist yet.
    #[error("there is no {}; write it with `{UPDATE}`, and check it in", path.display())]
    NoFile {
        /// The expected path of the file.
        path: PathBuf,
    },
    /// The file is not a valid lock file: an edit or an unfinished merge damaged it.
    #[error(
        "{} is damaged: {reason}; restore it from version control, or delete it and run `{UPDATE}`",
        path.display()
    )]
    Damaged {
        /// The lock file.
        path: PathBuf,
        /// The position and the reason.
        reason: String,
    },
    /// A later version of this library wrote the file.
    #[error(
        "{} has format {found}, and this version of outbox-testing supports up to {known}: update the dependency",
        path.display()
    )]
    NewerFormat {
        /// The lock file.
        path: PathBuf,
        /// The format of the file.
        found: u32,
        /// The newest supported format.
        known: u32,
    },
    /// The file or its folder cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The operation: "read", "write", "lock".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// `OUTBOX_LOCK` has an unknown value.
    #[error("OUTBOX_LOCK is {value:?}; set it to `update`, or leave it unset")]
    UnknownMode {
        /// The value.
        value: String,
    },
    /// The program was not built by cargo, so the location of its `Cargo.toml` is unknown.
    #[error(
        "CARGO_MANIFEST_DIR was not set at compile time: call `outbox_testing::wire_lock::check` with the \
         folder of the lock file instead"
    )]
    NoFolder,
}

impl WireLockError {
    /// The differences, if that is the error.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_testing::wire_lock::WireLockError;
    ///
    /// fn print(error: &WireLockError) {
    ///     for finding in error.findings() {
    ///         eprintln!("{finding}"); // the difference, and what to do about it
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        match self {
            Self::Mismatch { findings, .. } => findings,
            _ => &[],
        }
    }
}

/// A difference between a set of events and its lock file.
///
/// # Examples
///
/// ```
/// use outbox_testing::wire_lock::{Finding, WireLockError};
///
/// /// Whether the version has to be raised: the rows of before cannot be read otherwise.
/// fn needs_version(error: &WireLockError) -> bool {
///     error.findings().iter().any(|it| matches!(it, Finding::Changed { .. }))
/// }
/// ```
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
        /// The differences.
        differences: Vec<Difference>,
    },
    /// The type that reads an older version does not have that version's shape.
    OlderChanged {
        /// The event type.
        event_type: String,
        /// The older version.
        version: u32,
        /// The differences between the type and the recorded shape.
        differences: Vec<Difference>,
    },
    /// The file has an older version that the program no longer reads.
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
    /// The type has another order, which determines the events that wait for each other.
    OrderChanged {
        /// The event type.
        event_type: String,
        /// The previous order.
        was: String,
        /// The current order.
        is: String,
    },
    /// The ids of the entity have another type.
    EntityIdChanged {
        /// The event type.
        event_type: String,
        /// The previous type.
        was: String,
        /// The current type.
        is: String,
    },
    /// The set no longer has an event type.
    Vanished {
        /// The event type.
        event_type: String,
    },
}

impl fmt::Display for Finding {
    /// The finding on the first lines, then the remedy.
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
                    "  devices may already have rows of version {version}: set `version = {}`, keep the old struct, \
                     and name it in `upcast({version} = ..)`\n  \
                     if no program with version {version} was ever released, `{UPDATE}` accepts the new shape",
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
                    "  the type in `upcast({version} = ..)` must keep the shape of the rows of version {version}"
                )
            }
            Self::NotRead {
                event_type,
                version,
            } => write!(
                f,
                "{event_type} v{version}: no longer read\n  \
                 name the type of its rows in `OutboxEntity::upcast`; if no such rows exist any more, \
                 `{UPDATE}` removes it"
            ),
            Self::WentBack {
                event_type,
                recorded,
                version,
            } => write!(
                f,
                "{event_type} v{version}: the file already has version {recorded}\n  \
                 versions only grow; if version {recorded} was never released, `{UPDATE}` removes it"
            ),
            Self::OrderChanged {
                event_type,
                was,
                is,
            } => write!(
                f,
                "{event_type}: order: {was} → {is}\n  \
                 waiting rows keep the order `{was}`; new events use `{is}`, and come after the waiting ones of \
                 their entity\n  \
                 if that is intended, `{UPDATE}` accepts the new order"
            ),
            Self::EntityIdChanged {
                event_type,
                was,
                is,
            } => write!(
                f,
                "{event_type}: entity id: {was} → {is}\n  \
                 waiting rows keep their ids: an id that is written the same, such as 5 and \"5\" or a UUID and its \
                 text, is the same id; any other is another entity, whose events do not wait for those rows\n  \
                 if every id is written the same, or no row is left at the update, `{UPDATE}` accepts the new type"
            ),
            Self::Vanished { event_type } => write!(
                f,
                "{event_type}: no longer in the set\n  \
                 its existing rows stay undelivered; if that is intended, `{UPDATE}` removes it\n  \
                 if it was renamed, add `alias = [{event_type:?}]` to its entity; if it is given up, \
                 `retired({event_type:?} = drop)` to the set"
            ),
        }
    }
}

/// One line per difference: `moodEntry v2: labels[]: string → integer(i64)`.
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
