//! The completions of handlers that have not answered yet.
//!
//! The function `complete` ends the lease and notes that in a table of its own, because the event
//! may be cleaned up before its handler answers. The outcome that the processor records then finds
//! no lease, and this note tells why. The note ends with that answer, or after a day if nobody
//! answers.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use outbox_runtime::store::kit::{COMPLETION_KEPT, before};
use outbox_runtime::store::{CompleteFuture, Completion, Lease, Settled};
use outbox_runtime::{
    CompleteError, CompletionSink, Enqueued, NewEvent, StoreError, SupersedingSink,
};
use tokio_postgres::Transaction;
use uuid::Uuid;

use crate::complete;
use crate::fault::{commit_fault, fault};
use crate::locked::Key;
use crate::outcomes::with_attempt;
use crate::store::{PostgresStore, prepared};
use crate::transaction::{read_committed, roll_back};

/// Ends the notes of the claims `$1`, `$2`.
const TAKE: &str = "DELETE FROM {s}.completions c USING unnest($1::uuid[], $2::uuid[]) s(id, token)
WHERE c.id = s.id AND c.token = s.token RETURNING c.id, c.token, c.is_kept";

/// Locks the rows of these events that have another event to unblock.
const LOCK: &str =
    "SELECT id FROM {s}.events WHERE id = ANY ($1) AND slot = 'n' FOR NO KEY UPDATE SKIP LOCKED";

/// Cleans up events that are not kept. One that still has another event to unblock goes with its
/// note.
const REMOVE: &str = "WITH d AS (DELETE FROM {s}.events e WHERE e.id = ANY ($1) AND e.status::text = 'c' AND e.slot IS NULL
    RETURNING e.id, e.seq, e.user_id, e.entity_id, e.last_attempt_at),
m AS (INSERT INTO {s}.completions (id, token, is_kept, completed_at)
    SELECT e.id, {nobody}, false, e.completed_at FROM {s}.events e
    WHERE e.id = ANY ($1) AND e.status::text = 'c' AND e.slot = 'n' ON CONFLICT DO NOTHING),
{forget}
SELECT count(*) FROM d";

/// Adds the delivery to the history.
const REMEMBER: &str =
    "UPDATE {s}.events e SET attempts = {attempts} WHERE e.id = ANY ($1) AND e.status::text = 'c'";

/// Which of the claims `$1`, `$2` still belong to their holders although they could not be renewed:
/// the handler has completed the event, or is about to, and its transaction has the row locked. The
/// end of a lease that could not be renewed is the one in its row, which may have passed: while the
/// row is locked, nobody can take the event. If it is locked by a worker that takes it back, the
/// next renewal tells.
const HELD: &str = "SELECT s.id, s.token, (SELECT e.lease_expires_at FROM {s}.events e WHERE e.id = s.id
        AND e.lease_token = s.token AND e.slot::text IN ('l', 'f') AND NOT x.is_completed)
FROM unnest($1::uuid[], $2::uuid[]) s(id, token)
CROSS JOIN LATERAL (SELECT EXISTS (SELECT 1 FROM {s}.completions c WHERE c.id = s.id AND c.token = s.token)
    AS is_completed) x
WHERE x.is_completed
    OR EXISTS (SELECT 1 FROM {s}.events e WHERE e.id = s.id AND e.lease_token = s.token AND e.slot::text IN ('l', 'f'))";

impl PostgresStore {
    /// Tells the outcomes of events that their handlers had completed from those under lost leases.
    pub(crate) async fn tell_completed(
        &self,
        leases: &[(Uuid, Uuid)],
        mut settled: Vec<Settled>,
    ) -> Vec<Settled> {
        let all = leases.iter().zip(&settled);
        let lost: Vec<(Uuid, Uuid)> = all
            .filter(|(_, settled)| **settled == Settled::LeaseLost)
            .map(|(lease, _)| *lease)
            .collect();
        if lost.is_empty() {
            return settled;
        }
        let mut taken = match self.take_completions(&lost).await {
            Ok(taken) => taken,
            Err(error) => {
                // The outcomes are recorded, so this call must not fail; the events are completed.
                tracing::debug!(%error, "completions by handlers were not looked up");
                return settled;
            }
        };
        for (lease, settled) in leases.iter().zip(&mut settled) {
            if taken.remove(lease) {
                *settled = Settled::AlreadyCompleted;
            }
        }
        settled
    }

