//! The pauses that a store remembers.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use outbox_runtime::store::kit::Pauses;
use outbox_runtime::{Pause, PauseScope};
use tokio_postgres::Row;

use crate::cursor::Cursors;

/// The pauses that a store remembers.
#[derive(Debug, Default)]
pub(crate) struct Remembered(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    known: Arc<Known>,
    /// When the next of them ends by itself. Claims then look at everything again.
    next_end: Option<DateTime<Utc>>,
}

/// Pauses, and the number that they have together.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) revision: i64,
    pub(crate) pauses: Pauses,
}

impl Remembered {
    pub(crate) fn at(&self, now: DateTime<Utc>, cursors: &Cursors) -> Arc<Known> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.next_end.is_some_and(|end| end <= now) {
            state.next_end = state.known.pauses.next_end(now);
            cursors.look_again();
        }
        Arc::clone(&state.known)
    }

    pub(crate) fn learn(&self, known: Known, now: DateTime<Utc>, cursors: &Cursors) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State {
            next_end: known.pauses.next_end(now),
            known: Arc::new(known),
        };
        cursors.look_again();
    }
}

impl Known {
    /// Reads all rows of the table.
    pub(crate) fn read(rows: &[Row]) -> Result<Self, tokio_postgres::Error> {
        let mut revision = 0;
        let mut pauses = Vec::with_capacity(rows.len());
        for row in rows {
            revision ^= row.try_get::<_, i64>(6)?;
            let kind: &str = row.try_get(0)?;
            let name: String = row.try_get(1)?;
            let Some(scope) = PauseScope::from_parts(kind, name) else {
                continue;
            };
            let mut pause = Pause::new(scope);
            if let Some(by) = row.try_get::<_, Option<String>>(4)? {
                pause = pause.by(by);
            }
            if let Some(because) = row.try_get::<_, Option<String>>(5)? {
                pause = pause.because(because);
            }
            if let Some(until) = row.try_get::<_, Option<DateTime<Utc>>>(3)? {
                pause = pause.until(until);
            }
            pauses.push(pause.begin(row.try_get(2)?));
        }
        Ok(Self {
            revision,
            pauses: Pauses::new(pauses),
        })
    }
}
