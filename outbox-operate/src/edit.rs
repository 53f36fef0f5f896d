//! `edit`: the priority, the due time, the attempts and the expiry of a waiting event.

use chrono::{DateTime, Utc};
use outbox_runtime::{OutboxRepository, StoreError, StoreErrorKind};
use uuid::Uuid;

/// How often an event is read and edited again that changed in between.
const TRIES: usize = 5;

/// A change of a waiting event; a field that is `None` stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Edit {
    /// The new priority.
    pub priority: Option<i32>,
    /// When the next attempt is due.
    pub due: Option<DateTime<Utc>>,
    /// The number of attempts after which the event becomes a dead letter.
    pub attempts: Option<u32>,
    /// When the event expires. One that is due later becomes due then. One that was put off beyond
    /// its former expiry stays due at that, because what it was to wait for is not known anymore;
    /// say with [`due`](Self::due) when it is to be sent.
    pub expires: Option<DateTime<Utc>>,
}

/// Why an event was not edited, for people.
pub type NotEdited = String;

impl Edit {
    /// Whether nothing is to be changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Edits one event; returns why not.
    ///
    /// # Errors
    ///
    /// The errors of the store.
    pub async fn apply(
        &self,
        id: Uuid,
        store: &dyn OutboxRepository,
    ) -> Result<Option<NotEdited>, StoreError> {
        let unknown = || Some("there is no such event".to_owned());
        let mut refusal = None;
        for _ in 0..TRIES {
            let Some(mut event) = store.fetch_event(id).await? else {
                return Ok(unknown());
            };
            event.priority = self.priority.unwrap_or(event.priority);
            event.next_attempt_at = self.due.unwrap_or(event.next_attempt_at);
            event.max_attempts = self.attempts.unwrap_or(event.max_attempts);
            if let Some(expires) = self.expires {
                event.expires_at = Some(expires);
                event.next_attempt_at = event.next_attempt_at.min(expires);
            }
            match store.update_event(&event).await {
                Ok(()) => return Ok(None),
                Err(error) if error.kind() == StoreErrorKind::Conflict => {
                    refusal = Some(error.to_string());
                }
                Err(error) if error.kind() == StoreErrorKind::NotFound => return Ok(unknown()),
                Err(error) => return Err(error),
            }
        }
        let text = refusal.unwrap_or_default();
        let text = text.strip_prefix("update_event: ").unwrap_or(&text);
        Ok(Some(text.to_owned()))
    }
}
