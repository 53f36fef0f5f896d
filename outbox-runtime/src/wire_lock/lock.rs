//! A set of events against the lock file: what does not match, and what an update makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::difference::Difference;
use super::error::{Finding, WireLockError};
use super::event::EventShapes;
use super::file::LockFile;

/// The name of the lock file.
pub const FILE_NAME: &str = "outbox.lock";

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

/// Compares a set of events with the lock file in `folder`, or writes it: what the derive's `assert_wire_lock` does.
///
/// # Panics
///
/// Where the lock does not hold: it is an assertion, for tests.
#[track_caller]
pub fn assert_wire_lock(folder: Option<&str>, set: &str, events: &[Option<fn() -> EventShapes>]) {
    let events: Vec<EventShapes> = events.iter().flatten().map(|shapes| shapes()).collect();
    let result = match folder {
        Some(folder) => check_or_update(folder, set, &events),
        None => Err(WireLockError::NoFolder),
    };
    if let Err(error) = result {
        panic!("{error}");
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
        let event_type = event.event_type().to_owned();
        let recorded = file.events.get(event.event_type()).unwrap_or(&unknown);
        for version in recorded.keys().copied() {
            if version > event.version() {
                findings.push(Finding::WentBack {
                    event_type: event_type.clone(),
                    recorded: version,
                    version: event.version(),
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
    let vanished = had.filter(|had| {
        events
            .iter()
            .all(|event| event.event_type() != had.as_str())
    });
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
    let event_type = event.event_type().to_owned();
    match differences {
        None => Some(Finding::Unrecorded {
            event_type,
            version,
        }),
        Some(differences) if differences.is_empty() => None,
        Some(differences) if version == event.version() => Some(Finding::Changed {
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
        let recorded = file
            .events
            .entry(event.event_type().to_owned())
            .or_default();
        recorded.retain(|version, _| event.shapes.contains_key(version));
        for (version, shape) in &event.shapes {
            let entry = recorded.entry(*version).or_insert_with(|| shape.clone());
            if *version == event.version() {
                entry.clone_from(shape);
            }
        }
    }
    let has: BTreeSet<String> = events
        .iter()
        .map(|event| event.event_type().to_owned())
        .collect();
    let had = file.sets.insert(set.to_owned(), has).unwrap_or_default();
    for gone in had {
        // Another set, or this one, may still have it.
        if !file.sets.values().any(|types| types.contains(&gone)) {
            file.events.remove(&gone);
        }
    }
}
