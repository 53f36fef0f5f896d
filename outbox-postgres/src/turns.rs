//! Turns: one event per user, in the order of user ids.

use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{debug, warn};

use crate::fault::fault;
use crate::store::PostgresStore;

/// The index by user, which only processors for all users need: it costs each batch of new events
/// an eighth. The first claim with turns creates it.
#[derive(Debug, Default)]
pub(crate) struct UserIndex(AtomicBool);

/// Finds whether the index is there and whole. A creation that was interrupted leaves it invalid.
const STATE: &str = "SELECT i.indisvalid FROM pg_index i WHERE i.indexrelid = to_regclass($1)";

impl PostgresStore {
    /// Creates the index in the background unless that was begun before. Until it is there, turns
    /// read all candidates.
    pub(crate) fn need_user_index(&self) {
        if self.shared.user_index.0.swap(true, Ordering::Relaxed) {
            return;
        }
        let store = self.clone();
        tokio::spawn(async move {
            if let Err(error) = store.create_user_index().await {
                let schema = store.shared.sql.schema.as_str();
                warn!(
                    %error, schema,
                    "the index for turns could not be created; turns are slower without it: run \
                     CREATE INDEX CONCURRENTLY events_by_user ON {schema}.events (user_id, priority \
                     DESC, due, seq) WHERE slot = 'r'"
                );
            }
        });
    }

    async fn create_user_index(&self) -> Result<(), outbox_runtime::StoreError> {
        const OPERATION: &str = "create the index for turns";
        let storage = |error| fault(OPERATION, error);
        let client = self.connection(OPERATION).await?;
        let schema = self.shared.sql.schema.as_str();
        let name = format!("{schema}.events_by_user");
        let state = client.query_opt(STATE, &[&name]).await.map_err(storage)?;
        let is_valid: Option<bool> = state
            .map(|row| row.try_get(0))
            .transpose()
            .map_err(storage)?;
        if is_valid == Some(true) {
            return Ok(());
        }
        // One process at a time; the others find the index when they start again.
        let lock = format!("({}, 101)", self.shared.sql.schema.lock_class());
        let locked = client
            .query_one(&format!("SELECT pg_try_advisory_lock{lock}"), &[])
            .await
            .map_err(storage)?;
        if !locked.try_get::<_, bool>(0).map_err(storage)? {
            return Ok(());
        }
        debug!(schema, "creating the index for turns");
        let dropped = format!("DROP INDEX CONCURRENTLY IF EXISTS {name}");
        let created = format!(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS events_by_user ON {schema}.events \
             (user_id, priority DESC, due, seq) WHERE slot = 'r'"
        );
        // Neither may run in a transaction, so each is a message of its own.
        let mut done = Ok(());
        if is_valid == Some(false) {
            done = client.batch_execute(&dropped).await;
        }
        if done.is_ok() {
            done = client.batch_execute(&created).await;
        }
        let unlocked = client
            .batch_execute(&format!("SELECT pg_advisory_unlock{lock}"))
            .await;
        done.and(unlocked).map_err(storage)
    }
}
