//! How do I test what my handler makes of an answer?

use outbox_runtime::{HandlerSet, prelude::*};
use outbox_testing::perform;

#[derive(OutboxEntity)]
#[outbox(event_type = "mood")]
struct Mood {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: &'static str,
    #[outbox(metadata)]
    valence: f64,
}

/// Stands for the app's handler.
async fn send(event: Event<Mood>) -> Result<(), HandlerError> {
    match event.metadata().valence {
        -1.0..=1.0 => Ok(()),
        _ => Err(HandlerError::permanent("out of range")),
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut mood = Mood {
        id: 7,
        user_id: "user-1",
        valence: 0.5,
    };
    let performed = perform(HandlerSet::new().with(send), &mood).await?;
    assert!(performed.is_delivered());
    mood.valence = 7.0;
    let performed = perform(HandlerSet::new().with(send), mood.enqueue_update()).await?;
    assert!(performed.is_dead());
    println!("7.0 is a dead letter: {:?}", performed.message());
    Ok(())
}
