//! From the file into the app: each line is saved, enqueued and ticked off in one transaction.

use std::path::PathBuf;

use anyhow::Context;
use outbox_runtime::rusqlite::{Connection, OptionalExtension};
use outbox_runtime::{BoxError, SqliteStore};
use thiserror::Error;
use tokio::sync::watch;

use crate::app::MoodEntry;
use crate::feed::{Change, Content, Feed, Line};

/// Takes in a feed, every line exactly once, however many runs that takes.
#[derive(Debug)]
pub(crate) struct Intake {
    store: SqliteStore,
    /// The last line that was taken in.
    done: u64,
}

/// A line cannot be taken in.
#[derive(Debug, Error)]
enum IntakeError {
    #[error(
        "this folder was filled from another input ({}, or an earlier version of it); \
         give that --input again, take another --dir, or start over with --fresh",
        .0.display()
    )]
    OtherInput(PathBuf),
    #[error("line {0} was taken in by somebody else meanwhile")]
    NotNext(u64),
    #[error("the entry is not in the app's table")]
    Missing,
}

impl Intake {
    /// Finds out how far earlier runs came with this feed.
    pub(crate) async fn open(store: &SqliteStore, feed: &Feed) -> anyhow::Result<Self> {
        let (checksum, path) = (feed.checksum.clone(), feed.path.clone());
        let done = store
            .transaction(move |tx| {
                MoodEntry::create_table(tx)?;
                open_progress(tx, &checksum, &path.to_string_lossy())
            })
            .await?;
        Ok(Self {
            store: store.clone(),
            done,
        })
    }

    /// The last line that was taken in; 0 before the first.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// Takes in what is left, and tells `taken` the number of lines that are.
    pub(crate) async fn run(self, feed: &Feed, taken: &watch::Sender<usize>) -> anyhow::Result<()> {
        let mut done = self.done;
        for (count, line) in (1..).zip(&feed.lines) {
            if line.number > done {
                let (previous, next) = (done, line.clone());
                self.store
                    .transaction(move |tx| take_in(tx, &next, previous))
                    .await
                    .with_context(|| format!("{}, line {}", feed.path.display(), line.number))?;
                done = line.number;
            }
            taken.send_replace(count);
        }
        Ok(())
    }
}

/// The heart of the example: the entity, its event and the progress are in one transaction, so a process that is killed
/// here leaves all three behind, or none.
fn take_in(tx: &Connection, line: &Line, previous: u64) -> Result<(), BoxError> {
    match &line.change {
        Change::Create(content) => {
            let entry = entry(line, content);
            entry.save(tx)?;
            entry.enqueue_sync().on(tx)?;
        }
        Change::Update(content) => {
            let entry = entry(line, content);
            entry.save(tx)?;
            entry.enqueue_update().on(tx)?;
        }
        Change::Delete => {
            let stored = MoodEntry::load(tx, line.id)?.ok_or(IntakeError::Missing)?;
            stored.delete(tx)?;
            let last_words = MoodEntry {
                line: line.number,
                ..stored
            };
            last_words.enqueue_delete().on(tx)?;
        }
    }
    tick_off(tx, line.number, previous)
}

fn entry(line: &Line, content: &Content) -> MoodEntry {
    MoodEntry {
        id: line.id,
        user_id: line.user.clone(),
        valence: content.valence,
        labels: content.labels.clone(),
        logged_at: content.logged_at.clone(),
        line: line.number,
        notes: content.notes.clone(),
    }
}

fn open_progress(tx: &Connection, checksum: &str, input: &str) -> Result<u64, BoxError> {
    tx.execute_batch(
        "CREATE TABLE IF NOT EXISTS feed_progress (
            one      INTEGER PRIMARY KEY CHECK (one = 1),
            input    TEXT NOT NULL,
            checksum TEXT NOT NULL,
            line     INTEGER NOT NULL
        ) STRICT",
    )?;
    let stored: Option<(String, String, i64)> = tx
        .query_row(
            "SELECT input, checksum, line FROM feed_progress",
            (),
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .optional()?;
    match stored {
        None => {
            tx.execute(
                "INSERT INTO feed_progress VALUES (1, ?1, ?2, 0)",
                (input, checksum),
            )?;
            Ok(0)
        }
        // Where the file lies does not matter: what it says does.
        Some((_, stored, line)) if stored == checksum => Ok(u64::try_from(line)?),
        Some((input, ..)) => Err(IntakeError::OtherInput(input.into()).into()),
    }
}

/// Compares before it sets: if somebody else took in the line, this transaction must not.
fn tick_off(tx: &Connection, line: u64, previous: u64) -> Result<(), BoxError> {
    let mut update = tx.prepare_cached("UPDATE feed_progress SET line = ?1 WHERE line = ?2")?;
    match update.execute((i64::try_from(line)?, i64::try_from(previous)?))? {
        1 => Ok(()),
        _ => Err(IntakeError::NotNext(line).into()),
    }
}
