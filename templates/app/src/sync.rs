//! The handler, and the processor that calls it.

use std::time::Duration;

use outbox_runtime::http;
use outbox_runtime::prelude::*;
use reqwest::{Client, redirect};

use crate::notes::{AppEvent, AppEventHandler, Note};

/// The service that hears of every change.
#[derive(Debug, Clone)]
pub struct Service {
    client: Client,
    url: String,
}

impl Service {
    /// The service at this address.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .redirect(redirect::Policy::none()) // a login page is no answer
            .build()?;
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { client, url })
    }
}

impl AppEventHandler for Service {
    async fn note(&self, event: Event<Note>) -> Result<(), HandlerError> {
        let request = self
            .client
            .put(format!("{}/notes/{}", self.url, event.entity_id))
            .header("Idempotency-Key", event.idempotency_key().to_string())
            .header("Content-Type", "application/json")
            .body(serde_json::to_string(event.metadata()).or_permanent()?);
        // The status decides what happens next.
        http::send(request, event.operation).await?;
        Ok(())
    }
}

/// The processor that delivers everything in the store.
pub fn processor(store: &SqliteStore, service: Service) -> anyhow::Result<Processor> {
    let processor = Processor::builder(store.clone())
        .handlers(AppEvent::handled_by(service))
        .build()?;
    Ok(processor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notes::Notes;
    use outbox_testing::{FakeService, Reply, drain};

    #[tokio::test]
    async fn a_note_arrives_although_the_service_fails_at_first() -> anyhow::Result<()> {
        let fake = FakeService::start()?;
        fake.reply(Reply::status(503)); // then 200
        let store = SqliteStore::open_in_memory().await?;
        let id = Notes::open(&store).await?.add("ada", "buy milk").await?;
        let processor = processor(&store, Service::new(&fake.url())?)?;

        let report = drain(&processor, Duration::from_secs(30)).await?;

        assert_eq!(report.assert_empty(), 1);
        let received = fake.received();
        assert_eq!(received.len(), 2, "the second after the 503");
        let keys: Vec<_> = received
            .iter()
            .map(|request| request.header("idempotency-key"))
            .collect();
        assert_eq!(keys[0], keys[1], "under the same key");
        assert_eq!(received[1].path, format!("/notes/{id}"));
        Ok(())
    }
}
