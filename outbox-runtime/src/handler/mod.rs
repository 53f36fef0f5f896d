//! Handlers, and the routing of events to them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;

use crate::entity::{EntityOptions, OutboxEntity, Retired};
use crate::event::{Event, OutboxEvent, decode};
use crate::redaction::{Redaction, Sensitive};

mod answer; // a handler's answer
mod batch; // several events for one call
mod batching; // how many, and how long they are gathered
pub(crate) mod derived; // the runtime part of #[derive(DeliveryError)]

pub use self::answer::{Delivery, DeliveryError, HandlerError, HandlerResult, Scope};
pub(crate) use self::batch::{Answers, NO_ANSWER};
pub use self::batch::{Batch, BatchHandlerFn};
pub use self::batching::Batching;

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
///
/// With batches, options of a type, and a type that is no longer sent:
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::support::{EntityOptions, Retired, Retirement};
/// use outbox_runtime::{Batch, Batching, HandlerError, OutboxEvent, OutboxEventHandler, async_trait};
///
/// struct Importer;
///
/// #[async_trait]
/// impl OutboxEventHandler for Importer {
///     fn can_handle(&self, event_type: &str) -> bool {
///         event_type == "reading"
///     }
///
///     async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError> {
///         println!("{}", event.entity_id);
///         Ok(())
///     }
///
///     fn entities(&self) -> Vec<EntityOptions> {
///         vec![EntityOptions::new("reading").with_timeout(Duration::from_secs(5))]
///     }
///
///     fn batching(&self, _event_type: &str) -> Option<Batching> {
///         Some(Batching::of(500))
///     }
///
///     async fn handle_batch(&self, batch: Batch<OutboxEvent>) -> Result<(), HandlerError> {
///         println!("{} readings in one request", batch.len());
///         Ok(())
///     }
///
///     fn retired(&self) -> Vec<Retired> {
///         vec![Retired::new("readingV0", Retirement::Drop)]
///     }
///
///     fn redact(&self, _event: &OutboxEvent, text: String) -> String {
///         text.replace("s3cret", "***") // what the service echoes
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

type HandlerFuture = Pin<Box<dyn Future<Output = Result<(), HandlerError>> + Send>>;

/// The handler of one entity's events.
struct Route {
    options: EntityOptions,
    deliver: Deliver,
    redact: fn(&OutboxEvent, String) -> String,
}

/// How a route delivers.
enum Deliver {
    /// One event at a time.
    One(Box<dyn Fn(&OutboxEvent) -> HandlerFuture + Send + Sync>),
    /// Several at once.
    Batch(
        Batching,
        Box<dyn Fn(Batch<OutboxEvent>) -> HandlerFuture + Send + Sync>,
    ),
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
    routes: Vec<Route>,
    retired: Vec<Retired>,
}

impl HandlerSet {
    /// Creates an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a handler for the entity `E`.
    pub fn with<E: OutboxEntity>(mut self, handler: impl HandlerFn<E>) -> Self {
        self.routes.push(Route {
            options: E::OPTIONS,
            deliver: Deliver::One(Box::new(move |record| {
                tell_of_another_order::<E>(record);
                match decode::<E>(record) {
                    Ok(metadata) => Box::pin(handler(Event::new(record.clone(), metadata))),
                    Err(error) => Box::pin(std::future::ready(Err(error.into()))),
                }
            })),
            redact: redact::<E>,
        });
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
        let deliver = move |batch: Batch<OutboxEvent>| -> HandlerFuture {
            batch.iter().for_each(tell_of_another_order::<E>);
            let batch = batch.typed::<E>();
            if batch.is_empty() {
                return Box::pin(std::future::ready(Ok(())));
            }
            Box::pin(handler(batch))
        };
        self.routes.push(Route {
            options: E::OPTIONS,
            deliver: Deliver::Batch(batching, Box::new(deliver)),
            redact: redact::<E>,
        });
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

    fn route(&self, event_type: &str) -> Option<&Route> {
        self.routes
            .iter()
            .find(|route| route.options.is_stored_as(event_type))
    }
}

/// Warns about an event that was enqueued before the order of its type changed.
fn tell_of_another_order<E: OutboxEntity>(record: &OutboxEvent) {
    let (was, is) = (record.order, E::OPTIONS.order());
    if was != is {
        tracing::warn!(
            event_id = %record.id, event_type = E::EVENT_TYPE, order = was.as_str(), order_now = is.as_str(),
            "the event was enqueued with another order than its type has now; it keeps that order, and newer \
             events of its entity wait for it"
        );
    }
}

/// Delivers an event as a batch of its own.
async fn deliver_alone(
    deliver: &(dyn Fn(Batch<OutboxEvent>) -> HandlerFuture + Send + Sync),
    event: &OutboxEvent,
) -> Result<(), HandlerError> {
    let batch = Batch::new(vec![event.clone()]);
    let answers = batch.answers();
    let others = deliver(batch).await;
    let (mut own, _) = answers.take();
    own.pop().flatten().unwrap_or(others)
}

/// Removes the values registered by [`OutboxEntity::hide_sensitive`] from `text`.
fn redact<E: OutboxEntity>(event: &OutboxEvent, text: String) -> String {
    if E::SENSITIVE == Sensitive::Nothing {
        return text;
    }
    // An event that cannot be decoded never reached a handler, and the decode error quotes no
    // value.
    match (decode::<E>(event), &event.metadata) {
        (Ok(metadata), Some(stored)) => {
            let mut redaction = Redaction::default();
            E::hide_sensitive(&metadata, &mut redaction);
            let is_newest = event.metadata_version == E::OPTIONS.metadata_version();
            redaction.hide_stored(stored.as_bytes(), E::SENSITIVE, is_newest);
            redaction.apply(text)
        }
        _ => text,
    }
}

#[async_trait]
impl OutboxEventHandler for HandlerSet {
    fn can_handle(&self, event_type: &str) -> bool {
        self.route(event_type).is_some()
    }

    async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError> {
        match self.route(&event.event_type) {
            Some(Route {
                deliver: Deliver::One(deliver),
                ..
            }) => deliver(event).await,
            Some(Route {
                deliver: Deliver::Batch(_, deliver),
                ..
            }) => deliver_alone(&**deliver, event).await,
            None => Err(HandlerError::no_handler()),
        }
    }

    fn batching(&self, event_type: &str) -> Option<Batching> {
        match self.route(event_type)?.deliver {
            Deliver::One(_) => None,
            Deliver::Batch(batching, _) => Some(batching),
        }
    }

    async fn handle_batch(&self, batch: Batch<OutboxEvent>) -> Result<(), HandlerError> {
        let event_type = batch.first().map(|event| &*event.event_type);
        match event_type.and_then(|event_type| self.route(event_type)) {
            Some(Route {
                deliver: Deliver::Batch(_, deliver),
                ..
            }) => deliver(batch).await,
            // A type without a batch handler gets no batches from a processor.
            _ => Err(HandlerError::no_handler()),
        }
    }

    fn entities(&self) -> Vec<EntityOptions> {
        self.routes.iter().map(|route| route.options).collect()
    }

    fn retired(&self) -> Vec<Retired> {
        self.retired.clone()
    }

    fn redact(&self, event: &OutboxEvent, text: String) -> String {
        match self.route(&event.event_type) {
            Some(route) => (route.redact)(event, text),
            None => text,
        }
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
