//! Compares a set of events with the lock file, and updates it.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use outbox_runtime::support::EventSet;

use super::compare::{compared, of_aliases};
use super::error::{Finding, WireLockError};
use super::event::{EventShapes, shapes_of};
use super::file::{Events, LockFile};

/// The name of the lock file.
///
/// # Examples
///
/// ```
/// use outbox_testing::wire_lock::FILE_NAME;
///
/// assert_eq!(FILE_NAME, "outbox.lock"); // beside the package's `Cargo.toml`, checked in
/// ```
pub const FILE_NAME: &str = "outbox.lock";

/// Compares a set of events with the lock file of a folder.
///
/// `set` is a name that is unique in the file.
///
/// # Errors
///
/// [`WireLockError::Mismatch`] with every difference; other variants if the file is missing,
/// damaged or unreadable.
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use outbox_testing::wire_lock::{self, EventShapes, WireLockError};
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "goal")]
/// # struct Goal {
/// #     #[outbox(entity_id)] id: i64,
/// #     #[outbox(user_id)] user_id: String,
/// #     #[outbox(metadata)] title: String,
/// # }
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
    note_checked(&path, set);
    match LockFile::read(&path)? {
        Some(file) => matching(&path, set, findings(&file, set, events)),
        None => Err(WireLockError::NoFile { path }),
    }
}

/// Writes a set of events into the lock file of a folder, and leaves the entries of other sets
/// unchanged.
///
/// A set that is not in the file replaces the entry of a set that appears to be its previous name:
/// one that has the same events and the same module or the same name, as in
/// `lume::sync::LumeEvent`, and that this program has not checked.
///
/// Recorded shapes of older versions are never overwritten: they describe existing rows.
///
/// # Errors
///
/// [`WireLockError::Mismatch`] if the type for an older version does not have its recorded shape;
/// other variants if the file is damaged, unreadable or not writable.
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use outbox_testing::wire_lock::{self, EventShapes};
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "goal")]
/// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// wire_lock::update(folder, "goals", &[EventShapes::of::<Goal>()])?;
/// assert!(folder.join(wire_lock::FILE_NAME).exists());
/// # Ok(())
/// # }
/// ```
pub fn update(
    folder: impl AsRef<Path>,
    set: &str,
    events: &[EventShapes],
) -> Result<(), WireLockError> {
    let path = folder.as_ref().join(FILE_NAME);
    note_checked(&path, set);
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

/// Calls [`update`] if the environment variable `OUTBOX_LOCK` is `update`, and [`check`] if it is
/// unset or empty.
///
/// # Errors
///
/// The errors of either, and [`WireLockError::UnknownMode`] if `OUTBOX_LOCK` has another value.
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use outbox_testing::wire_lock::{self, EventShapes};
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "goal")]
/// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// // As a test of several sets does it; with `OUTBOX_LOCK=update` it writes the file.
/// let checked = wire_lock::check_or_update(folder, "goals", &[EventShapes::of::<Goal>()]);
/// # drop(checked);
/// # Ok(())
/// # }
/// ```
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

/// Asserts, in a `#[test]`, that the file `outbox.lock` beside `Cargo.toml` describes the metadata
/// of every event of the set: its current version, and the older versions that are still read.
///
/// `OUTBOX_LOCK=update cargo test` writes the file; check it in. Whatever the lock cannot see is
/// printed as a warning.
///
/// # Panics
///
/// If a shape changed without its version, or if the file is missing, incomplete, damaged or
/// unreadable. The message says what to do.
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

