//! Layers: code of the application around every attempt.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;

use super::answer::HandlerError;
use super::answer_class::Answer;
use super::batch::Batch;
use super::batching::Batching;
use super::untyped::OutboxEventHandler;
use crate::entity::{EntityOptions, Retired};
use crate::event::OutboxEvent;

/// Code that runs around every attempt, such as a measurement, a log, a switch that turns delivery
/// off, or a context for the handler. Add it to a set with [`HandlerSet::layer`], or to everything
/// that a processor delivers with [`ProcessorBuilder::layer`].
///
/// A layer gets the event and the rest of the attempt, `next`: the layers inside of it, and the
/// handler. It sees what they [answer](Answer), may replace the answer, and may answer itself
/// without running them. Layers run in the order in which they are added: the first is the
/// outermost, and layers of the processor are outside of those of its sets.
///
/// - The [timeout](crate::ProcessorBuilder::timeout) of an attempt includes its layers.
/// - The attempt ends without an answer when its time is up, when its lease is lost and when the
///   processor stops: the futures of the layers are dropped, like that of the handler. A `Drop` is
///   for what must happen in any case.
/// - A panic in a layer is a panic of the attempt, and a panic of the handler unwinds through the
///   layers.
/// - A layer that drops `next`, or the future that [`run`](Next::run) returns, cancels the rest of
///   the attempt, and its own answer counts.
/// - `next` runs at most once: an attempt is one call, which is what limits and retry schedules
///   count.
/// - An error of a layer is treated like one of the handler: values of `#[outbox(sensitive)]`
///   fields are removed from its text.
/// - An event that cannot be decoded, and one that no handler takes, is an answer of the handler.
///
/// To pass something to the handler, run `next` in the scope of a `tokio::task_local!`.
///
/// The guide: [layers](https://docs.rs/outbox-guide/latest/outbox_guide/layers/).
///
/// [`HandlerSet::layer`]: crate::HandlerSet::layer
/// [`ProcessorBuilder::layer`]: crate::ProcessorBuilder::layer
///
/// # Examples
///
/// A switch for everything that is sent, such as during maintenance:
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicBool, Ordering};
/// use std::time::Duration;
/// use outbox_runtime::prelude::*;
/// use outbox_runtime::{Answer, Batch, NextBatch};
///
/// struct Switch(Arc<AtomicBool>);
///
/// impl Switch {
///     fn off(&self) -> Option<Answer> {
///         let is_on = self.0.load(Ordering::Relaxed);
///         (!is_on).then(|| HandlerError::snooze(Duration::from_secs(60)).into())
///     }
/// }
///
/// #[async_trait]
/// impl Layer for Switch {
///     async fn attempt(&self, _: &OutboxEvent, next: Next<'_>) -> Answer {
///         match self.off() {
///             Some(off) => off,
///             None => next.run().await,
///         }
///     }
///
///     async fn attempt_batch(&self, _: &Batch<OutboxEvent>, next: NextBatch<'_>) -> Answer {
///         match self.off() {
///             Some(off) => off,
///             None => next.run().await,
///         }
///     }
/// }
/// ```
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a layer",
    label = "not a layer around attempts",
    note = "implement `outbox_runtime::Layer` for it, with `#[async_trait]` above the `impl`"
)]
pub trait Layer: Send + Sync + 'static {
    /// Runs an attempt to deliver one event.
    async fn attempt(&self, event: &OutboxEvent, next: Next<'_>) -> Answer;

    /// Runs an attempt to deliver a batch of events, for types with a batch handler.
    ///
    /// The answer is for the events without one of their own, as with a
    /// [batch handler](crate::Batch#answers). [`Batch::answered`] has the others once `next` has
    /// run, and [`Batch::ok`] and [`Batch::fail`] replace them.
    ///
    /// Default: runs `next`, so that the layer is not around batches.
    async fn attempt_batch(&self, batch: &Batch<OutboxEvent>, next: NextBatch<'_>) -> Answer {
        let _ = batch;
        next.run().await
    }
}

type AnswerFuture<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// The rest of an attempt, inside of a [`Layer`].
///
/// # Examples
///
/// ```
/// use std::time::Instant;
/// use outbox_runtime::prelude::*;
/// use outbox_runtime::Answer;
///
/// struct Timed;
///
/// #[async_trait]
/// impl Layer for Timed {
///     async fn attempt(&self, event: &OutboxEvent, next: Next<'_>) -> Answer {
///         let begin = Instant::now();
///         let answer = next.run().await;
///         println!("{}: {} after {:?}", event.id, answer.class(), begin.elapsed());
///         answer
///     }
/// }
/// ```
#[must_use = "without `run` nothing is delivered"]
pub struct Next<'a> {
    event: &'a OutboxEvent,
    layers: &'a [Arc<dyn Layer>],
    handler: &'a dyn OutboxEventHandler,
}

