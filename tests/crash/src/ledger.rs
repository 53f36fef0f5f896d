//! The ledger: a file of its own, opened for append, one `write(2)` a record, never in the database under test.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One thing that a worker did or was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// The store is open; what comes now is work.
    Opened {
        /// Which process.
        process: u32,
    },
    /// An event is about to be enqueued.
    Intended {
        /// Its id.
        event: Uuid,
        /// Whose it is.
        user: String,
        /// Of which entity.
        entity: i64,
        /// Its place among all of its producer's.
        number: u32,
    },
    /// The store said that it is enqueued.
    Acknowledged {
        /// Its id.
        event: Uuid,
    },
    /// The store said that it is not, or that it does not know.
    Refused {
        /// Its id.
        event: Uuid,
        /// The kind of the error.
        kind: String,
        /// Whether the error said that the outcome is unknown.
        unknown: bool,
        /// The error's text.
        text: String,
    },
    /// A handler has the event.
    Started {
        /// Its id.
        event: Uuid,
        /// The key under which it is sent.
        key: Uuid,
        /// Whose it is.
        user: String,
        /// Of which entity.
        entity: i64,
        /// Its place among all of its producer's.
        number: u32,
        /// Which attempt it is, as the event says.
        attempt: u32,
        /// In how many attempts in a row a process had died before, as the event says: they take no attempt.
        crashes: u32,
        /// In which process.
        process: u32,
    },
    /// The handler is about to answer.
    Answered {
        /// Its id.
        event: Uuid,
        /// Which attempt it was.
        attempt: u32,
        /// What it answers.
        answer: Answer,
    },
    /// Something failed beside the events: opening, stopping, asking.
    Failed {
        /// What was asked.
        operation: String,
        /// The kind of the error.
        kind: String,
        /// The error's text.
        text: String,
    },
    /// How many statements the store has run, and for how long the worker has been at it.
    Statements {
        /// So many.
        count: u64,
        /// In so many milliseconds.
        millis: u64,
        /// Seconds since 1970, as the process sees it.
        wall: i64,
    },
    /// Nothing is left that could be delivered.
    Drained,
    /// A signal to end came; the run is being stopped.
    Stopping,
    /// The run was stopped.
    Stopped {
        /// Handlers that answered meanwhile.
        finished: usize,
        /// Events that were given back.
        given_back: usize,
    },
}

/// What a handler answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Delivered.
    Ok,
    /// Try again.
    Retry,
    /// Never.
    Reject,
    /// Later, and it was no attempt.
    Snooze,
}

/// The writing end.
#[derive(Debug)]
pub struct Ledger(File);

impl Ledger {
    /// Opens for append, creating the file where it is not there.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        let file = OpenOptions::new().append(true).create(true).open(path);
        Self(file.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    /// Appends one record with one `write(2)`: another process never tears it, and it outlives this one.
    pub fn write(&self, record: &Record) {
        let mut line = serde_json::to_vec(record).expect("a record is JSON");
        line.push(b'\n');
        let written = (&self.0).write(&line).expect("the ledger can be written");
        assert_eq!(written, line.len(), "the ledger took a part of a record");
    }
}

/// Every record so far, oldest first. A line that is being written just now is left out.
#[must_use]
pub fn read(path: &Path) -> Vec<Record> {
    read_from(path, &mut 0)
}

/// The records behind this many bytes, which then are behind as many more.
///
/// # Panics
///
/// Where a line is no record.
#[must_use]
pub fn read_from(path: &Path, offset: &mut u64) -> Vec<Record> {
    let mut text = String::new();
    // No worker may have written anything yet.
    if let Ok(mut file) = File::open(path) {
        file.seek(SeekFrom::Start(*offset))
            .expect("a file of the test's");
        file.read_to_string(&mut text)
            .expect("a file of the test's");
    }
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    *offset += whole.len() as u64;
    whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}
