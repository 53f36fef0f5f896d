//! The lock file: its form, and how several tests at once write it without losing each other's entries.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::WireLockError;
use super::shape::Shape;

/// The form that is written. A later one gets the next number.
const FORMAT: u32 = 3;
const ABOUT: &str = "The shapes of outbox metadata, by set, event type and version, with what keeps events in order. Written \
                     by `OUTBOX_LOCK=update cargo test`: check it in, and do not edit it.";

/// What a lock file says. Sorted, so that the same content is the same text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a lock file is an object")]
pub(super) struct LockFile {
    about: String,
    format: u32,
    /// Each set has its own: two sets may have one event type with different metadata.
    pub(super) sets: BTreeMap<String, Events>,
}

/// What is known of a set's events, by event type.
pub(super) type Events = BTreeMap<String, Recorded>;

/// The shapes of one event type, by version.
type Versions = BTreeMap<u32, Shape>;

/// What is known of an event type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recorded {
    /// Which events wait for each other, as a word. Older formats do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) order: Option<String>,
    /// What the ids of the entity are. Older formats, and entities that are written by hand, do not
    /// tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) entity_id: Option<String>,
    pub(super) versions: Versions,
}

impl From<Versions> for Recorded {
    fn from(versions: Versions) -> Self {
        Self {
            versions,
            ..Self::default()
        }
    }
}

/// A file of the first format, in which the sets shared their events.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a lock file is an object")]
struct FirstFormat {
    #[serde(rename = "about")]
    _about: String,
    #[serde(rename = "format")]
    _format: u32,
    sets: BTreeMap<String, BTreeSet<String>>,
    events: BTreeMap<String, Versions>,
}

/// One of the second, which has the shapes alone.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a lock file is an object")]
struct SecondFormat {
    #[serde(rename = "about")]
    _about: String,
    #[serde(rename = "format")]
    _format: u32,
    sets: BTreeMap<String, BTreeMap<String, Versions>>,
}

impl From<SecondFormat> for LockFile {
    fn from(second: SecondFormat) -> Self {
        let recorded = |(event_type, versions): (String, Versions)| (event_type, versions.into());
        let of_set = |(set, events): (String, BTreeMap<String, Versions>)| {
            (set, events.into_iter().map(recorded).collect())
        };
        Self {
            sets: second.sets.into_iter().map(of_set).collect(),
            ..Self::default()
        }
    }
}

impl From<FirstFormat> for LockFile {
    fn from(first: FirstFormat) -> Self {
        let of_set = |types: BTreeSet<String>| -> Events {
            let shapes = types.into_iter();
            shapes
                .filter_map(|event_type| {
                    let shapes = first.events.get(&event_type)?.clone();
                    Some((event_type, shapes.into()))
                })
                .collect()
        };
        let sets = first.sets.into_iter();
        Self {
            sets: sets.map(|(set, types)| (set, of_set(types))).collect(),
            ..Self::default()
        }
    }
}

impl Default for LockFile {
    fn default() -> Self {
        Self {
            about: ABOUT.to_owned(),
            format: FORMAT,
            sets: BTreeMap::new(),
        }
    }
}

impl LockFile {
    /// Reads the file, if it is there.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, WireLockError> {
        #[derive(Deserialize)]
        #[serde(expecting = "a lock file is an object")]
        struct Format {
            format: u32,
        }
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fault("read", path, error)),
        };
        let damaged = |error: serde_json::Error| WireLockError::Damaged {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        let Format { format } = serde_json::from_str(&text).map_err(damaged)?;
        if format > FORMAT {
            return Err(WireLockError::NewerFormat {
                path: path.to_owned(),
                found: format,
                known: FORMAT,
            });
        }
        let file = match format {
            1 => serde_json::from_str::<FirstFormat>(&text).map(Self::from),
            2 => serde_json::from_str::<SecondFormat>(&text).map(Self::from),
            _ => serde_json::from_str(&text),
        };
        file.map(Some).map_err(damaged)
    }

    /// Writes the file beside itself and puts it in place, so that whoever reads sees all of it or what was before.
    fn write(&self, path: &Path) -> Result<(), WireLockError> {
        let mut text =
            serde_json::to_vec_pretty(self).map_err(|error| fault("write", path, error.into()))?;
        text.push(b'\n');
        let new = path.with_extension("lock.new");
        let write = || {
            let mut file = File::create(&new)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&new, path)
        };
        write().map_err(|error| {
            // What is left of it is in nobody's way, and the first error is the one to tell.
            let _ = fs::remove_file(&new);
            fault("write", path, error)
        })
    }

    /// Changes the file while nobody else does; one that is not there is made.
    pub(super) fn edit<T>(
        path: &Path,
        change: impl FnOnce(&mut Self) -> T,
    ) -> Result<T, WireLockError> {
        let guard = guard(path)?;
        let before = Self::read(path)?;
        let mut after = before.clone().unwrap_or_default();
        let result = change(&mut after);
        if before.as_ref() != Some(&after) {
            after.write(path)?;
        }
        drop(guard);
        Ok(result)
    }
}

/// Waits until no other thread or process edits the file, and holds it until it is dropped.
///
/// The lock is on a file of its own in the temporary directory: the lock file itself is replaced by every write, and
/// one beside it would end up in somebody's version control.
fn guard(path: &Path) -> Result<File, WireLockError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let folder = folder
        .canonicalize()
        .map_err(|error| fault("find", folder, error))?;
    let mut hasher = DefaultHasher::new();
    folder.hash(&mut hasher);
    let guard: PathBuf =
        std::env::temp_dir().join(format!("outbox-wire-lock-{:016x}", hasher.finish()));
    let locked = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(&guard)
        .and_then(|file| file.lock().map(|()| file));
    locked.map_err(|error| fault("lock", &guard, error))
}

fn fault(action: &'static str, path: &Path, source: std::io::Error) -> WireLockError {
    WireLockError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}
