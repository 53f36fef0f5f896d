//! An append-only file of JSON lines, one `write(2)` per record.
//!
//! A killed process leaves a whole record or, at worst, a torn last line, which is cut off on
//! opening. Nothing is synced: the data survives this process but not a power failure, which is out
//! of scope here.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A file, open for appending.
#[derive(Debug)]
pub(super) struct JsonLines<T> {
    file: File,
    /// The length, to undo a partial write.
    len: u64,
    records: PhantomData<fn(&T)>,
}

impl<T: Serialize + DeserializeOwned> JsonLines<T> {
    /// Opens or creates the file, cuts off a torn last line, and returns the content.
    pub(super) fn open(path: &Path) -> anyhow::Result<(Self, Vec<T>)> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        let bytes = read_bytes(path)?;
        let whole = whole_lines(&bytes);
        let len = whole.len() as u64;
        file.set_len(len)
            .with_context(|| format!("cannot cut the torn last line off {}", path.display()))?;
        let lines = Self {
            file,
            len,
            records: PhantomData,
        };
        Ok((lines, parse(path, whole)?))
    }

    /// Appends a record. A failure leaves the file unchanged.
    pub(super) fn append(&mut self, record: &T) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        let written = self.file.write(&line);
        if let Ok(written) = written
            && written == line.len()
        {
            self.len += line.len() as u64;
            return Ok(());
        }
        self.file.set_len(self.len)?;
        Err(written
            .err()
            .unwrap_or_else(|| io::ErrorKind::WriteZero.into()))
    }
}

/// The current content of a file.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Vec<T>> {
    let bytes = read_bytes(path)?;
    parse(path, whole_lines(&bytes))
}

fn read_bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn whole_lines(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    &bytes[..end.map_or(0, |newline| newline + 1)]
}

fn parse<T: DeserializeOwned>(path: &Path, whole: &[u8]) -> anyhow::Result<Vec<T>> {
    let lines = whole.split_inclusive(|byte| *byte == b'\n');
    let records = (1..).zip(lines).map(|(number, line)| {
        serde_json::from_slice(line).with_context(|| {
            let path: PathBuf = path.to_owned();
            format!(
                "{}, line {number}: not a record of this server",
                path.display()
            )
        })
    });
    records.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_last_line_is_cut_off_and_the_next_record_stands_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n.jsonl");
        std::fs::write(&path, "1\n2\n3").unwrap();
        let (mut lines, records) = JsonLines::<u32>::open(&path).unwrap();
        assert_eq!(records, [1, 2]);
        lines.append(&4).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n2\n4\n");
        assert_eq!(read::<u32>(&path).unwrap(), [1, 2, 4]);
    }

    #[test]
    fn damage_inside_is_named_and_not_repaired() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n.jsonl");
        std::fs::write(&path, "1\nx\n3\n").unwrap();
        let error = JsonLines::<u32>::open(&path).unwrap_err();
        assert!(error.to_string().contains("n.jsonl, line 2"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\nx\n3\n");
    }
}
