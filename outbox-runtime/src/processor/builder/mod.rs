//! The builder of a processor: its handlers and layers.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use super::Processor;
use super::settings::Settings;
use crate::entity::OutboxEntity;
use crate::event::Event;
use crate::handler::{
    BatchHandlerFn, Batching, HandlerError, HandlerFn, HandlerSet, IntoHandlerSet, Layer,
    OutboxEventHandler,
};
use crate::repository::OutboxRepository;

mod building; // checks the settings against each other
mod hooks; // what the application is told, asked for, and shown
mod settings; // the settings that have a value

/// Builds a [`Processor`].
///
/// The guide: [settings](https://docs.rs/outbox-guide/latest/outbox_guide/settings/).
///
/// # Default
///
/// | | |
/// |---|---|
/// | [`batch_size`](Self::batch_size) | 100 |
/// | [`max_concurrency`](Self::max_concurrency) | 3 |
/// | [`retry`](Self::retry) | 1, 5, 30, 120, 600 s, plus up to 20 % jitter |
/// | [`timeout`](Self::timeout) | 30 s |
/// | [`lease`](Self::lease) | 60 s |
/// | [`stop_deadline`](Self::stop_deadline) | 10 s |
/// | [`keep_completed`](Self::keep_completed) | 24 h |
/// | [`cleanup_interval`](Self::cleanup_interval) | 300 s |
/// | [`charge`](Self::charge) | only on evidence: when other events get through |
/// | [`rejections`](Self::rejections) | pause after 20 in a row |
/// | [`layer`](Self::layer), [`limit`](Self::limit), [`pace`](Self::pace) | none |
///
/// # Examples
///
/// ```
/// # use outbox_runtime::{prelude::*, MemoryStore, Processor};
/// # use std::time::Duration;
/// # use uuid::Uuid;
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "moodEntry")]
/// # struct MoodEntry {
/// #     #[outbox(entity_id)] id: Uuid,
/// #     #[outbox(user_id)] user_id: String,
/// #     #[outbox(metadata)] valence: f64,
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let processor = Processor::builder(MemoryStore::new())
///     .handle::<MoodEntry>(|event| async move {
///         println!("{}", event.metadata().valence);
///         Ok(())
///     })
///     .max_concurrency(8)
///     .timeout(Duration::from_secs(10))
///     .build()?;
/// # Ok(())
/// # }
/// ```
///
/// Every setting that has a value, with its default:
///
/// ```
/// # use outbox_runtime::prelude::*;
/// # use std::time::Duration;
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "goal")]
/// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] title: String }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use outbox_runtime::{Charge, Rejections, RetryPolicy};
///
/// let processor = Processor::builder(MemoryStore::new())
///     .handle::<Goal>(|_| async { Ok(()) })
///     .batch_size(100)
///     .max_concurrency(3)
///     .retry(RetryPolicy::default())
///     .timeout(Duration::from_secs(30))
///     .lease(Duration::from_secs(60))
///     .stop_deadline(Duration::from_secs(10))
///     .keep_completed(Duration::from_secs(24 * 3600))
///     .cleanup_interval(Duration::from_secs(300))
///     .charge(Charge::Evidence)
///     .rejections(Rejections::Pause)
///     .build()?;
/// # drop(processor);
/// # Ok(())
/// # }
/// ```
#[must_use = "call `.build()`"]
pub struct ProcessorBuilder {
    repository: Arc<dyn OutboxRepository>,
    handlers: Vec<Arc<dyn OutboxEventHandler>>,
    layers: Vec<Arc<dyn Layer>>,
    settings: Settings,
}

impl Processor {
    /// Creates a builder for a processor of this store.
    pub fn builder(repository: impl OutboxRepository) -> ProcessorBuilder {
        ProcessorBuilder::new(repository)
    }
}

impl ProcessorBuilder {
    fn new(repository: impl OutboxRepository) -> Self {
        Self {
            repository: Arc::new(repository),
            handlers: Vec::new(),
            layers: Vec::new(),
            settings: Settings::default(),
        }
    }

    /// Registers a set of handlers, as returned by `YourEvents::handled_by(..)`. A rate limit
    /// pauses the whole set.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "goal")]
    /// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] title: String }
    /// #[derive(OutboxEvents)]
    /// enum AppEvent {
    ///     Goal(Event<Goal>),
    /// }
    ///
    /// struct Service;
    ///
    /// impl AppEventHandler for Service {
    ///     async fn goal(&self, event: Event<Goal>) -> Result<(), HandlerError> {
    ///         println!("PUT /goals/{}", event.entity_id);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # fn build() -> Result<Processor, outbox_runtime::BuildError> {
    /// Processor::builder(MemoryStore::new()).handlers(AppEvent::handled_by(Service)).build()
    /// # }
    /// ```
    pub fn handlers(self, set: impl IntoHandlerSet) -> Self {
        self.handler(set.into_handler_set())
    }

