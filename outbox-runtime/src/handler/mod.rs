//! Handlers, and the routing of events to them.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;

use crate::entity::{EntityOptions, OutboxEntity, Retired};
use crate::event::{Event, OutboxEvent};

mod answer; // a handler's answer
mod answer_class; // the same as layers see it
mod batch; // several events for one call
mod batching; // how many, and how long they are gathered
pub(crate) mod derived; // the runtime part of #[derive(DeliveryError)]
mod layer; // code around every attempt
mod routes; // the handler of each entity of a set

pub use self::answer::{Delivery, DeliveryError, HandlerError, HandlerResult, Scope};
pub use self::answer_class::{Answer, AnswerClass};
pub(crate) use self::batch::{Answers, NO_ANSWER};
pub use self::batch::{Batch, BatchHandlerFn};
pub use self::batching::Batching;
pub(crate) use self::layer::Layered;
use self::layer::Layers;
pub use self::layer::{Layer, Next, NextBatch};
use self::routes::{Route, Routes};

/// A handler of untyped events, for relays and bridges.
///
/// Applications usually derive [`OutboxEvents`](crate::OutboxEvents) and implement the generated
/// trait; the value that `handled_by` returns implements this trait too.
///
/// # Contract
///
/// - Delivery is **at least once**: an event may be delivered again after a crash, a timeout or a
///   lost lease. Send [`id`](OutboxEvent::id) as the idempotency key.
/// - Events of an entity are delivered one at a time, in the order they were enqueued, unless their
///   type has another [`Order`](crate::Order).
/// - The future may be dropped at any await point: at its timeout, when its lease is lost, when the
///   processor stops.
/// - The future must not block its thread. A blocked future cannot be stopped, and on a
///   single-threaded runtime it blocks everything else, including the renewal of leases. Use
///   `tokio::task::spawn_blocking` for blocking work.
/// - A panic, including one in an error's `Display`, is a failure and is retried.
///
/// # Examples
///
/// ```
/// use outbox_runtime::{HandlerError, OutboxEvent, OutboxEventHandler, async_trait};
///
/// struct Relay;
///
/// #[async_trait]
/// impl OutboxEventHandler for Relay {
///     fn can_handle(&self, event_type: &str) -> bool {
///         event_type.starts_with("audit.")
///     }
///
///     async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError> {
///         println!("{} {}", event.event_type, event.entity_id);
///         Ok(())
///     }
/// }
/// ```
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle outbox events",
    label = "not a handler of untyped events",
    note = "for a set of entities: `YourEvents::handled_by(your_handler)`; for any event type: implement `OutboxEventHandler`"
)]
pub trait OutboxEventHandler: Send + Sync + 'static {
    /// Whether this handler accepts events of this type. Must be constant for each type.
    fn can_handle(&self, event_type: &str) -> bool;

    /// Delivers an event.
    ///
    /// # Errors
    ///
    /// A [`HandlerError`], which determines the runtime's reaction.
    // The compiler quotes the next line if the attribute is missing.
    async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError>; // above the `impl`: #[async_trait]

    /// The entity types that this handler lists, with their aliases, retry schedules, timeouts and
    /// leases.
    ///
    /// Default: none; only [`can_handle`](Self::can_handle) is consulted, and every type has the
    /// processor's settings.
    fn entities(&self) -> Vec<EntityOptions> {
        Vec::new()
    }

    /// How events of this type are delivered together, by [`handle_batch`](Self::handle_batch).
    /// Must be constant for each type.
    ///
    /// Default: `None`; each event is delivered by [`handle`](Self::handle). A handler that wraps
    /// another must forward this call, and that of [`handle_batch`](Self::handle_batch).
    fn batching(&self, event_type: &str) -> Option<Batching> {
        let _ = event_type;
        None
    }

    /// Delivers a batch of events, for types with a [`batching`](Self::batching).
    ///
    /// Default: each event in turn by [`handle`](Self::handle).
    ///
    /// # Errors
    ///
    /// A [`HandlerError`] for the events without [an answer of their own](Batch::fail).
    async fn handle_batch(&self, batch: Batch<OutboxEvent>) -> Result<(), HandlerError> {
        for (index, event) in batch.iter().enumerate() {
            match self.handle(event).await {
                Ok(()) => batch.ok(index),
                Err(error) => batch.fail(index, error),
            }
        }
        Ok(())
    }

    /// The event types that are no longer delivered, and what happens to their stored events. No
    /// handler of the processor may take them.
    ///
    /// Default: none. A handler that wraps another must forward this call.
    fn retired(&self) -> Vec<Retired> {
        Vec::new()
    }

    /// Removes everything from an error message about `event` that must not be stored or logged.
    ///
    /// Default: the message is unchanged. [`HandlerSet`] removes the values of
    /// `#[outbox(sensitive)]` fields. A handler that wraps another must forward this call.
    fn redact(&self, event: &OutboxEvent, text: String) -> String {
        let _ = event;
        text
    }
}

