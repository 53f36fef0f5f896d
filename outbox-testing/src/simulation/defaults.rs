//! What a simulation enqueues and how it delivers, unless told otherwise.

use std::time::Duration;

use super::headers;
use super::remote::Remote;
use crate::SeededRng;
use outbox_runtime::{
    Coalesce, HandlerError, NewEvent, OnDead, Operation, Order, OutboxEvent, OutboxEventHandler,
    RawMetadata,
};

/// A random change: of a note, each of which is delivered, or of a draft, whose changes fold.
pub(super) fn any_change(rng: &mut SeededRng, user: &str) -> NewEvent {
    let operation = *rng.pick(&[Operation::Create, Operation::Update, Operation::Delete]);
    let entity = rng.below(3) as i64;
    let (event_type, coalesce) =
        *rng.pick(&[("note", Coalesce::Never), ("draft", Coalesce::Latest)]);
    let order = *rng.pick(&[Order::Entity, Order::Entity, Order::User, Order::None]);
    let word = rng.word();
    let text = format!(r#"{{"text":"{word}"}}"#);
    NewEvent::new(event_type, entity, user, operation)
        .with_metadata(RawMetadata::from_bytes(text))
        .with_priority(rng.below(3) as i32)
        .with_max_attempts(1 + rng.below(5) as u32)
        .with_delay(Duration::from_secs(rng.below(2) * rng.below(60)))
        .with_order(order)
        .with_on_dead(*rng.pick(&[OnDead::Hold, OnDead::Skip]))
        .with_coalesce(coalesce)
        .with_headers(headers::draw(&mut SeededRng::new(word)))
}

/// Sends every event.
pub(super) struct SendAll(pub(super) Remote);

#[async_trait::async_trait]
impl OutboxEventHandler for SendAll {
    fn can_handle(&self, _: &str) -> bool {
        true
    }

    async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError> {
        Ok(self.0.send(event).await?)
    }
}