/// Like [`assert_wire_lock`], with the lock file of any folder and events from any source.
///
/// # Panics
///
/// If the check fails.
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use outbox_testing::wire_lock::{self, EventShapes};
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "goal")]
/// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// # wire_lock::update(folder, "goals", &[EventShapes::of::<Goal>()])?;
/// wire_lock::assert_in(folder, "goals", &[EventShapes::of::<Goal>()]);
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn assert_in(folder: impl AsRef<Path>, set: &str, events: &[EventShapes]) {
    let folder = folder.as_ref();
    for unseen in events.iter().flat_map(EventShapes::unseen) {
        // Not `eprintln!`: its output is captured and hidden when the test passes.
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

/// All differences between the set and the file.
fn findings(file: &LockFile, set: &str, events: &[EventShapes]) -> Vec<Finding> {
    match file.sets.get(set) {
        Some(recorded) => compared(recorded, events),
        // The file has the same events under another name.
        None if file.sets.values().any(|of| is_same(of, events)) => Vec::new(),
        None => compared(&Events::new(), events),
    }
}

/// The event types of a set whose entries have no order and id type, because an older version of
/// this library wrote them.
fn without_keys(folder: &Path, set: &str) -> Vec<String> {
    let Ok(Some(file)) = LockFile::read(&folder.join(FILE_NAME)) else {
        return Vec::new();
    };
    let events = file.sets.get(set).into_iter().flatten();
    let without = events.filter(|(_, recorded)| recorded.order.is_none());
    without.map(|(event_type, _)| event_type.clone()).collect()
}

/// Whether a set equals the recorded events of another, and has any events.
fn is_same(of_set: &Events, events: &[EventShapes]) -> bool {
    !events.is_empty() && compared(of_set, events).is_empty()
}

/// The previous name of a renamed set: an entry of the same events that no set of this program
/// uses.
fn renamed_from(path: &Path, file: &LockFile, set: &str, events: &[EventShapes]) -> Option<String> {
    let is_older = |of_set: &Events| {
        let is_recorded =
            |event: &EventShapes| event.is_retired() || of_set.contains_key(event.event_type());
        let is_known = |had: &String| events.iter().any(|event| event.is_stored_as(had));
        let findings = compared(of_set, events);
        let is_new = |finding: &Finding| matches!(finding, Finding::Unrecorded { .. });
        let has_same_types = events.iter().all(is_recorded) && of_set.keys().all(is_known);
        !events.is_empty() && has_same_types && findings.iter().all(is_new)
    };
    let mut sets = file.sets.iter();
    let old = sets.find(|(old, of_set)| {
        may_be_renamed(old, set) && is_older(of_set) && !is_checked(path, old)
    });
    old.map(|(old, _)| old.clone())
}

/// Whether an enum may have been renamed within its module, or moved to another one. A name without
/// a path is the caller's own and never matches.
fn may_be_renamed(old: &str, new: &str) -> bool {
    match (old.rsplit_once("::"), new.rsplit_once("::")) {
        (Some((old_module, old)), Some((module, new))) => old_module == module || old == new,
        _ => false,
    }
}

/// The sets that this program has checked: none of them is the previous name of another.
static CHECKED: Mutex<BTreeSet<(PathBuf, String)>> = Mutex::new(BTreeSet::new());

fn note_checked(path: &Path, set: &str) {
    let mut checked = CHECKED.lock().unwrap_or_else(PoisonError::into_inner);
    checked.insert((path.to_owned(), set.to_owned()));
}

fn is_checked(path: &Path, set: &str) -> bool {
    let checked = CHECKED.lock().unwrap_or_else(PoisonError::into_inner);
    checked.contains(&(path.to_owned(), set.to_owned()))
}

/// Writes the set into the file, except where it contradicts the recorded shapes of older versions.
fn record(file: &mut LockFile, set: &str, events: &[EventShapes]) {
    let of_set = file.sets.entry(set.to_owned()).or_default();
    of_set.retain(|had, _| events.iter().any(|event| event.is_stored_as(had)));
    for event in events.iter().filter(|event| !event.is_retired()) {
        note_keys_of_aliases(of_set, event);
        if !of_aliases(event, of_set).is_empty() {
            // A shape that contradicts the rows of an older name is not that of a new one.
            continue;
        }
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

/// Accepts the order and the id type of an event for its older names, whose shapes stay: they
/// describe existing rows.
fn note_keys_of_aliases(of_set: &mut Events, event: &EventShapes) {
    for alias in event.aliases() {
        if let Some(known) = of_set.get_mut(*alias) {
            known.order = Some(event.order().as_str().to_owned());
            known.entity_id = event.entity_id_type().name().map(str::to_owned);
            known
                .versions
                .retain(|version, _| event.shapes.contains_key(version));
        }
    }
}
