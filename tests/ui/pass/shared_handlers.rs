//! Smart pointers to a handler are handlers, and a wrapper around a delivery error can be
//! transparent.
#![deny(warnings)]

use std::fmt;
use std::sync::Arc;

use outbox_runtime::prelude::*;
use outbox_runtime::{Delivery, OutboxEventHandler};
use outbox_runtime::store::BoxError;

#[derive(OutboxEntity)]
#[outbox(event_type = "goal")]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[derive(OutboxEvents)]
enum LumeEvent {
    Goal(Event<Goal>),
}

struct Sync;

impl LumeEventHandler for Sync {
    async fn goal(&self, event: Event<Goal>) -> Result<(), HandlerError> {
        println!("{}", event.id);
        Ok(())
    }
}

#[derive(Debug, Clone)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl std::error::Error for Refused {}

impl DeliveryError for Refused {
    fn delivery(&self) -> Delivery {
        Delivery::Permanent
    }
}

#[derive(Debug, DeliveryError)]
enum SyncError {
    #[outbox(transparent)]
    Shared(Arc<Refused>),
    #[outbox(transparent)]
    Owned(Box<Refused>),
    #[outbox(transparent)]
    Any(Box<dyn DeliveryError>),
    #[outbox(transparent)]
    SharedAny(Arc<dyn DeliveryError>),
    #[outbox(transparent)]
    Sent(Box<dyn DeliveryError + Send + std::marker::Sync>),
}

impl fmt::Display for SyncError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shared(error) => error.fmt(f),
            Self::Owned(error) => error.fmt(f),
            Self::Any(error) => error.fmt(f),
            Self::SharedAny(error) => error.fmt(f),
            Self::Sent(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SyncError {}

fn any() -> Result<(), HandlerError> {
    let error: Box<dyn DeliveryError> = Box::new(Refused);
    Err(error)?
}

fn main() {
    let sync = Arc::new(Sync);
    let set = LumeEvent::handled_by(Arc::clone(&sync));
    let twice = LumeEvent::handled_by(Arc::new(sync));
    assert!(set.can_handle("goal") && twice.can_handle("goal"));
    let shared: Arc<dyn OutboxEventHandler> = Arc::new(set);
    let owned: Box<dyn OutboxEventHandler> = Box::new(shared);
    assert_eq!(owned.entities().len(), 1);
    drop(Processor::builder(MemoryStore::new()).handler(owned));

    for error in [
        SyncError::Shared(Arc::new(Refused)),
        SyncError::Owned(Box::new(Refused)),
        SyncError::Any(Box::new(Refused)),
        SyncError::SharedAny(Arc::new(Refused)),
        SyncError::Sent(Box::new(Refused)),
        SyncError::Sent(Box::new(Refused)),
    ] {
        assert_eq!(error.delivery(), Delivery::Permanent);
        assert_eq!(HandlerError::from(error).to_string(), "refused");
    }
    assert_eq!(any().unwrap_err().delivery(), Delivery::Permanent);
    let boxed: BoxError = Box::<dyn DeliveryError>::from(Box::new(Refused)).into();
    assert_eq!(boxed.to_string(), "refused");
    let _ = (|goal: Goal| goal.user_id, LumeEvent::EVENT_TYPES);
}
