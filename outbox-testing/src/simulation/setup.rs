//! The parts that the user supplies, and the error that ends a simulation early.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::remote::Remote;
use crate::{ManualClock, SeededRng};
use outbox_runtime::{EnqueueError, NewEvent, OutboxEventHandler, OutboxRepository, StoreError};

/// Makes a change of the given user.
pub(super) type Changes = Box<dyn FnMut(&mut SeededRng, &str) -> Result<NewEvent, EnqueueError>>;

/// Makes the handlers of a process.
pub(super) type Handlers = Box<dyn Fn(Remote) -> Arc<dyn OutboxEventHandler>>;

/// A store, and a guard that must outlive it.
pub(super) type MadeStore = (Arc<dyn OutboxRepository>, Box<dyn Any>);
pub(super) type MakeStore =
    Box<dyn FnOnce(ManualClock) -> Pin<Box<dyn Future<Output = MadeStore>>>>;

/// An error that prevents the simulation from continuing.
pub(super) struct Setup(pub(super) String);

impl From<StoreError> for Setup {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

pub(super) fn boxed<S, G, F>(make: impl FnOnce(ManualClock) -> F + 'static) -> MakeStore
where
    S: OutboxRepository,
    G: 'static,
    F: Future<Output = (S, G)> + 'static,
{
    Box::new(move |clock| {
        Box::pin(async move {
            let (store, guard) = make(clock).await;
            let store: Arc<dyn OutboxRepository> = Arc::new(store);
            let guard: Box<dyn Any> = Box::new(guard);
            (store, guard)
        })
    })
}
