//! The handler: sends mood entries to the server. `send` of the library decides what each response,
//! or its absence, means for the event.

use std::sync::Arc;

use outbox_runtime::http::send;
use outbox_runtime::prelude::*;
use reqwest::{Client, RequestBuilder};
use serde::Serialize;
use uuid::Uuid;

use crate::app::{LumeEventHandler, MoodEntry, MoodEntryMetadata};
use crate::tokens::Tokens;

/// Sends the changes of this device to the service.
#[derive(Debug)]
pub(crate) struct LumeSync {
    http: Client,
    entries_url: String,
    tokens: Arc<Tokens>,
}

/// The request body of a new entry.
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
        let request = self
            .request(&event)
            .bearer_auth(token)
            .header("Idempotency-Key", key.to_string());
        let response = send(request, event.operation).await?;
        // A connection that breaks during the response leaves the outcome unknown; a retry with the
        // same key resolves it.
        response.bytes().await?;
        Ok(())
    }
}
