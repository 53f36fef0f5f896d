//! A set of events against the lock file: what does not match, and what an update makes of it.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use outbox_runtime::support::EventSet;

use super::difference::Difference;
use super::error::{Finding, WireLockError};
use super::event::{EventShapes, shapes_of};
use super::file::{Events, LockFile, Recorded};

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
/// use outbox_testing::wire_lock::{self, EventShapes, WireLockError};
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
    note_alive(&path, set);
    match LockFile::read(&path)? {
        Some(file) => matching(&path, set, findings(&file, set, events)),
        None => Err(WireLockError::NoFile { path }),
    }
}

/// Writes a set of events into the lock file of a folder, and leaves the entries of other sets alone.
///
/// A set that is not in the file takes the place of one that it seems to have been before it was renamed: that has the same events
/// and the same module or the same name, as in `lume::sync::LumeEvent`, and that this program did not ask about.
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
    note_alive(&path, set);
    let left = LockFile::edit(&path, |file| {
        if !file.sets.contains_key(set)
            && let Some(old) = renamed_from(&path, file, set, events)
            && let Some(recorded) = file.sets.remove(&old)
        {
            file.sets.insert(set.to_owned(), recorded);
        }
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

/// Asserts, in a `#[test]`, that the file `outbox.lock` beside `Cargo.toml` describes the metadata of every event of the
/// set as it is, and as it was for the older versions that are still read.
///
/// `OUTBOX_LOCK=update cargo test` writes the file, which is to be checked in. What the lock cannot see is printed as a
/// warning.
///
/// # Panics
///
/// Where a shape changed and its version did not, or the file is missing, incomplete, damaged or cannot be
/// read; the message says what to do.
///
/// # Examples
///
/// ```no_run
/// use outbox_runtime::prelude::*;
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "goal")]
/// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String }
///
/// #[derive(OutboxEvents)]
/// enum LumeEvent {
///     Goal(Event<Goal>),
/// }
///
/// outbox_testing::assert_wire_lock::<LumeEvent>();
/// ```
#[track_caller]
pub fn assert_wire_lock<S: EventSet>() {
    match S::MANIFEST_DIR {
        Some(folder) => assert_in(folder, S::PATH, &shapes_of::<S>()),
        None => panic!("{}", WireLockError::NoFolder),
    }
}