impl<'a> Next<'a> {
    /// Runs the layers inside of this one, and the handler.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the rest of the attempt, as a timeout does.
    #[must_use = "the rest of the attempt is made as the future is awaited"]
    pub fn run(self) -> AnswerFuture<'a> {
        let Self {
            event,
            layers,
            handler,
        } = self;
        match layers.split_first() {
            Some((layer, layers)) => layer.attempt(
                event,
                Next {
                    event,
                    layers,
                    handler,
                },
            ),
            None => Box::pin(async move { Answer::from(handler.handle(event).await) }),
        }
    }
}

/// The rest of an attempt of a batch, inside of a [`Layer`].
///
/// # Examples
///
/// ```
/// # use outbox_runtime::prelude::*;
/// use outbox_runtime::{Answer, Batch, NextBatch};
///
/// struct Counted;
///
/// #[async_trait]
/// impl Layer for Counted {
/// #   async fn attempt(&self, _: &OutboxEvent, next: Next<'_>) -> Answer { next.run().await }
///     async fn attempt_batch(&self, batch: &Batch<OutboxEvent>, next: NextBatch<'_>) -> Answer {
///         let answer = next.run().await;
///         // An event without an answer of its own has that of the batch.
///         let class = |index| batch.answered(index).unwrap_or(answer.class());
///         let delivered = (0..batch.len()).filter(|index| class(*index).is_delivered());
///         println!("{} of {} were delivered", delivered.count(), batch.len());
///         answer
///     }
/// }
/// ```
#[must_use = "without `run` nothing is delivered"]
pub struct NextBatch<'a> {
    batch: &'a Batch<OutboxEvent>,
    layers: &'a [Arc<dyn Layer>],
    handler: &'a dyn OutboxEventHandler,
}

impl<'a> NextBatch<'a> {
    /// Runs the layers inside of this one, and the handler.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the rest of the attempt, as a timeout does. Answers for single
    /// events that were given by then stand.
    #[must_use = "the rest of the attempt is made as the future is awaited"]
    pub fn run(self) -> AnswerFuture<'a> {
        let Self {
            batch,
            layers,
            handler,
        } = self;
        match layers.split_first() {
            Some((layer, layers)) => layer.attempt_batch(
                batch,
                NextBatch {
                    batch,
                    layers,
                    handler,
                },
            ),
            None => {
                Box::pin(async move { Answer::from(handler.handle_batch(batch.clone()).await) })
            }
        }
    }
}

impl fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next")
            .field("event", &self.event.id)
            .field("layers", &self.layers.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for NextBatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NextBatch")
            .field("events", &self.batch.len())
            .field("layers", &self.layers.len())
            .finish_non_exhaustive()
    }
}

/// Layers, the outermost first.
#[derive(Default)]
pub(super) struct Layers(Vec<Arc<dyn Layer>>);

impl Layers {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push(&mut self, layer: Arc<dyn Layer>) {
        self.0.push(layer);
    }

    /// Delivers an event through the layers.
    pub(super) async fn around(
        &self,
        event: &OutboxEvent,
        handler: &dyn OutboxEventHandler,
    ) -> Result<(), HandlerError> {
        let layers = &self.0;
        let all = Next {
            event,
            layers,
            handler,
        };
        all.run().await.into_result()
    }

    /// Delivers a batch through the layers.
    pub(super) async fn around_batch(
        &self,
        batch: &Batch<OutboxEvent>,
        handler: &dyn OutboxEventHandler,
    ) -> Result<(), HandlerError> {
        let layers = &self.0;
        let all = NextBatch {
            batch,
            layers,
            handler,
        };
        all.run().await.into_result()
    }
}

/// A handler within the layers of a processor.
pub(crate) struct Layered {
    handler: Arc<dyn OutboxEventHandler>,
    layers: Layers,
}

impl Layered {
    pub(crate) fn new(handler: Arc<dyn OutboxEventHandler>, layers: &[Arc<dyn Layer>]) -> Self {
        Self {
            handler,
            layers: Layers(layers.to_vec()),
        }
    }
}

#[async_trait]
impl OutboxEventHandler for Layered {
    fn can_handle(&self, event_type: &str) -> bool {
        self.handler.can_handle(event_type)
    }

    async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError> {
        self.layers.around(event, &*self.handler).await
    }

    fn entities(&self) -> Vec<EntityOptions> {
        self.handler.entities()
    }

    fn batching(&self, event_type: &str) -> Option<Batching> {
        self.handler.batching(event_type)
    }

    async fn handle_batch(&self, batch: Batch<OutboxEvent>) -> Result<(), HandlerError> {
        self.layers.around_batch(&batch, &*self.handler).await
    }

    fn retired(&self) -> Vec<Retired> {
        self.handler.retired()
    }

    fn redact(&self, event: &OutboxEvent, text: String) -> String {
        self.handler.redact(event, text)
    }
}
