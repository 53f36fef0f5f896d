//! Notes: ended events whose next one was not unblocked, because somebody held it locked, or
//! because the transaction that ended them could not see it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use outbox_runtime::StoreError;
use outbox_runtime::store::kit::after;
use uuid::Uuid;

use crate::back_off::BackOff;
use crate::fault::fault;
use crate::store::{PostgresStore, prepared};
use crate::transaction::read_committed;

/// The notes of one look, as the statement spells out.
const MOST_NOTES: usize = 20;

/// When to look at notes again, and where.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    back_off: BackOff,
    /// The last note that was looked at, after which the next look begins: many that have to wait
    /// do not keep others from their turn.
    last: Mutex<Uuid>,
}

impl Notes {
    fn last(&self) -> MutexGuard<'_, Uuid> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the pause after a look, at which all notes had to wait or not.
    fn looked(&self, last: Uuid, had_to_wait: bool) {
        *self.last() = last;
        self.back_off.looked(had_to_wait);
    }
}

impl PostgresStore {
    /// When notes should be looked at again.
    pub(crate) fn notes_due(&self) -> DateTime<Utc> {
        after(self.now(), self.shared.notes.back_off.left())
    }

    /// Takes up notes, if it is time to, and cleans up the events that are not kept beyond theirs.
    /// Returns whether anything may have become claimable.
    pub(crate) async fn take_up_notes(&self) -> Result<bool, StoreError> {
        const OPERATION: &str = "claim";
        if !self.shared.notes.back_off.left().is_zero() {
            return Ok(false);
        }
        let storage = |error| fault(OPERATION, error);
        let mut client = self.connection(OPERATION).await?;
        let sql = &self.shared.sql;
        let lock = prepared(&client, OPERATION, &sql.lock_notes).await?;
        let take_up = prepared(&client, OPERATION, &sql.take_up_notes).await?;
        let free = prepared(&client, OPERATION, &sql.free).await?;
        let remove = prepared(&client, OPERATION, &sql.remove_unnoted).await?;
        let transaction = read_committed(&mut client).await.map_err(storage)?;
        let asked_after = *self.shared.notes.last();
        let locked = transaction.query(&lock, &[&asked_after]).await;
        let locked = locked.map_err(storage)?;
        let ids: Result<Vec<Uuid>, _> = locked.iter().map(|row| row.try_get(0)).collect();
        let ids = ids.map_err(storage)?;
        // An application that cancels a create keeps its lane's note locked until its transaction
        // ends.
        let mut are_locked = false;
        if ids.is_empty() && asked_after.is_nil() {
            let exists = sql.text("SELECT EXISTS (SELECT 1 FROM {s}.events WHERE slot = 'n')");
            let exists = transaction.query_typed_one(&exists, &[]).await;
            are_locked = exists.and_then(|row| row.try_get(0)).map_err(storage)?;
        }
        let now = self.now();
        let left = transaction.query(&free, &[&ids, &now]).await;
        let left = left.map_err(storage)?;
        let left: Result<Vec<Uuid>, _> = left.iter().map(|row| row.try_get(0)).collect();
        let left = left.map_err(storage)?;
        // The notes of those stay whose children somebody holds locked.
        let freed: Vec<Uuid> = ids
            .iter()
            .copied()
            .filter(|id| !left.contains(id))
            .collect();
        // A new statement, because it must see what was committed before the locks.
        let dropped = transaction.query_one(&take_up, &[&freed, &now]).await;
        let dropped: i64 = dropped.and_then(|row| row.try_get(0)).map_err(storage)?;
        let removed = transaction.query_one(&remove, &[]).await;
        let removed: i64 = removed.and_then(|row| row.try_get(0)).map_err(storage)?;
        transaction.commit().await.map_err(storage)?;
        // After the last one, the next look begins with the first.
        let has_more = ids.len() == MOST_NOTES;
        let last = ids.last().copied().filter(|_| has_more);
        let notes = &self.shared.notes;
        let had_to_wait = are_locked || !ids.is_empty() && dropped == 0;
        notes.looked(last.unwrap_or_default(), had_to_wait);
        if removed > 0 {
            tracing::debug!(removed, "events went with their notes");
        }
        if dropped > 0 {
            self.wake_others(client);
        }
        Ok(dropped > 0)
    }
}
