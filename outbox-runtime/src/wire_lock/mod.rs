//! The wire lock: a test that the shape of metadata changes only together with its version.
//!
//! Rows outlive the program that wrote them. A field that is renamed today makes dead letters of what a device enqueued
//! yesterday, and no compiler sees it. `outbox.lock`, a file beside `Cargo.toml` that is checked in, has the shape of
//! each event's metadata by version, and one test compares:
//!
//! ```
//! use outbox_runtime::prelude::*;
//! # #[derive(OutboxEntity)]
//! # #[outbox(event_type = "moodEntry")]
//! # struct MoodEntry { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] valence: f64 }
//!
//! #[derive(OutboxEvents)]
//! enum LumeEvent {
//!     MoodEntry(Event<MoodEntry>),
//! }
//!
//! fn the_wire_stays_as_it_is() {
//!     LumeEvent::assert_wire_lock(); // in a #[test]
//! }
//! ```
//!
//! Where a shape changed and its version did not, the test fails and says in what:
//!
//! ```text
//! moodEntry v2: labels[]: string → integer(i64)
//! ```
//!
//! `OUTBOX_LOCK=update cargo test` writes the file. Several sets, and several tests at once, share one.
//!
//! [`check`] and [`update`] do the same with a [`WireLockError`] instead of a panic, and in any folder.
//!
//! # What is not seen
//!
//! A shape is found from what `Deserialize` asks for, without any code of its own for a type. So it does not tell
//!
//! - how a type is written, where that differs from how it is read: `skip_serializing_if`, `rename(serialize = ..)`, a
//!   `Serialize` by hand;
//! - what is inside of a value that its type looks at before it decides: `serde_json::Value`, untagged and internally
//!   tagged enums, the content of adjacently tagged ones, and what `#[serde(flatten)]` brings in. Of these only the kinds
//!   of JSON that are taken are compared (`any(integer|string)`), and which fields are missed;
//! - rules within a form: strings are told apart as any text, UUID, date-time, date, time, decimal number, integer, URL
//!   and IP address, and everything else is `constrained`; ranges of numbers, lengths of lists and unknown fields that
//!   are refused are not seen;
//! - whether a field may be absent, where the others are not to be had (`constrained` ones and those of recursive types):
//!   an `Option` counts as one that may, everything else as one that may not;
//! - that a name of a variant is an alias: it counts as a variant.

mod difference; // where two shapes differ
mod error; // what a check finds
mod explore; // from what a type asks for to its shape
mod file; // outbox.lock
mod probe; // which values a type takes
mod shape; // what metadata looks like
mod trace; // what a type asks for

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

pub use self::difference::Difference;
pub use self::error::{Finding, WireLockError};
use self::file::LockFile;
pub use self::shape::Shape;
use crate::entity::OutboxEntity;
use crate::metadata::{OlderMetadata, ReadVersion, UpcastTo};

/// The name of the lock file.
pub const FILE_NAME: &str = "outbox.lock";

/// The shapes of an entity's metadata: the one that is written, and those of the older versions that are read.
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use outbox_runtime::wire_lock::EventShapes;
///
/// #[derive(serde::Deserialize)]
/// struct GoalMetadataV1 {
///     name: String,
/// }
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "goal", version = 2, upcast(1 = GoalMetadataV1))]
/// struct Goal {
///     #[outbox(entity_id)]
///     id: i64,
///     #[outbox(user_id)]
///     user_id: String,
///     #[outbox(metadata)]
///     title: String,
/// }
///
/// impl From<GoalMetadataV1> for GoalMetadata {
///     fn from(old: GoalMetadataV1) -> Self {
///         Self { title: old.name }
///     }
/// }
///
/// let shapes = EventShapes::of::<Goal>();
/// assert_eq!(shapes.of_version(1).unwrap().to_string(), "{name: string}");
/// assert_eq!(shapes.of_version(2).unwrap().to_string(), "{title: string}");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventShapes {
    event_type: &'static str,
    version: u32,
    shapes: BTreeMap<u32, Shape>,
}

impl EventShapes {
    /// Those of an entity.
    #[must_use]
    pub fn of<E: OutboxEntity>() -> Self {
        let version = E::OPTIONS.metadata_version();
        let mut shapes: BTreeMap<u32, Shape> = (1..version)
            .filter_map(|older| Some((older, E::upcast(older, ShapeOf)?)))
            .collect();
        shapes.insert(version, Shape::of::<E::Metadata>());
        Self {
            event_type: E::EVENT_TYPE,
            version,
            shapes,
        }
    }

    /// The name of the type in rows.
    #[must_use]
    pub fn event_type(&self) -> &'static str {
        self.event_type
    }

    /// The version that is written.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The shape of a version, if it is read.
    #[must_use]
    pub fn of_version(&self, version: u32) -> Option<&Shape> {
        self.shapes.get(&version)
    }
}

/// Looks at the type of an older version.
struct ShapeOf;

impl<M> ReadVersion<M> for ShapeOf {
    type Output = Shape;

    fn through<T: OlderMetadata + UpcastTo<M>>(self) -> Shape {
        Shape::of::<T>()
    }
}

