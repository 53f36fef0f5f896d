//! Turns: one event per user, in the order of user ids.
//!
//! Each user is sought in an index by user. A store whose first claim with turns finds none creates
//! it in the background. Until it is there, a look for turns reads all candidates once, and rests
//! for four times as long if they are many: events in claim order do not wait for turns.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_postgres::Object;
use outbox_runtime::store::{ClaimRequest, SystemClock};
use outbox_runtime::{Clock, StoreError, StoreErrorKind};
use tokio_postgres::types::Type;
use tracing::{debug, warn};

use crate::cursor::Scanned;
use crate::fault::fault;
use crate::store::PostgresStore;
use crate::visits::{Range, Visits};

/// A look that reads no more than this many candidates needs no rest.
const FEW: usize = 2_000;

/// The rest after a look that reads all candidates, in multiples of its cost.
const REST: u32 = 4;

/// The pauses before a store asks again for an index that another one creates.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How turns find the first event of each user.
#[derive(Debug, Clone)]
pub(crate) enum Look {
    /// All users of the range are sought in the index by user, in order.
    AllUsers,
    /// Only these users are sought.
    Users(Visits),
    /// All candidates are read, without the index, for all users in the order that begins with the
    /// range.
    AllCandidates,
}

/// What a store knows of the index by user. While it is missing, a task of the store creates it, or
/// has found that it cannot.
const UNKNOWN: u8 = 0;
const MISSING: u8 = 1;
const THERE: u8 = 2;

/// The index by user, which only processors for all users need: it costs each batch of new events
/// an eighth. The first claim with turns creates it.
#[derive(Debug, Default)]
pub(crate) struct UserIndex {
    known: AtomicU8,
    /// When the rest after the last look without it ends, on the steady clock.
    rests_until: Mutex<Duration>,
}

impl UserIndex {
    fn rests_until(&self) -> MutexGuard<'_, Duration> {
        let rest = self.rests_until.lock();
        rest.unwrap_or_else(PoisonError::into_inner)
    }

    fn is_there(&self) -> bool {
        self.known.load(Ordering::Relaxed) == THERE
    }

    fn learn(&self, known: u8) {
        self.known.store(known, Ordering::Relaxed);
    }

    /// Whether the caller is the first to learn that the index is missing.
    fn learn_missing(&self) -> bool {
        let known = &self.known;
        let learned =
            known.compare_exchange(UNKNOWN, MISSING, Ordering::Relaxed, Ordering::Relaxed);
        learned.is_ok()
    }
}

/// Finds whether the index is there and whole. A creation that was interrupted leaves it invalid.
const STATE: &str = "SELECT i.indisvalid FROM pg_index i WHERE i.indexrelid = to_regclass($1)";

impl PostgresStore {
    /// Finds out whether the index by user is there, and has it created if not, before the first
    /// claim with turns.
    pub(crate) async fn learn_user_index(&self, request: &ClaimRequest) {
        let index = &self.shared.user_index;
        if request.turns() == 0 || index.known.load(Ordering::Relaxed) != UNKNOWN {
            return;
        }
        match self.user_index_state().await {
            Ok(Some(true)) => index.learn(THERE),
            Ok(_) if index.learn_missing() => self.need_user_index(),
            Ok(_) => {}
            // The claim meets the same error, and tells it.
            Err(error) => debug!(%error, "the index for turns could not be looked up"),
        }
    }

    /// How turns look at a range of users now.
    pub(crate) fn look_for_turns(
        &self,
        request: &ClaimRequest,
        range: Range<'_>,
        places: usize,
    ) -> Look {
        let index = &self.shared.user_index;
        if index.is_there() {
            let visits = self.shared.cursors.visits(request, range, places);
            return visits.map_or(Look::AllUsers, Look::Users);
        }
        // The users up to some one follow those after it in one look.
        let rests = || SystemClock.uptime() < *index.rests_until();
        match range.up_to.is_some() || rests() {
            true => Look::Users(Visits::new()),
            false => Look::AllCandidates,
        }
    }

    /// Notes a look that has read all candidates.
    pub(crate) fn has_read_all(&self, scanned: &Scanned) {
        if scanned.candidates > FEW {
            let rest = scanned.cost.saturating_mul(REST);
            let until = SystemClock.uptime().saturating_add(rest);
            *self.shared.user_index.rests_until() = until;
        }
    }

    /// Creates the index in the background.
    fn need_user_index(&self) {
        let store = self.clone();
        tokio::spawn(async move {
            let mut pause = FIRST_PAUSE;
            loop {
                match store.create_user_index().await {
                    Ok(true) => break,
                    Ok(false) => {}
                    Err(error) => return store.tell_no_user_index(&error),
                }
                SystemClock.sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            store.shared.user_index.learn(THERE);
        });
    }

    /// Tells that the index cannot be created, most often because the role may not. After
    /// an error that passes, the next claim tries again.
    fn tell_no_user_index(&self, error: &StoreError) {
        if matches!(
            error.kind(),
            StoreErrorKind::Unavailable | StoreErrorKind::Suspended
        ) {
            debug!(%error, "the index for turns was not created");
            return self.shared.user_index.learn(UNKNOWN);
        }
        let schema = self.shared.sql.schema.as_str();
        warn!(
            %error, schema,
            "the index for turns could not be created; without it, turns read all candidates: run \
             CREATE INDEX CONCURRENTLY events_by_user ON {schema}.events (user_id, priority \
             DESC, due, seq) WHERE slot = 'r'"
        );
    }

    async fn user_index_state(&self) -> Result<Option<bool>, StoreError> {
        const OPERATION: &str = "look up the index for turns";
        let storage = |error| fault(OPERATION, error);
        let client = self.connection(OPERATION).await?;
        let name = self.user_index_name();
        user_index_state(&client, &name).await.map_err(storage)
    }

    fn user_index_name(&self) -> String {
        format!("{}.events_by_user", self.shared.sql.schema.as_str())
    }

    /// Creates the index unless it is there. `false`: another process is doing so.
    async fn create_user_index(&self) -> Result<bool, StoreError> {
        const OPERATION: &str = "create the index for turns";
        let storage = |error| fault(OPERATION, error);
        let client = self.connection(OPERATION).await?;
        let schema = self.shared.sql.schema.as_str();
        let name = self.user_index_name();
        let is_valid = user_index_state(&client, &name).await.map_err(storage)?;
        if is_valid == Some(true) {
            return Ok(true);
        }
        // One process at a time; the others ask again.
        let lock = format!("({}, 101)", self.shared.sql.schema.lock_class());
        let locked = client
            .query_one(&format!("SELECT pg_try_advisory_lock{lock}"), &[])
            .await
            .map_err(storage)?;
        if !locked.try_get::<_, bool>(0).map_err(storage)? {
            return Ok(false);
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
        done.and(unlocked).map_err(storage)?;
        Ok(true)
    }
}

/// Whether the index is whole; `None` if there is none.
async fn user_index_state(
    client: &Object,
    name: &str,
) -> Result<Option<bool>, tokio_postgres::Error> {
    let row = client
        .query_typed_opt(STATE, &[(&name, Type::TEXT)])
        .await?;
    row.map(|row| row.try_get(0)).transpose()
}