/// Does what [`assert_wire_lock`] does, with the lock file of any folder, for events of any origin.
///
/// # Panics
///
/// Where the lock does not hold.
#[track_caller]
pub fn assert_in(folder: impl AsRef<Path>, set: &str, events: &[EventShapes]) {
    let folder = folder.as_ref();
    for unseen in events.iter().flat_map(EventShapes::unseen) {
        // Not by a macro: what a test that passes prints with those is shown to nobody.
        let _ = writeln!(
            std::io::stderr(),
            "warning: the wire lock of `{set}` does not see {unseen}: a change there is not noticed"
        );
    }
    if let Err(error) = check_or_update(folder, set, events) {
        panic!("{error}");
    }
    for event_type in without_keys(folder, set) {
        let _ = writeln!(
            std::io::stderr(),
            "warning: the wire lock of `{set}` does not have the order and the type of the id of {event_type}: a change there \
             is not noticed; `OUTBOX_LOCK=update cargo test` adds them"
        );
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
    match file.sets.get(set) {
        Some(recorded) => compared(recorded, events),
        // Under another name, all of it is there.
        None if file.sets.values().any(|of| is_same(of, events)) => Vec::new(),
        None => compared(&Events::new(), events),
    }
}

/// Everything in which a set and what is recorded of it do not match.
fn compared(of_set: &Events, events: &[EventShapes]) -> Vec<Finding> {
    let unknown = Recorded::default();
    let mut findings = Vec::new();
    for event in events {
        let event_type = event.event_type().to_owned();
        let known = of_set.get(event.event_type()).unwrap_or(&unknown);
        findings.extend(keys_changed(event, known));
        let recorded = &known.versions;
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
    let is_there = |had: &&String| {
        events
            .iter()
            .any(|event| event.event_type() == had.as_str())
    };
    let vanished = of_set.keys().filter(|had| !is_there(had));
    findings.extend(vanished.map(|event_type| Finding::Vanished {
        event_type: event_type.clone(),
    }));
    findings
}

/// What keeps the events of a type in order, where it is not what is recorded.
fn keys_changed(event: &EventShapes, known: &Recorded) -> impl Iterator<Item = Finding> {
    let changed = |was: &Option<String>, is: Option<&str>| {
        let (was, is) = (was.clone()?, is?.to_owned());
        (was != is).then_some((was, is))
    };
    let event_type = || event.event_type().to_owned();
    let order = changed(&known.order, Some(event.order().as_str()));
    let order = order.map(|(was, is)| Finding::OrderChanged {
        event_type: event_type(),
        was,
        is,
    });
    let id = changed(&known.entity_id, event.entity_id_type().name());
    let id = id.map(|(was, is)| Finding::EntityIdChanged {
        event_type: event_type(),
        was,
        is,
    });
    order.into_iter().chain(id)
}

/// The event types of a set of which the file does not tell what keeps them in order: an older
/// version of this library wrote it.
fn without_keys(folder: &Path, set: &str) -> Vec<String> {
    let Ok(Some(file)) = LockFile::read(&folder.join(FILE_NAME)) else {
        return Vec::new();
    };
    let events = file.sets.get(set).into_iter().flatten();
    let without = events.filter(|(_, recorded)| recorded.order.is_none());
    without.map(|(event_type, _)| event_type.clone()).collect()
}

/// Whether a set is what is recorded of another, and has something to be recorded.
fn is_same(of_set: &Events, events: &[EventShapes]) -> bool {
    !events.is_empty() && compared(of_set, events).is_empty()
}

/// The set of the file that this one was before it was renamed: of the same events, as far as they were recorded, and nobody's.
fn renamed_from(path: &Path, file: &LockFile, set: &str, events: &[EventShapes]) -> Option<String> {
    let is_older = |of_set: &Events| {
        let types: BTreeSet<&str> = events.iter().map(EventShapes::event_type).collect();
        let recorded: BTreeSet<&str> = of_set.keys().map(String::as_str).collect();
        let findings = compared(of_set, events);
        let is_new = |finding: &Finding| matches!(finding, Finding::Unrecorded { .. });
        !types.is_empty() && types == recorded && findings.iter().all(is_new)
    };
    let mut sets = file.sets.iter();
    let old = sets
        .find(|(old, of_set)| may_be_renamed(old, set) && is_older(of_set) && !is_alive(path, old));
    old.map(|(old, _)| old.clone())
}

/// Whether an enum was renamed within its module, or moved to another one. A name that is no path is the caller's own.
fn may_be_renamed(old: &str, new: &str) -> bool {
    match (old.rsplit_once("::"), new.rsplit_once("::")) {
        (Some((old_module, old)), Some((module, new))) => old_module == module || old == new,
        _ => false,
    }
}

/// The sets that this program has asked about, so that they are no earlier names of others.
static ALIVE: Mutex<BTreeSet<(PathBuf, String)>> = Mutex::new(BTreeSet::new());

fn note_alive(path: &Path, set: &str) {
    let mut alive = ALIVE.lock().unwrap_or_else(PoisonError::into_inner);
    alive.insert((path.to_owned(), set.to_owned()));
}

fn is_alive(path: &Path, set: &str) -> bool {
    let alive = ALIVE.lock().unwrap_or_else(PoisonError::into_inner);
    alive.contains(&(path.to_owned(), set.to_owned()))
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
    let of_set = file.sets.entry(set.to_owned()).or_default();
    of_set.retain(|had, _| events.iter().any(|event| event.event_type() == had));
    for event in events {
        let known = of_set.entry(event.event_type().to_owned()).or_default();
        known.order = Some(event.order().as_str().to_owned());
        known.entity_id = event.entity_id_type().name().map(str::to_owned);
        let recorded = &mut known.versions;
        recorded.retain(|version, _| event.shapes.contains_key(version));
        for (version, shape) in &event.shapes {
            let entry = recorded.entry(*version).or_insert_with(|| shape.clone());
            if *version == event.version() {
                entry.clone_from(shape);
            }
        }
    }
}