/// Implements the trait for smart pointers to handlers.
macro_rules! by_pointer {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<H: OutboxEventHandler + ?Sized> OutboxEventHandler for $pointer<H> {
            fn can_handle(&self, event_type: &str) -> bool {
                (**self).can_handle(event_type)
            }

            async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError> {
                (**self).handle(event).await
            }

            fn entities(&self) -> Vec<EntityOptions> {
                (**self).entities()
            }

            fn batching(&self, event_type: &str) -> Option<Batching> {
                (**self).batching(event_type)
            }

            async fn handle_batch(&self, batch: Batch<OutboxEvent>) -> Result<(), HandlerError> {
                (**self).handle_batch(batch).await
            }

            fn retired(&self) -> Vec<Retired> {
                (**self).retired()
            }

            fn redact(&self, event: &OutboxEvent, text: String) -> String {
                (**self).redact(event, text)
            }
        }
    )*};
}

by_pointer!(Arc, Box);

/// A function that delivers the events of one entity: any `Fn(Event<E>)` that returns a `Send`
/// future of the answer.
///
/// Implemented for all such functions and nothing else.
///
/// # Examples
///
/// ```
/// # use outbox_runtime::prelude::*;
/// # use outbox_runtime::HandlerSet;
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "goal")]
/// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String }
/// async fn send(event: Event<Goal>) -> Result<(), HandlerError> {
///     println!("{}", event.entity_id);
///     Ok(())
/// }
///
/// let by_name = HandlerSet::new().with(send);
/// let by_closure = HandlerSet::new().with::<Goal>(|event| async move { send(event).await });
/// let by_async_closure = HandlerSet::new().with(async |event: Event<Goal>| send(event).await);
/// ```
#[diagnostic::on_unimplemented(
    message = "this is not a handler for `{E}` events",
    label = "not a function from `Event<{E}>` to a future",
    note = "a handler is a `Fn(Event<{E}>)` that returns a `Send` future of `Result<(), HandlerError>`"
)]
pub trait HandlerFn<E: OutboxEntity>:
    Fn(Event<E>) -> <Self as HandlerFn<E>>::Answer + Send + Sync + 'static
{
    /// The future that the function returns.
    type Answer: Future<Output = Result<(), HandlerError>> + Send + 'static;
}

impl<E, F, Fut> HandlerFn<E> for F
where
    E: OutboxEntity,
    F: Fn(Event<E>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
{
    type Answer = Fut;
}

/// The argument of [`ProcessorBuilder::handlers`](crate::ProcessorBuilder::handlers): a
/// [`HandlerSet`], as returned by `handled_by` of an event set.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a set of handlers",
    label = "expected a `HandlerSet`, as `handled_by` returns it",
    note = "for a type that implements the handler trait of a set of events: `.handlers(YourEvents::handled_by(your_handler))`",
    note = "for a type that implements `OutboxEventHandler`: `.handler(your_handler)`; for a function or a closure: `.handle(..)`"
)]
pub trait IntoHandlerSet {
    /// Converts to the set.
    fn into_handler_set(self) -> HandlerSet;
}

impl IntoHandlerSet for HandlerSet {
    fn into_handler_set(self) -> HandlerSet {
        self
    }
}

/// Typed handlers, one per entity, as returned by `handled_by` of an
/// [`OutboxEvents`](crate::OutboxEvents) set.
///
/// # Examples
///
/// Built manually, for one entity:
///
/// ```
/// # use outbox_runtime::prelude::*;
/// # use uuid::Uuid;
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "moodEntry")]
/// # struct MoodEntry {
/// #     #[outbox(entity_id)]
/// #     id: Uuid,
/// #     #[outbox(user_id)]
/// #     user_id: String,
/// #     #[outbox(metadata)]
/// #     valence: f64,
/// # }
/// use outbox_runtime::{HandlerSet, OutboxEventHandler};
///
/// let set = HandlerSet::new().with::<MoodEntry>(|event| async move {
///     println!("{}", event.metadata().valence);
///     Ok(())
/// });
/// assert!(set.can_handle("moodEntry"));
/// ```
#[derive(Default)]
#[must_use = "handlers do nothing until a processor has them"]
pub struct HandlerSet {
    routes: Routes,
    retired: Vec<Retired>,
    layers: Layers,
}

impl HandlerSet {
    /// Creates an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a handler for the entity `E`.
    pub fn with<E: OutboxEntity>(mut self, handler: impl HandlerFn<E>) -> Self {
        self.routes.push(Route::one(handler));
        self
    }