/// Compares a set of events with the lock file of a folder.
///
/// `set` is a name that no other set in the file has.
///
/// # Errors
///
/// [`WireLockError::Mismatch`] with everything that does not match; other kinds where the file is missing, damaged or
/// cannot be read.
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use outbox_runtime::wire_lock::{self, EventShapes, WireLockError};
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "goal")]
/// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] title: String }
///
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let events = [EventShapes::of::<Goal>()];
/// let error = wire_lock::check(folder, "goals", &events).unwrap_err();
/// assert!(matches!(error, WireLockError::NoFile { .. }));
///
/// wire_lock::update(folder, "goals", &events)?;
/// wire_lock::check(folder, "goals", &events)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn check(
    folder: impl AsRef<Path>,
    set: &str,
    events: &[EventShapes],
) -> Result<(), WireLockError> {
    let path = folder.as_ref().join(FILE_NAME);
    match LockFile::read(&path)? {
        Some(file) => matching(&path, set, findings(&file, set, events)),
        None => Err(WireLockError::NoFile { path }),
    }
}

/// Writes a set of events into the lock file of a folder, and leaves the entries of other sets alone.
///
/// What the file says about an older version is not overwritten: that is what the rows of that version are.
///
/// # Errors
///
/// [`WireLockError::Mismatch`] where the type for an older version does not have its shape; other kinds where the
/// file is damaged, or cannot be read or written.
pub fn update(
    folder: impl AsRef<Path>,
    set: &str,
    events: &[EventShapes],
) -> Result<(), WireLockError> {
    let path = folder.as_ref().join(FILE_NAME);
    let left = LockFile::edit(&path, |file| {
        record(file, set, events);
        findings(file, set, events)
    })?;
    matching(&path, set, left)
}

/// [`check`], or [`update`] where the environment variable `OUTBOX_LOCK` is `update`.
///
/// # Errors
///
/// Those of either, and [`WireLockError::UnknownMode`] where `OUTBOX_LOCK` is anything else.
pub fn check_or_update(
    folder: impl AsRef<Path>,
    set: &str,
    events: &[EventShapes],
) -> Result<(), WireLockError> {
    let mode = std::env::var_os("OUTBOX_LOCK").unwrap_or_default();
    match mode.to_string_lossy().as_ref() {
        "" => check(folder, set, events),
        "update" => update(folder, set, events),
        value => Err(WireLockError::UnknownMode {
            value: value.to_owned(),
        }),
    }
}

fn matching(path: &Path, set: &str, findings: Vec<Finding>) -> Result<(), WireLockError> {
    if findings.is_empty() {
        return Ok(());
    }
    Err(WireLockError::Mismatch {
        path: path.to_owned(),
        set: set.to_owned(),
        findings,
    })
}

/// Everything in which the set and the file do not match.
fn findings(file: &LockFile, set: &str, events: &[EventShapes]) -> Vec<Finding> {
    let unknown = BTreeMap::new();
    let mut findings = Vec::new();
    for event in events {
        let event_type = event.event_type.to_owned();
        let recorded = file.events.get(event.event_type).unwrap_or(&unknown);
        for version in recorded.keys().copied() {
            if version > event.version {
                findings.push(Finding::WentBack {
                    event_type: event_type.clone(),
                    recorded: version,
                    version: event.version,
                });
            } else if event.of_version(version).is_none() {
                findings.push(Finding::NotRead {
                    event_type: event_type.clone(),
                    version,
                });
            }
        }
        let of_versions = event.shapes.iter().filter_map(|(version, shape)| {
            let recorded = recorded.get(version).map(|was| was.differences(shape));
            finding(event, *version, recorded)
        });
        findings.extend(of_versions);
    }
    let had = file.sets.get(set).into_iter().flatten();
    let vanished = had.filter(|had| events.iter().all(|event| event.event_type != had.as_str()));
    findings.extend(
        vanished
            .cloned()
            .map(|event_type| Finding::Vanished { event_type }),
    );
    findings
}

/// What there is to say about a version; `None` for `differences` where it is not recorded.
fn finding(
    event: &EventShapes,
    version: u32,
    differences: Option<Vec<Difference>>,
) -> Option<Finding> {
    let event_type = event.event_type.to_owned();
    match differences {
        None => Some(Finding::Unrecorded {
            event_type,
            version,
        }),
        Some(differences) if differences.is_empty() => None,
        Some(differences) if version == event.version => Some(Finding::Changed {
            event_type,
            version,
            differences,
        }),
        Some(differences) => Some(Finding::OlderChanged {
            event_type,
            version,
            differences,
        }),
    }
}

/// Puts the set into the file, as far as it does not contradict what was recorded of older versions.
fn record(file: &mut LockFile, set: &str, events: &[EventShapes]) {
    for event in events {
        let recorded = file.events.entry(event.event_type.to_owned()).or_default();
        recorded.retain(|version, _| event.shapes.contains_key(version));
        for (version, shape) in &event.shapes {
            let entry = recorded.entry(*version).or_insert_with(|| shape.clone());
            if *version == event.version {
                entry.clone_from(shape);
            }
        }
    }
    let has: BTreeSet<String> = events
        .iter()
        .map(|event| event.event_type.to_owned())
        .collect();
    let had = file.sets.insert(set.to_owned(), has).unwrap_or_default();
    for gone in had {
        // Another set, or this one, may still have it.
        if !file.sets.values().any(|types| types.contains(&gone)) {
            file.events.remove(&gone);
        }
    }
}
