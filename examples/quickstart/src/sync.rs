//! The handler: how a mood entry gets to the server, and what each answer of the server means for the event.

use std::sync::Arc;
use std::time::Duration;

use outbox_runtime::prelude::*;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde::Serialize;
use uuid::Uuid;

use crate::app::{LumeEventHandler, MoodEntry, MoodEntryMetadata};
use crate::tokens::Tokens;

/// Sends what happened on this device to the service.
#[derive(Debug)]
pub(crate) struct LumeSync {
    http: Client,
    entries_url: String,
    tokens: Arc<Tokens>,
}

/// A new entry, for the service.
#[derive(Serialize)]
struct NewEntry<'a> {
    id: String,
    #[serde(flatten)]
    metadata: &'a MoodEntryMetadata,
}

impl LumeSync {
    /// Sends to the service at `base_url`.
    pub(crate) fn new(http: Client, base_url: &str, tokens: Arc<Tokens>) -> Self {
        Self {
            http,
            entries_url: format!("{base_url}/api/v1/wellness/mood-entries"),
            tokens,
        }
    }

    fn request(&self, event: &Event<MoodEntry>) -> RequestBuilder {
        let entry_url = format!("{}/{}", self.entries_url, event.entity_id);
        let metadata = event.metadata();
        match event.operation {
            Operation::Create => self.http.post(&self.entries_url).json(&NewEntry {
                id: event.entity_id.to_string(),
                metadata,
            }),
            Operation::Update => self.http.put(entry_url).json(metadata),
            Operation::Delete => {
                let line = metadata.line;
                self.http.delete(format!("{entry_url}?line={line}"))
            }
        }
    }
}

impl LumeEventHandler for LumeSync {
    async fn mood_entry(&self, event: Event<MoodEntry>) -> Result<(), HandlerError> {
        let Some(token) = self.tokens.access(&event.user_id) else {
            return Err(HandlerError::unauthenticated());
        };
        let key: Uuid = event.idempotency_key();
        let response = self
            .request(&event)
            .bearer_auth(token)
            .header("Idempotency-Key", key.to_string())
            .send()
            .await
            .map_err(unsent)?;
        let (status, headers) = (response.status(), response.headers().clone());
        // Read to its end even where it is a success: a connection that breaks in the middle of the answer leaves open
        // what the server did, and the same key asked again tells.
        let answer = response.text().await.map_err(unsent);
        if status.is_success() {
            return answer.map(drop);
        }
        Err(refused(
            status,
            retry_after(&headers),
            event.operation,
            &answer.unwrap_or_default(),
        ))
    }
}

/// What it means that there is no answer.
fn unsent(error: reqwest::Error) -> HandlerError {
    if error.is_connect() {
        HandlerError::offline()
    } else {
        HandlerError::retry(error.without_url())
    }
}

/// What an answer other than a success means. The status decides; the text is only for people.
fn refused(
    status: StatusCode,
    retry_after: Option<Duration>,
    operation: Operation,
    text: &str,
) -> HandlerError {
    const PAUSE: Duration = Duration::from_secs(1);
    let message = format!("{status}: {text}");
    match status {
        StatusCode::UNAUTHORIZED => HandlerError::unauthenticated(),
        StatusCode::TOO_MANY_REQUESTS => HandlerError::rate_limited(retry_after.unwrap_or(PAUSE)),
        // Only a delete wants nothing more than that. An update of what is not there is a change that would be lost.
        StatusCode::NOT_FOUND | StatusCode::GONE if operation == Operation::Delete => {
            HandlerError::obsolete()
        }
        status if status.is_server_error() => match retry_after {
            Some(after) => HandlerError::retry(message).with_retry_after(after),
            None => HandlerError::retry(message),
        },
        _ => HandlerError::permanent(message),
    }
}

/// `Retry-After` in seconds. The form with a date is not worth a clock here: without a number the default applies.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use outbox_runtime::Delivery;

    use super::*;

    fn meaning(status: u16, operation: Operation) -> Delivery {
        let after = Some(Duration::from_secs(7));
        let status = StatusCode::from_u16(status).unwrap();
        refused(status, after, operation, "").delivery()
    }

    #[test]
    fn the_status_decides() {
        let after = Duration::from_secs(7);
        let update = Operation::Update;
        assert_eq!(meaning(401, update), Delivery::Unauthenticated);
        assert_eq!(meaning(429, update), Delivery::RateLimited { after });
        assert_eq!(meaning(503, update), Delivery::Retry { after: Some(after) });
        assert_eq!(meaning(404, Operation::Delete), Delivery::Obsolete);
        assert_eq!(meaning(410, Operation::Delete), Delivery::Obsolete);
        assert_eq!(meaning(404, update), Delivery::Permanent);
        assert_eq!(meaning(404, Operation::Create), Delivery::Permanent);
        assert_eq!(meaning(400, update), Delivery::Permanent);
        assert_eq!(meaning(409, update), Delivery::Permanent);
    }

    #[test]
    fn a_pause_in_seconds_is_read_and_a_date_is_not() {
        let headers = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            headers
        };
        assert_eq!(retry_after(&headers("3")), Some(Duration::from_secs(3)));
        assert_eq!(retry_after(&headers("Wed, 21 Oct 2026 07:28:00 GMT")), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
