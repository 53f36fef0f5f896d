//! The input: mood entries as JSON lines, read and checked as a whole before use.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;
use uuid::Uuid;

use crate::hash::fnv1a;

/// A file of changes, in the order in which they happened.
#[derive(Debug)]
pub(crate) struct Feed {
    /// The path of the file.
    pub(crate) path: PathBuf,
    /// A hash of the content.
    pub(crate) checksum: String,
    /// The changes.
    pub(crate) lines: Vec<Line>,
}

/// A change of an entry.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    /// The line number, from 1.
    pub(crate) number: u64,
    /// The entry.
    pub(crate) id: Uuid,
    /// The owner.
    pub(crate) user: String,
    /// The change.
    pub(crate) change: Change,
}

/// A kind of change.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// A creation.
    Create(Content),
    /// An update.
    Update(Content),
    /// A deletion.
    Delete,
}

/// The content of an entry.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Content {
    /// The valence.
    pub(crate) valence: f64,
    /// The feelings by name.
    pub(crate) labels: Vec<String>,
    /// The time, RFC 3339.
    pub(crate) logged_at: String,
    /// Private notes.
    pub(crate) notes: Option<String>,
}

/// The input is unusable. None of its lines had an effect.
#[derive(Debug, Error)]
pub(crate) enum FeedError {
    /// The file is missing or unreadable.
    #[error("cannot read the input {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A line is malformed.
    #[error("{}, line {line}: not a change of a mood entry: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The parser's error.
        reason: String,
    },
    /// A line is well-formed but impossible.
    #[error("{}, line {line}: {fault}", path.display())]
    Impossible {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The reason.
        fault: Fault,
    },
}

/// The reason why a change is impossible.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum Fault {
    /// A creation of an existing entry.
    #[error("entry {0} is created although it exists already")]
    Exists(Uuid),
    /// An update or deletion of a missing entry.
    #[error("entry {0} is changed although no earlier line created it, or one deleted it")]
    Missing(Uuid),
    /// A change by another user.
    #[error("entry {id} belongs to {owner:?}, not to {user:?}")]
    NotTheirs {
        /// The entry.
        id: Uuid,
        /// The user who created it.
        owner: String,
        /// The user who changes it.
        user: String,
    },
}

impl Feed {
    /// Reads and checks the whole file.
    pub(crate) fn read(path: &Path) -> Result<Self, FeedError> {
        let bytes = std::fs::read(path).map_err(|source| FeedError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            checksum: format!("{:016x}-{}", fnv1a(&bytes), bytes.len()),
            lines: lines(path, &bytes)?,
        })
    }
}

/// The format of a line.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Written {
    Create(Whole),
    Update(Whole),
    Delete(Reference),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    id: Uuid,
    user: String,
    valence: f64,
    labels: Vec<String>,
    logged_at: String,
    notes: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reference {
    id: Uuid,
    user: String,
}

fn lines(path: &Path, bytes: &[u8]) -> Result<Vec<Line>, FeedError> {
    let mut lives = Lives::default();
    let mut lines = Vec::new();
    for (number, text) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        if text.trim_ascii().is_empty() {
            continue;
        }
        let written = serde_json::from_slice(text).map_err(|error| FeedError::Malformed {
            path: path.to_owned(),
            line: number,
            reason: reason(&error),
        })?;
        let line = Line::new(number, written);
        lives.live(&line).map_err(|fault| FeedError::Impossible {
            path: path.to_owned(),
            line: number,
            fault,
        })?;
        lines.push(line);
    }
    Ok(lines)
}

/// The parser saw a single line, so only the column of its error is meaningful.
fn reason(error: &serde_json::Error) -> String {
    let (text, column) = (error.to_string(), error.column());
    let place = format!(" at line {} column {column}", error.line());
    match text.strip_suffix(&place) {
        Some(what) if column > 0 => format!("{what}, at column {column}"),
        Some(what) => what.to_owned(),
        None => text,
    }
}

impl Line {
    fn new(number: u64, written: Written) -> Self {
        let (reference, change) = match written {
            Written::Create(whole) => whole.split(Change::Create),
            Written::Update(whole) => whole.split(Change::Update),
            Written::Delete(reference) => (reference, Change::Delete),
        };
        Self {
            number,
            id: reference.id,
            user: reference.user,
            change,
        }
    }
}

impl Whole {
    fn split(self, change: fn(Content) -> Change) -> (Reference, Change) {
        let content = Content {
            valence: self.valence,
            labels: self.labels,
            logged_at: self.logged_at,
            notes: self.notes,
        };
        let (id, user) = (self.id, self.user);
        (Reference { id, user }, change(content))
    }
}

/// The owners and the existence of entries, line by line.
#[derive(Default)]
struct Lives(HashMap<Uuid, Life>);

struct Life {
    owner: String,
    exists: bool,
}

impl Lives {
    fn live(&mut self, line: &Line) -> Result<(), Fault> {
        let creates = matches!(line.change, Change::Create(_));
        let life = self.0.entry(line.id).or_insert_with(|| Life {
            owner: line.user.clone(),
            exists: false,
        });
        if life.owner != line.user {
            return Err(Fault::NotTheirs {
                id: line.id,
                owner: life.owner.clone(),
                user: line.user.clone(),
            });
        }
        match (life.exists, creates) {
            (true, true) => Err(Fault::Exists(line.id)),
            (false, false) => Err(Fault::Missing(line.id)),
            _ => {
                life.exists = line.change != Change::Delete;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "12fe8eac-1130-48cd-bf82-970d0e592c48";

    fn parse(text: &str) -> Result<Vec<Line>, FeedError> {
        lines(Path::new("moods.jsonl"), text.as_bytes())
    }

    fn create(user: &str) -> String {
        format!(
            r#"{{"op":"create","id":"{ID}","user":"{user}","valence":0.5,"labels":[],"logged_at":"2026-03-01T06:30:00Z"}}"#
        )
    }

    fn delete(user: &str) -> String {
        format!(r#"{{"op":"delete","id":"{ID}","user":"{user}"}}"#)
    }

    fn fault(text: &str) -> (u64, Fault) {
        match parse(text) {
            Err(FeedError::Impossible { line, fault, .. }) => (line, fault),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_changes_and_skips_blank_lines() {
        let text = format!("{}\n\n{}\n", create("ada"), delete("ada"));
        let lines = parse(&text).unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1].number, 3);
        assert_eq!(lines[1].change, Change::Delete);
    }

    #[test]
    fn a_malformed_line_is_named_with_its_file_and_line() {
        let renamed = create("ada").replace("\"create\"", "\"merge\"");
        let misspelt = create("ada").replace("valence", "valance");
        let extra = delete("ada").replace("}", ",\"why\":1}");
        for bad in ["{", renamed.as_str(), misspelt.as_str(), extra.as_str()] {
            let error = parse(&format!("{}\n{bad}", create("ada"))).unwrap_err();
            assert!(
                error.to_string().contains("moods.jsonl, line 2"),
                "{bad}: {error}"
            );
        }
    }

    #[test]
    fn impossible_changes_are_refused() {
        let id = ID.parse().unwrap();
        assert_eq!(fault(&delete("ada")), (1, Fault::Missing(id)));
        let twice = format!("{}\n{}", create("ada"), create("ada"));
        assert_eq!(fault(&twice), (2, Fault::Exists(id)));
        let stolen = format!("{}\n{}", create("ada"), delete("eve"));
        assert!(matches!(fault(&stolen), (2, Fault::NotTheirs { .. })));
    }
}
