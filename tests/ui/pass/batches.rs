//! Batches of a variant: with literals, with constants, beside a shared handler and keywords, with
//! a generic entity, and in the order of a lane.

use std::sync::Arc;
use std::time::Duration;

use outbox_runtime::{
    BatchOrder, Batching, Event, HandlerError, OutboxEntity, OutboxEventHandler, OutboxEvents,
};

const MOST: usize = 50;
const WAIT: Duration = Duration::from_millis(500);
const ORDER: BatchOrder = BatchOrder::Keep;

#[derive(OutboxEntity)]
#[outbox(event_type = "goal")]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "tagged", order = "none")]
struct Tagged<T> {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    tag: T,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "steps", max_attempts = 2)]
struct Steps {
    #[outbox(entity_id, user_id)]
    id: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "edit", order = "user")]
struct Edit {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "draft")]
struct Draft {
    #[outbox(entity_id, user_id)]
    id: String,
}

#[derive(OutboxEvents)]
enum LumeEvent {
    #[outbox(batch = 100, within = "2s", batch_bytes = 65_536)]
    Goal(Event<Goal>),
    #[outbox(batch = MOST)]
    #[outbox(within = WAIT)]
    Type(outbox_runtime::Event<Tagged<u8>>),
    Steps(Event<Steps>),
    #[outbox(batch = 100, batch_order = "keep")]
    Edit(Event<Edit>),
    #[outbox(batch = 10, batch_order = ORDER)]
    Draft(Event<Draft>),
}

struct Service;

impl LumeEventHandler for Service {
    async fn goal(&self, batch: outbox_runtime::Batch<Event<Goal>>) -> Result<(), HandlerError> {
        for (index, event) in batch.iter().enumerate() {
            match event.entity_id.as_integer() {
                Some(1) => batch.ok(index),
                _ => batch.fail(index, HandlerError::obsolete()),
            }
        }
        Ok(())
    }

    async fn r#type(
        &self,
        batch: outbox_runtime::Batch<Event<Tagged<u8>>>,
    ) -> Result<(), HandlerError> {
        let tags = batch.into_iter().map(|event| event.metadata().tag);
        assert_eq!(tags.count(), batch.len());
        Ok(())
    }

    async fn steps(&self, _: Event<Steps>) -> Result<(), HandlerError> {
        Ok(())
    }

    async fn edit(&self, _: outbox_runtime::Batch<Event<Edit>>) -> Result<(), HandlerError> {
        Ok(())
    }

    async fn draft(&self, _: outbox_runtime::Batch<Event<Draft>>) -> Result<(), HandlerError> {
        Ok(())
    }
}

fn main() {
    let set = LumeEvent::handled_by(Arc::new(Service));
    let bounds = |of: &str| set.batching(of);
    let goals = Batching::of(100).within(Duration::from_secs(2));
    assert_eq!(bounds("goal"), Some(goals.up_to_bytes(65_536)));
    assert_eq!(bounds("tagged"), Some(Batching::of(50).within(WAIT)));
    assert_eq!(bounds("steps"), None);
    let in_order = |most| Batching::of(most).in_order(BatchOrder::Keep);
    assert_eq!(bounds("edit"), Some(in_order(100)));
    assert_eq!(bounds("draft"), Some(in_order(10)));
}