    /// Adds a batch handler for the entity `E`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "steps")]
    /// # struct Steps { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String }
    /// use std::time::Duration;
    /// use outbox_runtime::{Batching, HandlerSet};
    ///
    /// let batching = Batching::of(100).within(Duration::from_secs(2));
    /// let set = HandlerSet::new().with_batch::<Steps>(batching, |batch| async move {
    ///     println!("{} events in one call", batch.len());
    ///     Ok(())
    /// });
    /// ```
    pub fn with_batch<E: OutboxEntity>(
        mut self,
        batching: Batching,
        handler: impl BatchHandlerFn<E>,
    ) -> Self {
        self.routes.push(Route::batch(batching, handler));
        self
    }

    /// Retires event types: their stored events are dropped, made dead letters or held, as
    /// `#[outbox(retired(..))]` of an event set says. Default: none.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::HandlerSet;
    /// use outbox_runtime::support::{Retired, Retirement};
    ///
    /// let set = HandlerSet::new().retire(&[Retired::new("legacyType", Retirement::Drop)]);
    /// # drop(set);
    /// ```
    pub fn retire(mut self, types: &[Retired]) -> Self {
        self.retired.extend_from_slice(types);
        self
    }

    /// Adds a layer around every attempt of the set, whatever the order in which handlers and
    /// layers are added. The layer that is added first is the outermost. Default: none.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # use outbox_runtime::{Answer, HandlerSet};
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "goal")]
    /// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String }
    /// struct Counts;
    ///
    /// #[async_trait]
    /// impl Layer for Counts {
    ///     async fn attempt(&self, event: &OutboxEvent, next: Next<'_>) -> Answer {
    ///         let answer = next.run().await;
    ///         println!("{}: {}", event.event_type, answer.class());
    ///         answer
    ///     }
    /// }
    ///
    /// let set = HandlerSet::new().with::<Goal>(|_| async { Ok(()) }).layer(Counts);
    /// # drop(set);
    /// ```
    pub fn layer(mut self, layer: impl Layer) -> Self {
        self.layers.push(Arc::new(layer));
        self
    }
}

#[async_trait]
impl OutboxEventHandler for HandlerSet {
    fn can_handle(&self, event_type: &str) -> bool {
        self.routes.can_handle(event_type)
    }

    async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError> {
        if self.layers.is_empty() {
            return self.routes.deliver(event).await;
        }
        match self.routes.batching(&event.event_type) {
            None => self.layers.around(event, &self.routes).await,
            Some(_) => routes::alone(event, |batch| self.handle_batch(batch)).await,
        }
    }

    fn batching(&self, event_type: &str) -> Option<Batching> {
        self.routes.batching(event_type)
    }

    async fn handle_batch(&self, batch: Batch<OutboxEvent>) -> Result<(), HandlerError> {
        if self.layers.is_empty() {
            return self.routes.deliver_batch(batch).await;
        }
        self.layers.around_batch(&batch, &self.routes).await
    }

    fn entities(&self) -> Vec<EntityOptions> {
        self.routes.iter().map(|route| route.options).collect()
    }

    fn retired(&self) -> Vec<Retired> {
        self.retired.clone()
    }

    fn redact(&self, event: &OutboxEvent, text: String) -> String {
        self.routes.redact(event, text)
    }
}

impl fmt::Debug for HandlerSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let types = self.routes.iter().map(|route| route.options.event_type());
        f.debug_set().entries(types).finish()
    }
}

/// Routes every entity of a set to one handler value; used by the `handled_by` that the derive
/// generates.
#[doc(hidden)]
#[must_use]
pub struct SharedHandlers<H> {
    handler: Arc<H>,
    set: HandlerSet,
}

impl<H: Send + Sync + 'static> SharedHandlers<H> {
    #[doc(hidden)]
    pub fn new(handler: H) -> Self {
        Self {
            handler: Arc::new(handler),
            set: HandlerSet::new(),
        }
    }

    #[doc(hidden)]
    pub fn route<E, F, Fut>(mut self, method: F) -> Self
    where
        E: OutboxEntity,
        F: Fn(Arc<H>, Event<E>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        let handler = Arc::clone(&self.handler);
        self.set = self
            .set
            .with::<E>(move |event| method(Arc::clone(&handler), event));
        self
    }

    #[doc(hidden)]
    pub fn route_batch<E, F, Fut>(mut self, batching: Batching, method: F) -> Self
    where
        E: OutboxEntity,
        F: Fn(Arc<H>, Batch<Event<E>>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        let handler = Arc::clone(&self.handler);
        self.set = self
            .set
            .with_batch::<E>(batching, move |batch| method(Arc::clone(&handler), batch));
        self
    }

    #[doc(hidden)]
    pub fn build(self) -> HandlerSet {
        self.set
    }
}

impl<H> fmt::Debug for SharedHandlers<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.set.fmt(f)
    }
}
