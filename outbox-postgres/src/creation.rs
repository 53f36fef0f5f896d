//! Creates indexes in the background, where a store needs them.

use std::time::Duration;

use deadpool_postgres::Object;
use outbox_runtime::store::SystemClock;
use outbox_runtime::{Clock, StoreError, StoreErrorKind};
use tokio_postgres::types::Type;
use tracing::{debug, warn};

use crate::fault::fault;
use crate::index::Index;
use crate::store::PostgresStore;

/// The pauses before a store asks again for an index that another one creates.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Finds whether an index is there and whole. A creation that was interrupted leaves it invalid.
const STATE: &str = "SELECT i.indisvalid FROM pg_index i WHERE i.indexrelid = to_regclass($1)";

impl PostgresStore {
    /// Whether the index is whole; `None` if there is none.
    pub(crate) async fn index_state(&self, index: &Index) -> Result<Option<bool>, StoreError> {
        let storage = |error| fault(index.lookup, error);
        let client = self.connection(index.lookup).await?;
        let state = state(&client, &self.name_of(index)).await;
        state.map_err(storage)
    }

    /// Creates an index, or waits until another process has. For a task: it may take long.
    pub(crate) async fn create_index(&self, index: &Index) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.try_to_create(index).await {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => return self.tell_not_created(index, &error),
            }
            SystemClock.sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        index.learn_there();
    }

    /// Tells that the index cannot be created, most often because the role may not. After
    /// an error that passes, the next claim tries again.
    fn tell_not_created(&self, index: &Index, error: &StoreError) {
        let (title, without) = (index.title, index.without);
        if matches!(
            error.kind(),
            StoreErrorKind::Unavailable | StoreErrorKind::Suspended
        ) {
            debug!(%error, "{title} was not created");
            return index.forget();
        }
        let schema = self.shared.sql.schema.as_str();
        let create = self.creation_of(index);
        warn!(
            %error, schema,
            "{title} could not be created; without it, {without}: run {create}"
        );
    }

    fn name_of(&self, index: &Index) -> String {
        format!("{}.{}", self.shared.sql.schema.as_str(), index.name)
    }

    fn creation_of(&self, index: &Index) -> String {
        let schema = self.shared.sql.schema.as_str();
        format!(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS {} ON {schema}.events {}",
            index.name, index.on
        )
    }

    /// Creates the index unless it is there. `false`: another process is doing so.
    async fn try_to_create(&self, index: &Index) -> Result<bool, StoreError> {
        let storage = |error| fault(index.creation, error);
        let client = self.connection(index.creation).await?;
        let name = self.name_of(index);
        let is_valid = state(&client, &name).await.map_err(storage)?;
        if is_valid == Some(true) {
            return Ok(true);
        }
        // One process at a time; the others ask again.
        let schema = &self.shared.sql.schema;
        let lock = format!("({}, {})", schema.lock_class(), index.lock);
        let locked = client
            .query_one(&format!("SELECT pg_try_advisory_lock{lock}"), &[])
            .await
            .map_err(storage)?;
        if !locked.try_get::<_, bool>(0).map_err(storage)? {
            return Ok(false);
        }
        debug!(schema = schema.as_str(), "creating {}", index.title);
        let dropped = format!("DROP INDEX CONCURRENTLY IF EXISTS {name}");
        let created = self.creation_of(index);
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
        done.and(unlocked).map_err(storage)?;
        Ok(true)
    }
}

/// Whether the index with this name is whole; `None` if there is none.
async fn state(client: &Object, name: &str) -> Result<Option<bool>, tokio_postgres::Error> {
    let row = client
        .query_typed_opt(STATE, &[(&name, Type::TEXT)])
        .await?;
    row.map(|row| row.try_get(0)).transpose()
}
