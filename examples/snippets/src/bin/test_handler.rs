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
    let (id, user_id) = (7, "user-1");
    let near = Mood {
        id,
        user_id,
        valence: 0.5,
    };
    assert!(
        perform(HandlerSet::new().with(send), &near)
            .await?
            .is_delivered()
    );
    let far = Mood {
        valence: 7.0,
        ..near
    };
    let performed = perform(HandlerSet::new().with(send), far.enqueue_update()).await?;
    assert!(performed.is_dead());
    println!("7.0 is a dead letter: {:?}", performed.message());
    Ok(())
}