    /// Tells the outcomes whose rows are locked from those under lost leases.
    pub(crate) async fn tell_locked(&self, leases: &[Key], settled: &mut [Settled]) {
        let of_lost = leases.iter().zip(settled.iter());
        let of_lost = of_lost.filter(|(_, settled)| **settled == Settled::LeaseLost);
        let lost: Vec<Key> = of_lost.map(|(lease, _)| *lease).collect();
        if !lost.is_empty() {
            let locked = self.still_locked(&lost).await.unwrap_or_else(|error| {
                // The next try tells.
                tracing::debug!(%error, "locked events were not looked up");
                lost.into_iter().collect()
            });
            for (lease, settled) in leases.iter().zip(settled.iter_mut()) {
                if *settled == Settled::LeaseLost && locked.contains(lease) {
                    *settled = Settled::Locked;
                }
            }
        }
        self.shared.locked.told(leases, settled);
    }

    async fn still_locked(&self, leases: &[Key]) -> Result<HashSet<Key>, StoreError> {
        const OPERATION: &str = "settle";
        let storage = |error| fault(OPERATION, error);
        let (ids, tokens): (Vec<Uuid>, Vec<Uuid>) = leases.iter().copied().unzip();
        let client = self.connection(OPERATION).await?;
        let statement = prepared(&client, OPERATION, &self.shared.sql.locked).await?;
        let rows = client
            .query(&statement, &[&ids, &tokens, &self.now()])
            .await;
        let rows = rows.map_err(storage)?;
        let key = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?));
        let keys: Result<HashSet<Key>, tokio_postgres::Error> = rows.iter().map(key).collect();
        keys.map_err(storage)
    }

    /// Ends notes. Unblocks what still waits for their events, and cleans up those that are not
    /// kept.
    async fn take_completions(
        &self,
        leases: &[(Uuid, Uuid)],
    ) -> Result<HashSet<(Uuid, Uuid)>, StoreError> {
        const OPERATION: &str = "settle";
        let storage = |error| fault(OPERATION, error);
        let (ids, tokens): (Vec<Uuid>, Vec<Uuid>) = leases.iter().copied().unzip();
        let sql = &self.shared.sql;
        let mut client = self.connection(OPERATION).await?;
        let transaction = read_committed(&mut client).await.map_err(storage)?;
        let rows = transaction.query(&sql.text(TAKE), &[&ids, &tokens]).await;
        let mut taken = HashSet::new();
        let (mut ended, mut not_kept) = (Vec::new(), Vec::new());
        for row in rows.map_err(storage)? {
            let id: Uuid = row.try_get(0).map_err(storage)?;
            let token: Uuid = row.try_get(1).map_err(storage)?;
            let is_kept: bool = row.try_get(2).map_err(storage)?;
            taken.insert((id, token));
            ended.push(id);
            if !is_kept {
                not_kept.push(id);
            }
        }
        if taken.is_empty() {
            return Ok(taken);
        }
        self.end_completed(&transaction, &ended, &not_kept)
            .await
            .map_err(storage)?;
        let committed = transaction.commit().await;
        committed.map_err(|error| commit_fault(OPERATION, error))?;
        self.events_changed();
        self.wake_others(client);
        Ok(taken)
    }

    async fn end_completed(
        &self,
        transaction: &Transaction<'_>,
        ended: &[Uuid],
        not_kept: &[Uuid],
    ) -> Result<(), tokio_postgres::Error> {
        let sql = &self.shared.sql;
        let locked = transaction.query(&sql.text(LOCK), &[&ended]).await?;
        let locked: Result<Vec<Uuid>, _> = locked.iter().map(|row| row.try_get(0)).collect();
        // A new statement, because it must see what was committed before the locks.
        transaction
            .query(&sql.take_up_notes, &[&locked?, &self.now()])
            .await?;
        if self.shared.keeps_deliveries {
            let attempts = with_attempt("e.completed_at", "delivered", "''");
            let remember = sql.text(&REMEMBER.replace("{attempts}", &attempts));
            transaction.execute(&remember, &[&ended]).await?;
        }
        if !not_kept.is_empty() {
            let remove = sql.text(&REMOVE.replace("{forget}", crate::sql::FORGET));
            transaction.query(&remove, &[&not_kept]).await?;
        }
        Ok(())
    }

    /// Which of these claims are still those of their holders; see [`HELD`].
    pub(crate) async fn still_held(
        &self,
        transaction: &Transaction<'_>,
        leases: &[Lease],
    ) -> Result<HashMap<(Uuid, Uuid), Option<DateTime<Utc>>>, tokio_postgres::Error> {
        if leases.is_empty() {
            return Ok(HashMap::new());
        }
        let ids: Vec<Uuid> = leases.iter().map(|lease| lease.event_id).collect();
        let tokens: Vec<Uuid> = leases.iter().map(|lease| lease.token.as_uuid()).collect();
        let sql = self.shared.sql.text(HELD);
        let rows = transaction.query(&sql, &[&ids, &tokens]).await?;
        rows.iter()
            .map(|row| Ok(((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?)))
            .collect()
    }

    /// Forgets the completions of handlers that never answered.
    pub(crate) async fn forget_completions(
        &self,
        transaction: &Transaction<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), tokio_postgres::Error> {
        let sql = self
            .shared
            .sql
            .text("DELETE FROM {s}.completions WHERE completed_at <= $1");
        let long_ago = before(now, COMPLETION_KEPT);
        transaction.execute(&sql, &[&long_ago]).await?;
        Ok(())
    }

    /// Completes an event in a transaction of its own.
    pub(crate) async fn complete_now(&self, completion: &Completion) -> Result<(), CompleteError> {
        let client = self.connection("complete").await?;
        let now = Some(self.now());
        complete::complete(&**client, &self.shared.sql, false, now, completion).await?;
        self.events_changed();
        Ok(())
    }

    /// Completes an event and enqueues the next in a transaction of its own.
    pub(crate) async fn supersede_now(
        &self,
        completion: &Completion,
        next: &NewEvent,
    ) -> Result<Enqueued, CompleteError> {
        const OPERATION: &str = "complete";
        let mut client = self.connection(OPERATION).await?;
        let transaction = read_committed(&mut client).await;
        let transaction = transaction.map_err(|error| fault(OPERATION, error))?;
        let sql = &self.shared.sql;
        let now = Some(self.now());
        let superseded = complete::supersede(&*transaction, sql, now, completion, next).await;
        let enqueued = match superseded {
            Ok(enqueued) => enqueued,
            Err(error) => {
                roll_back(transaction).await;
                return Err(error);
            }
        };
        let committed = transaction.commit().await;
        committed.map_err(|error| commit_fault(OPERATION, error))?;
        self.events_changed();
        Ok(enqueued)
    }
}

/// Resolves once the completion is committed, in a transaction of its own.
impl CompletionSink<PostgresStore> for &PostgresStore {
    type Output = CompleteFuture<'static>;

    fn complete(self, completion: Result<Completion, CompleteError>) -> Self::Output {
        let store = self.clone();
        CompleteFuture::new(async move { store.complete_now(&completion?).await })
    }
}

/// Resolves once both are committed, in a transaction of its own.
impl SupersedingSink<PostgresStore> for &PostgresStore {
    type Output = CompleteFuture<'static, Enqueued>;

    fn supersede(self, step: Result<(Completion, NewEvent), CompleteError>) -> Self::Output {
        let store = self.clone();
        CompleteFuture::new(async move {
            let (completion, next) = step?;
            store.supersede_now(&completion, &next).await
        })
    }
}
