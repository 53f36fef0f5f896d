//! How do I test that everything arrives, at a service that fails at first?

use std::time::Duration;

use outbox_runtime::{http, prelude::*};
use outbox_testing::{FakeService, Reply, drain};

#[derive(OutboxEntity)]
#[outbox(event_type = "mood")]
struct Mood {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: &'static str,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let service = FakeService::start()?;
    service.reply(Reply::status(503)); // then 200
    let send = |(client, url): (reqwest::Client, String), event: Event<Mood>| async move {
        let key = event.idempotency_key().to_string();
        let request = client.put(url).header("idempotency-key", key);
        http::send(request, event.operation).await?;
        Ok(())
    };
    let store = MemoryStore::new();
    let state = (reqwest::Client::new(), service.url());
    let builder = Processor::builder(store.clone()).handle_with(state, send);
    let mood = Mood {
        id: 7,
        user_id: "user-1",
    };
    mood.enqueue_create().on(&store).await?;
    let report = drain(&builder.build()?, Duration::from_secs(30)).await?;
    assert_eq!(report.assert_empty(), 1);
    assert_eq!(service.received().len(), 2, "the second after the 503");
    println!("{report}");
    Ok(())
}
