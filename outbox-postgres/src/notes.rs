//! Notes: ended events whose next one somebody held locked, so that it could not be unblocked.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use outbox_runtime::store::SystemClock;
use outbox_runtime::{Clock, StoreError};

use crate::fault::fault;
use crate::store::{PostgresStore, prepared};

/// How long a note is left alone after it was last looked at: an application may hold the next
/// event for the length of its transaction.
pub(crate) const PAUSE: Duration = Duration::from_millis(20);

/// When notes were last looked at, on the steady clock.
#[derive(Debug, Default)]
pub(crate) struct Notes(Mutex<Option<Duration>>);

impl Notes {
    /// Whether it is time to look again; if so, the pause begins anew.
    fn are_due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = SystemClock.uptime();
        let is_due = last.is_none_or(|last| now.saturating_sub(last) >= PAUSE);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

impl PostgresStore {
    /// Takes up notes, if it is time to. Returns whether anything may have become claimable.
    pub(crate) async fn take_up_notes(&self) -> Result<bool, StoreError> {
        const OPERATION: &str = "claim";
        if !self.shared.notes.are_due() {
            return Ok(false);
        }
        let storage = |error| fault(OPERATION, error);
        let mut client = self.connection(OPERATION).await?;
        let sql = &self.shared.sql;
        let lock = prepared(&client, OPERATION, &sql.lock_notes).await?;
        let take_up = prepared(&client, OPERATION, &sql.take_up_notes).await?;
        let transaction = client.transaction().await.map_err(storage)?;
        let locked = transaction.query(&lock, &[]).await.map_err(storage)?;
        let ids: Result<Vec<uuid::Uuid>, _> = locked.iter().map(|row| row.try_get(0)).collect();
        let ids = ids.map_err(storage)?;
        let now = self.now();
        // A new statement, because it must see what was committed before the locks.
        let unblocked = transaction.execute(&take_up, &[&ids, &now]).await;
        let unblocked = unblocked.map_err(storage)?;
        transaction.commit().await.map_err(storage)?;
        Ok(unblocked > 0)
    }
}
