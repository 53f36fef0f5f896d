//! The user undoes a change: can it be taken back before it is sent?
use anyhow::ensure;
use outbox_runtime::{Cancel, prelude::*};

#[derive(OutboxEntity)]
#[outbox(event_type = "message")]
struct Message {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    text: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = SqliteStore::open_in_memory().await?;
    let (user_id, text) = ("user-1".to_owned(), "Hi!".to_owned());
    let message = Message {
        id: 7,
        user_id,
        text,
    };
    message.enqueue_create().on(&store).await?;
    // In one transaction with the app's own undo.
    let undo = store.transaction(|tx| Ok(Cancel::entity("user-1", 7).on(tx)?));
    let answer = undo.await?;
    ensure!(answer.canceled.len() == 1 && answer.is_complete());
    for (id, status) in answer.too_late {
        println!("{id} is {status} already: tell the service");
    }
    ensure!(store.statistics(None).await?.pending_count == 0);
    println!("the message is not sent");
    Ok(())
}
