//! Notes: ended events whose next one was not unblocked, because somebody held it locked, or
//! because the transaction that ended them could not see it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox_runtime::store::SystemClock;
use outbox_runtime::store::kit::after;
use outbox_runtime::{Clock, StoreError};
use uuid::Uuid;

use crate::fault::fault;
use crate::store::{PostgresStore, prepared};
use crate::transaction::read_committed;

/// The first and the longest pause between two looks at notes: an application may hold the next
/// event for the length of its transaction, and tells nobody of its end.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The notes of one look, as the statement spells out.
const MOST_NOTES: usize = 20;

/// When to look at notes again.
#[derive(Debug, Default)]
pub(crate) struct Notes(Mutex<State>);

#[derive(Debug, Default, Clone, Copy)]
struct State {
    /// When notes were last looked at, on the steady clock.
    looked_at: Option<Duration>,
    pause: Duration,
    /// The last note that was looked at, after which the next look begins: many that have to wait
    /// do not keep others from their turn.
    last: Uuid,
}

impl Notes {
    fn state(&self) -> State {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time until the next look.
    fn left(&self) -> Duration {
        let state = self.state();
        let since = |at| SystemClock.uptime().saturating_sub(at);
        state
            .looked_at
            .map_or(Duration::ZERO, |at| state.pause.saturating_sub(since(at)))
    }

    /// Begins the pause after a look at which all notes had to wait; each is twice as long as the
    /// last.
    fn looked(&self, last: Uuid, had_to_wait: bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State {
            looked_at: Some(SystemClock.uptime()),
            pause: match had_to_wait {
                true => (state.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE),
                false => Duration::ZERO,
            },
            last,
        };
    }
}

impl PostgresStore {
    /// When notes should be looked at again.
    pub(crate) fn notes_due(&self) -> DateTime<Utc> {
        after(self.now(), self.shared.notes.left())
    }

    /// Takes up notes, if it is time to. Returns whether anything may have become claimable.
    pub(crate) async fn take_up_notes(&self) -> Result<bool, StoreError> {
        const OPERATION: &str = "claim";
        if !self.shared.notes.left().is_zero() {
            return Ok(false);
        }
        let storage = |error| fault(OPERATION, error);
        let mut client = self.connection(OPERATION).await?;
        let sql = &self.shared.sql;
        let lock = prepared(&client, OPERATION, &sql.lock_notes).await?;
        let take_up = prepared(&client, OPERATION, &sql.take_up_notes).await?;
        let transaction = read_committed(&mut client).await.map_err(storage)?;
        let asked_after = self.shared.notes.state().last;
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
        // A new statement, because it must see what was committed before the locks.
        let dropped = transaction.query_one(&take_up, &[&ids, &now]).await;
        let dropped: i64 = dropped.and_then(|row| row.try_get(0)).map_err(storage)?;
        transaction.commit().await.map_err(storage)?;
        // After the last one, the next look begins with the first.
        let has_more = ids.len() == MOST_NOTES;
        let last = ids.last().copied().filter(|_| has_more);
        let notes = &self.shared.notes;
        let had_to_wait = are_locked || !ids.is_empty() && dropped == 0;
        notes.looked(last.unwrap_or_default(), had_to_wait);
        if dropped > 0 {
            self.wake_others(client);
        }
        Ok(dropped > 0)
    }
}
