//! The handler set: typed handlers, one per entity, and the layers around them.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;

use super::answer::HandlerError;
use super::batch::{Batch, BatchHandlerFn};
use super::batching::Batching;
use super::function::HandlerFn;
use super::layer::{Layer, Layers};
use super::routes::{self, Route, Routes};
use super::untyped::OutboxEventHandler;
use crate::entity::{EntityOptions, OutboxEntity, Retired};
use crate::event::{Event, OutboxEvent};

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
    /// The guide: [renames](https://docs.rs/outbox-guide/latest/outbox_guide/renames/).
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
