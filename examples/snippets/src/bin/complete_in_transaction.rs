//! The service answers with an id of its own: how is it saved exactly if the event is delivered?
//!
//! Complete the event in the transaction that saves the id: both are committed, or neither.

use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::Savepoint;

#[derive(OutboxEntity)]
#[outbox(event_type = "goal")]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

async fn send(store: SqliteStore, event: Event<Goal>) -> Result<(), HandlerError> {
    let remote_id = format!("g-{}", event.idempotency_key()); // the service's answer
    let saved = store.transaction(move |tx| {
        tx.execute("INSERT INTO remote_ids VALUES (?1)", [remote_id])?;
        event.complete_on(tx)?; // fails if another worker has the event meanwhile
        Ok(())
    });
    saved.await.or_retry()
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = SqliteStore::open_in_memory().await?;
    let table = |tx: &Savepoint<'_>| Ok(tx.execute_batch("CREATE TABLE remote_ids (id)")?);
    store.transaction(table).await?;
    let user_id = "user-1".to_owned();
    Goal { id: 7, user_id }.enqueue_create().on(&store).await?;
    let handlers = Processor::builder(store.clone()).handle_with(store.clone(), send);
    let running = handlers.build()?.start("user-1");
    let flushed = running.flush(7, std::time::Duration::from_secs(5)).await?;
    anyhow::ensure!(flushed.is_delivered() && store.statistics(None).await?.completed_count == 1);
    println!("the remote id and the completion are one commit");
    Ok(())
}
