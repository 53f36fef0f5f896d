//! Intake: each line is saved, enqueued and checked off in one transaction.

use anyhow::{Context, bail};
use outbox_runtime::SqliteStore;
use outbox_runtime::rusqlite::{self, Connection};
use outbox_runtime::store::BoxError;
use thiserror::Error;
use tokio::sync::watch;

use crate::app::MoodEntry;
use crate::feed::{Change, Content, Feed, Line};

/// Takes in a feed, every line exactly once, over any number of runs.
#[derive(Debug)]
pub(crate) struct Intake {
    store: SqliteStore,
    /// The last line taken in.
    done: u64,
}

/// The reason why a line is refused.
#[derive(Debug, Error)]
enum IntakeError {
    #[error("another process has taken it in")]
    NotNext,
    #[error("the entry is not in the app's table")]
    Missing,
}

impl Intake {
    /// Reads the progress of earlier runs with this feed.
    pub(crate) async fn open(store: &SqliteStore, feed: &Feed) -> anyhow::Result<Self> {
        let beginning = Progress {
            input: feed.path.to_string_lossy().into_owned(),
            checksum: feed.checksum.clone(),
            line: 0,
        };
        let progress = store
            .transaction(move |tx| {
                MoodEntry::create_table(tx)?;
                Ok(Progress::open(tx, beginning)?)
            })
            .await?;
        // The content identifies the file, not its path.
        if progress.checksum != feed.checksum {
            bail!(
                "this folder was filled from another input ({}, as it was then); give that --input again, take another \
                 --dir, or start over with --fresh",
                progress.input
            );
        }
        Ok(Self {
            store: store.clone(),
            done: u64::try_from(progress.line)?,
        })
    }

    /// The last line taken in; 0 before the first.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// Takes in the remaining lines, and reports the count to `taken`.
    pub(crate) async fn run(self, feed: &Feed, taken: &watch::Sender<usize>) -> anyhow::Result<()> {
        let mut done = self.done;
        for (count, line) in (1..).zip(&feed.lines) {
            if line.number > done {
                let (previous, next) = (done, line.clone());
                self.store
                    .transaction(move |tx| apply_line(tx, &next, previous))
                    .await
                    .with_context(|| format!("{}, line {}", feed.path.display(), line.number))?;
                done = line.number;
            }
            taken.send_replace(count);
        }
        Ok(())
    }
}

/// The heart of the example: the entity, its event and the progress share one transaction, so a
/// process that is killed here leaves all three or none.
fn apply_line(tx: &Connection, line: &Line, previous: u64) -> Result<(), BoxError> {
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

/// The progress of a feed: the only row of its table.
#[derive(Debug)]
struct Progress {
    input: String,
    checksum: String,
    line: i64,
}

impl Progress {
    /// Reads the row, and creates it from `beginning` if missing.
    fn open(tx: &Connection, beginning: Self) -> rusqlite::Result<Self> {
        tx.execute_batch(
            "CREATE TABLE IF NOT EXISTS feed_progress (
                one      INTEGER PRIMARY KEY CHECK (one = 1),
                input    TEXT NOT NULL,
                checksum TEXT NOT NULL,
                line     INTEGER NOT NULL
            ) STRICT",
        )?;
        tx.execute(
            "INSERT INTO feed_progress VALUES (1, ?1, ?2, ?3) ON CONFLICT DO NOTHING",
            (beginning.input, beginning.checksum, beginning.line),
        )?;
        tx.query_row(
            "SELECT input, checksum, line FROM feed_progress",
            (),
            |row| {
                Ok(Self {
                    input: row.get(0)?,
                    checksum: row.get(1)?,
                    line: row.get(2)?,
                })
            },
        )
    }
}

/// Compares and sets: if another process took in the line, this transaction must fail.
fn tick_off(tx: &Connection, line: u64, previous: u64) -> Result<(), BoxError> {
    let mut update = tx.prepare_cached("UPDATE feed_progress SET line = ?1 WHERE line = ?2")?;
    match update.execute((i64::try_from(line)?, i64::try_from(previous)?))? {
        1 => Ok(()),
        _ => Err(IntakeError::NotNext.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use outbox_runtime::{Operation, OutboxRepository};

    use super::*;

    const CREATE: &str = r#"{"op":"create","id":"12fe8eac-1130-48cd-bf82-970d0e592c48","user":"ada","valence":0.5,"labels":["calm"],"logged_at":"2026-03-01T06:30:00Z","notes":"mine"}"#;
    const DELETE: &str =
        r#"{"op":"delete","id":"12fe8eac-1130-48cd-bf82-970d0e592c48","user":"ada"}"#;

    async fn store(folder: &Path) -> SqliteStore {
        SqliteStore::open(folder.join("app.db")).await.unwrap()
    }

    fn feed(folder: &Path, lines: &[&str]) -> Feed {
        let path = folder.join("moods.jsonl");
        std::fs::write(&path, lines.join("\n")).unwrap();
        Feed::read(&path).unwrap()
    }

    async fn take_in_all(store: &SqliteStore, feed: &Feed) {
        let (taken, _) = watch::channel(0);
        let intake = Intake::open(store, feed).await.unwrap();
        intake.run(feed, &taken).await.unwrap();
        assert_eq!(*taken.borrow(), feed.lines.len());
    }

    #[tokio::test]
    async fn a_line_is_taken_in_once_over_all_runs() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        let feed = feed(folder.path(), &[CREATE, DELETE]);
        for _ in 0..3 {
            take_in_all(&store, &feed).await;
        }
        let events = store.fetch_pending_events(None, None).await.unwrap();
        let operations: Vec<Operation> = events.iter().map(|event| event.operation).collect();
        assert_eq!(operations, [Operation::Create, Operation::Delete]);
    }

    #[tokio::test]
    async fn notes_stay_on_the_device() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        take_in_all(&store, &feed(folder.path(), &[CREATE])).await;
        let events = store.fetch_pending_events(None, None).await.unwrap();
        let metadata = events[0].metadata.as_ref().unwrap().as_str().unwrap();
        assert!(
            metadata.contains("calm") && !metadata.contains("mine"),
            "{metadata}"
        );
    }

    #[tokio::test]
    async fn another_input_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        take_in_all(&store, &feed(folder.path(), &[CREATE])).await;
        let other = feed(folder.path(), &[CREATE, DELETE]);
        let error = Intake::open(&store, &other).await.unwrap_err();
        assert!(error.to_string().contains("--fresh"), "{error}");
    }
}
