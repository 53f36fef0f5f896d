//! A file of records, one JSON line each: appended by many processes, and read while they run.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The writing end.
#[derive(Debug)]
pub struct Appended<R>(File, PhantomData<fn(&R)>);

impl<R: Serialize> Appended<R> {
    /// Opens the file for append, and creates it if it is missing.
    ///
    /// # Panics
    ///
    /// If it cannot be opened.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        let file = OpenOptions::new().append(true).create(true).open(path);
        let file = file.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self(file, PhantomData)
    }

    /// Appends one record with one `write(2)`, so that no other process tears it and it survives
    /// this process.
    ///
    /// # Panics
    ///
    /// If it cannot be written whole.
    pub fn write(&self, record: &R) {
        let mut line = serde_json::to_vec(record).expect("a record is JSON");
        line.push(b'\n');
        let written = (&self.0).write(&line).expect("the ledger is writable");
        assert_eq!(written, line.len(), "a record was written only in part");
    }
}

/// Reads the records after this byte offset, oldest first, and advances the offset past them.
/// Leaves out a line that is only partly written.
///
/// # Panics
///
/// If a line is not a record.
#[must_use]
pub fn read_from<R: DeserializeOwned>(path: &Path, offset: &mut u64) -> Vec<R> {
    let mut text = String::new();
    // The file is missing until somebody writes.
    if let Ok(mut file) = File::open(path) {
        file.seek(SeekFrom::Start(*offset))
            .expect("the test's own file is readable");
        file.read_to_string(&mut text)
            .expect("the test's own file is readable");
    }
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    *offset += whole.len() as u64;
    whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}