    /// Registers a handler for one entity. To pass it a client or other state of the program, use
    /// [`handle_with`](Self::handle_with).
    pub fn handle<E: OutboxEntity>(self, handler: impl HandlerFn<E>) -> Self {
        self.handler(HandlerSet::new().with(handler))
    }

    /// Registers a handler for one entity that gets several events at once.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "steps")]
    /// # struct Steps { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String }
    /// # fn build() -> Result<Processor, outbox_runtime::BuildError> {
    /// use std::time::Duration;
    /// use outbox_runtime::Batching;
    ///
    /// let batching = Batching::of(100).within(Duration::from_secs(2));
    /// Processor::builder(MemoryStore::new())
    ///     .handle_batch::<Steps>(batching, |batch| async move {
    ///         println!("{} events in one call", batch.len());
    ///         Ok(())
    ///     })
    ///     .build()
    /// # }
    /// ```
    pub fn handle_batch<E: OutboxEntity>(
        self,
        batching: Batching,
        handler: impl BatchHandlerFn<E>,
    ) -> Self {
        self.handler(HandlerSet::new().with_batch(batching, handler))
    }

    /// Registers a handler for one entity that receives a clone of `state` with each event, such as
    /// a client, a pool, or an `Arc` of the app.
    ///
    /// A closure that captures the client would have to clone it itself, because many deliveries
    /// can be in flight at once.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "goal")]
    /// # struct Goal {
    /// #     #[outbox(entity_id)] id: i64,
    /// #     #[outbox(user_id)] user_id: String,
    /// # }
    /// # #[derive(Clone)] struct Client;
    /// # impl Client {
    /// #     async fn put(&self, _: &EntityId) -> Result<(), HandlerError> { Ok(()) }
    /// # }
    /// # fn build(client: Client) -> Result<Processor, outbox_runtime::BuildError> {
    /// Processor::builder(MemoryStore::new())
    ///     .handle_with(client, |client, event: Event<Goal>| async move {
    ///         client.put(&event.entity_id).await
    ///     })
    ///     .build()
    /// # }
    /// ```
    pub fn handle_with<E, S, F, Fut>(self, state: S, handler: F) -> Self
    where
        E: OutboxEntity,
        S: Clone + Send + Sync + 'static,
        F: Fn(S, Event<E>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        self.handle(move |event| handler(state.clone(), event))
    }

    /// Registers an untyped handler. If two of them can handle a type that neither names in
    /// [`entities`](OutboxEventHandler::entities), the one registered first gets the event.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// /// Passes on whatever other programs enqueue.
    /// struct Relay;
    ///
    /// #[async_trait]
    /// impl OutboxEventHandler for Relay {
    ///     fn can_handle(&self, _event_type: &str) -> bool {
    ///         true
    ///     }
    ///
    ///     async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError> {
    ///         println!("{} {}", event.event_type, event.entity_id);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # fn build() -> Result<Processor, outbox_runtime::BuildError> {
    /// Processor::builder(MemoryStore::new()).handler(Relay).build()
    /// # }
    /// ```
    pub fn handler(mut self, handler: impl OutboxEventHandler) -> Self {
        self.handlers.push(Arc::new(handler));
        self
    }

    /// Adds a layer around every attempt of this processor, whatever the order in which handlers
    /// and layers are added: outside of the [layers of each set](HandlerSet::layer), and inside of
    /// the layers of the processor that were added before. Default: none.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # use outbox_runtime::Answer;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "goal")]
    /// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String }
    /// # fn build() -> Result<Processor, outbox_runtime::BuildError> {
    /// struct Slow(std::time::Duration);
    ///
    /// #[async_trait]
    /// impl Layer for Slow {
    ///     async fn attempt(&self, event: &OutboxEvent, next: Next<'_>) -> Answer {
    ///         let began = std::time::Instant::now();
    ///         let answer = next.run().await;
    ///         if began.elapsed() > self.0 {
    ///             eprintln!("{} took {:?}: {}", event.id, began.elapsed(), answer.class());
    ///         }
    ///         answer
    ///     }
    /// }
    ///
    /// Processor::builder(MemoryStore::new())
    ///     .handle::<Goal>(|_| async { Ok(()) })
    ///     .layer(Slow(std::time::Duration::from_secs(5)))
    ///     .build()
    /// # }
    /// ```
    pub fn layer(mut self, layer: impl Layer) -> Self {
        self.layers.push(Arc::new(layer));
        self
    }
}

impl fmt::Debug for ProcessorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessorBuilder")
            .field("repository", &self.repository)
            .field("handlers", &self.handlers.len())
            .finish_non_exhaustive()
    }
}
