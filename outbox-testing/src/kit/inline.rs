//! Enqueueing that returns after the delivery.

use std::future::Future;
use std::pin::Pin;

use outbox_runtime::{
    BuildError, EnqueueError, EventSink, NewEvent, OutboxEvent, OutboxEventHandler,
    OutboxRepository, Processor, Running, StoreError, StoreErrorKind,
};

use super::error::KitError;
use super::idle::until_sent;
use super::report::Drained;

/// A sink that delivers what is enqueued before it returns: `.on(&inline)` instead of
/// `.on(&store)`.
///
/// It runs a real processor of all users on the given store, and enqueueing waits until that
/// processor has nothing left to do at this time. So the event returned is as the attempt left it:
/// delivered, dead, or waiting for its retry. Changes that the application enqueues in its own
/// transactions are delivered by the same run; [`settled`](Self::settled) waits for them.
///
/// A [batch](outbox_runtime::Batching::within) that waits for more events is sent as it is, because
/// nothing else is enqueued meanwhile.
///
/// # Drop
///
/// Dropping it stops the run.
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use outbox_runtime::HandlerSet;
/// use outbox_testing::Inline;
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "goal")]
/// struct Goal {
///     #[outbox(entity_id)]
///     id: i64,
///     #[outbox(user_id)]
///     user_id: String,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let handlers = HandlerSet::new().with(|event: Event<Goal>| async move {
///     println!("PUT /goals/{}", event.entity_id);
///     Ok(())
/// });
/// let inline = Inline::start(store.clone(), handlers)?;
///
/// let goal = Goal { id: 7, user_id: "user-1".into() };
/// let event = goal.enqueue_create().on(&inline).await?;
/// assert_eq!(event.status, OutboxStatus::Completed);
///
/// goal.enqueue_update().on(&store).await?; // as the application does it
/// inline.settled().await?.assert_empty();
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Inline {
    running: Running,
}

/// The answer of an [`Inline`] sink.
type Answer<'i> = Pin<Box<dyn Future<Output = Result<OutboxEvent, EnqueueError>> + Send + 'i>>;

impl Inline {
    /// Delivers the events of `store` with `handlers`, for all users and with default settings.
    ///
    /// # Errors
    ///
    /// As for [`ProcessorBuilder::build`](outbox_runtime::ProcessorBuilder::build).
    pub fn start(
        store: impl OutboxRepository,
        handlers: impl OutboxEventHandler,
    ) -> Result<Self, BuildError> {
        let processor = Processor::builder(store).handler(handlers).build()?;
        Ok(Self::of(&processor))
    }

    /// Delivers with this processor, for all users.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::prelude::*;
    /// use outbox_testing::Inline;
    ///
    /// #[derive(OutboxEntity)]
    /// #[outbox(event_type = "goal")]
    /// struct Goal {
    ///     #[outbox(entity_id)]
    ///     id: i64,
    ///     #[outbox(user_id)]
    ///     user_id: String,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// // The processor as the application builds it, with all its settings.
    /// let processor = Processor::builder(MemoryStore::new())
    ///     .handle::<Goal>(|_| async { Ok(()) })
    ///     .max_concurrency(1)
    ///     .build()?;
    /// let inline = Inline::of(&processor);
    /// let goal = Goal { id: 7, user_id: "user-1".into() };
    /// assert_eq!(goal.enqueue_create().on(&inline).await?.status, OutboxStatus::Completed);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn of(processor: &Processor) -> Self {
        let running = processor.start_all_users();
        Self { running }
    }

    /// The run that delivers.
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// Waits until no event is with a handler or about to be, and reports what is left. Batches
    /// that wait for more events are sent. The report lists what was delivered since this call.
    ///
    /// # Errors
    ///
    /// [`KitError::Store`] if the store fails; [`KitError::StillBusy`] if a handler is still
    /// running after a minute.
    pub async fn settled(&self) -> Result<Drained, KitError> {
        until_sent(&self.running).await
    }
}

/// The error of a run that does not settle, as that of the store.
fn store_error(error: KitError) -> StoreError {
    match error {
        KitError::Store(error) => error,
        error => StoreError::new(StoreErrorKind::Other, "deliver inline", error.to_string()),
    }
}

impl<'i> EventSink<Inline> for &'i Inline {
    type Output = Answer<'i>;

    fn enqueue(self, event: Result<NewEvent, EnqueueError>) -> Self::Output {
        Box::pin(async move {
            let event = event?;
            let store = self.running.store();
            let event = store.create_event(event).await?;
            self.settled().await.map_err(store_error)?;
            Ok(store.fetch_event(event.id).await?.unwrap_or(event))
        })
    }
}
