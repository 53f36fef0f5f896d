//! What the programs of this package share: an entity, and a processor that tells when its events
//! arrive.
#![allow(
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::disallowed_methods,
    reason = "programs that measure how soon a processor wakes"
)]

use std::time::{Duration, Instant};

use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::{Connection, TransactionBehavior};
use outbox_runtime::{HandlerError, Running, enqueue_all};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// The error of the programs.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// An entity whose changes fold.
#[derive(Debug, Clone, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "note", snapshot, coalesce = "latest")]
pub struct Note {
    /// Its id.
    #[outbox(entity_id)]
    pub id: i64,
    /// Whose it is.
    #[outbox(user_id)]
    pub user_id: String,
    /// What it says.
    pub text: String,
}

/// A note.
#[must_use]
pub fn note(id: i64, text: &str) -> Note {
    let (user_id, text) = ("user-1".to_owned(), text.to_owned());
    Note { id, user_id, text }
}

/// Saves notes and enqueues them in one transaction, as any code on a connection of rusqlite does:
/// one, a batch, and a newer change of the first, which folds.
pub fn save(conn: &mut Connection) -> Result<(), Error> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch("CREATE TABLE IF NOT EXISTS note (id INTEGER PRIMARY KEY)")?;
    tx.execute("INSERT OR REPLACE INTO note (id) VALUES (1)", [])?;
    note(1, "first").enqueue_create().on(&tx)?;
    enqueue_all(&[note(2, "second"), note(3, "third")]).on(&tx)?;
    note(1, "newer").enqueue_update().on(&tx)?;
    tx.commit()?;
    Ok(())
}

/// A store whose processor tells when events arrive.
#[derive(Debug)]
pub struct Deliveries {
    running: Running,
    arrived: mpsc::UnboundedReceiver<(Instant, String)>,
}

impl Deliveries {
    /// Starts to deliver.
    pub fn start(store: &SqliteStore) -> Result<Self, Error> {
        let (sender, arrived) = mpsc::unbounded_channel();
        let processor = Processor::builder(store.clone()).handle::<Note>(move |event| {
            let sender = sender.clone();
            async move {
                let note = event.metadata();
                // The program may have ended.
                let _ = sender.send((Instant::now(), note.text.clone()));
                Ok::<(), HandlerError>(())
            }
        });
        let running = processor.build()?.start("user-1");
        Ok(Self { running, arrived })
    }

    /// Waits for the three notes of [`save`], and tells how long after the commit the first came.
    pub async fn three_after(mut self, committed: Instant, library: &str) -> Result<(), Error> {
        let mut texts = Vec::new();
        let mut first = None;
        while texts.len() < 3 {
            let next = tokio::time::timeout(Duration::from_secs(10), self.arrived.recv());
            let (at, text) = next.await?.ok_or("the processor ended")?;
            first.get_or_insert(at.saturating_duration_since(committed));
            texts.push(text);
        }
        self.running.stop().await?;
        texts.sort();
        assert_eq!(texts, ["newer", "second", "third"]);
        let first = first.unwrap_or_default();
        println!("{library}: {} ms from commit to handler", first.as_millis());
        assert!(
            first < Duration::from_millis(160),
            "{library} took {first:?}"
        );
        Ok(())
    }
}
