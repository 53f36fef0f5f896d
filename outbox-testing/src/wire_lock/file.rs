//! The lock file: its format, and concurrent updates that lose no entries.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::WireLockError;
use super::shape::Shape;

/// The format that is written. A later format gets the next number.
const FORMAT: u32 = 3;
const ABOUT: &str = "The shapes of outbox metadata, by set, event type and version, with what keeps events in order. Written \
                     by `OUTBOX_LOCK=update cargo test`: check it in, and do not edit it.";

/// The content of a lock file. Sorted, so equal content is equal text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a lock file is an object")]
pub(super) struct LockFile {
    about: String,
    format: u32,
    /// Each set has its own events: two sets may have the same event type with different metadata.
    pub(super) sets: BTreeMap<String, Events>,
}

/// The recorded events of a set, by event type.
pub(super) type Events = BTreeMap<String, Recorded>;

/// The shapes of one event type, by version.
type Versions = BTreeMap<u32, Shape>;

/// The record of an event type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recorded {
    /// The order, which determines the events that wait for each other. Older formats lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) order: Option<String>,
    /// The type of the entity's ids. Older formats lack it, and so do manually written entities.
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

/// The first format, in which the sets shared their events.
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

/// The second format, which has only the shapes.
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
    /// Reads the file, if it exists.
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

    /// Writes a new file and renames it into place, so readers see either the old or the new
    /// content.
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
            // The leftover is harmless, and the first error is the one to report.
            let _ = fs::remove_file(&new);
            fault("write", path, error)
        })
    }

    /// Changes the file under an exclusive lock. Creates it if it does not exist.
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

/// Waits until no other thread or process edits the file, and locks it until the guard is dropped.
///
/// The lock is on a separate file in the temporary directory: every write replaces the lock file
/// itself, and a file beside it could end up in version control.
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
