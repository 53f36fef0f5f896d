//! Handlers that save the remote id of an event and complete it.

use std::time::Duration;

use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::{self, Connection, TransactionBehavior};
use outbox_runtime::store::BoxError;

use super::producing::connect;
use super::{Worker, pause};
use crate::plan::Completes;
use crate::task::Task;

/// The application's own table: the id that the service gave to the entity of an event, and how
/// often it was saved.
const REMOTE_IDS: &str =
    "CREATE TABLE IF NOT EXISTS remote_ids (event BLOB PRIMARY KEY, saves INTEGER NOT NULL)";

impl Worker {
    /// Does what the plan says about an event that is delivered.
    pub(super) async fn complete(
        &self,
        store: &SqliteStore,
        event: Event<Task>,
    ) -> Result<(), HandlerError> {
        match self.plan.completes {
            Completes::ByAnswer => Ok(()),
            // Both kinds of transactions, by turns.
            Completes::InOneTransaction if event.metadata().number.is_multiple_of(2) => {
                let saved = store.transaction(move |tx| {
                    save(tx, &event)?;
                    event.complete_on(tx)?;
                    Ok(())
                });
                saved.await.or_retry()
            }
            Completes::InOneTransaction => {
                let done = self.with_connection(move |conn| {
                    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
                    save(&tx, &event)?;
                    event.complete_on(&tx)?;
                    Ok(tx.commit()?)
                });
                done.await
            }
            Completes::InTwo => {
                let saved = event.clone();
                self.with_connection(move |conn| Ok(save(conn, &saved)?))
                    .await?;
                // Long enough for a kill in between.
                pause(5).await;
                self.with_connection(move |conn| Ok(event.complete_on(&*conn)?))
                    .await
            }
        }
    }

    async fn with_connection(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<(), BoxError> + Send + 'static,
    ) -> Result<(), HandlerError> {
        let path = self.plan.database.clone();
        let busy_timeout = Duration::from_millis(self.plan.busy_timeout);
        let done = tokio::task::spawn_blocking(move || work(&mut connect(&path, busy_timeout)?));
        done.await.or_retry()?.or_retry()
    }
}

fn save(conn: &Connection, event: &Event<Task>) -> rusqlite::Result<()> {
    conn.execute_batch(REMOTE_IDS)?;
    conn.execute(
        "INSERT INTO remote_ids VALUES (?1, 1) ON CONFLICT DO UPDATE SET saves = saves + 1",
        [event.id],
    )?;
    Ok(())
}
