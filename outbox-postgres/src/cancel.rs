//! Cancellations in a transaction of the store's own.

use outbox_runtime::{Cancel, Canceled, StoreError};

use crate::edit::MOST_TRIES;
use crate::fault::{commit_fault, fault, is_of_collision};
use crate::keyed::cancel_on;
use crate::on_client::OnClient;
use crate::store::PostgresStore;
use crate::transaction::read_committed;

impl PostgresStore {
    /// Cancels in a transaction of the store's own.
    pub(crate) async fn cancel_waiting(&self, cancel: &Cancel) -> Result<Canceled, StoreError> {
        const OPERATION: &str = "cancel";
        let storage = |error| fault(OPERATION, error);
        let mut client = self.connection(OPERATION).await?;
        let mut tries = MOST_TRIES;
        loop {
            tries -= 1;
            let now = Some(self.now());
            let transaction = read_committed(&mut client).await.map_err(storage)?;
            let session = OnClient {
                client: &*transaction,
                sql: &self.shared.sql,
                now,
                operation: OPERATION,
                fault,
            };
            let canceled = match cancel_on(&session, cancel).await {
                // It waited crosswise with a worker, which went on.
                Err(error) if is_of_collision(&error) && tries > 0 => {
                    transaction.rollback().await.map_err(storage)?;
                    continue;
                }
                canceled => canceled?,
            };
            let committed = transaction.commit().await;
            committed.map_err(|error| commit_fault(OPERATION, error))?;
            self.events_changed();
            return Ok(canceled);
        }
    }
}
