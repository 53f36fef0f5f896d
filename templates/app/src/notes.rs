//! The entity, its table, and the only place that writes it: a change and its event are one commit.

use outbox_runtime::prelude::*;

/// A note, as the service hears of it.
#[derive(Debug, Clone, OutboxEntity)]
#[outbox(event_type = "note")]
pub struct Note {
    #[outbox(entity_id)]
    pub id: i64,
    #[outbox(user_id)]
    pub user_id: String,
    #[outbox(metadata)]
    pub text: String,
}

/// All events of this program.
#[derive(OutboxEvents)]
pub enum AppEvent {
    Note(Event<Note>),
}

/// The table of notes.
pub struct Notes {
    store: SqliteStore,
}

impl Notes {
    /// Creates the table if there is none.
    pub async fn open(store: &SqliteStore) -> anyhow::Result<Self> {
        store
            .transaction(|tx| {
                tx.execute_batch(
                    "CREATE TABLE IF NOT EXISTS note (
                        id      INTEGER PRIMARY KEY,
                        user_id TEXT NOT NULL,
                        text    TEXT NOT NULL
                    ) STRICT",
                )?;
                Ok(())
            })
            .await?;
        Ok(Self {
            store: store.clone(),
        })
    }

    /// Saves a new note, and enqueues it: both, or neither. Returns its id.
    pub async fn add(&self, user_id: &str, text: &str) -> anyhow::Result<i64> {
        let (user_id, text) = (user_id.to_owned(), text.to_owned());
        let id = self
            .store
            .transaction(move |tx| {
                tx.execute(
                    "INSERT INTO note (user_id, text) VALUES (?1, ?2)",
                    [&user_id, &text],
                )?;
                let id = tx.last_insert_rowid();
                let note = Note { id, user_id, text };
                note.enqueue_create().on(tx)?;
                Ok(id)
            })
            .await?;
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outbox_testing::{assert_enqueued, assert_wire_lock};

    #[tokio::test]
    async fn a_note_that_is_saved_is_enqueued() -> anyhow::Result<()> {
        let store = SqliteStore::open_in_memory().await?;
        let id = Notes::open(&store).await?.add("ada", "buy milk").await?;
        let event = assert_enqueued!(store, Note, entity_id = id, operation = Create, count = 1);
        assert_eq!(event.metadata().text, "buy milk");
        Ok(())
    }

    #[test]
    fn the_shape_of_the_events_is_the_recorded_one() {
        assert_wire_lock::<AppEvent>();
    }
}
