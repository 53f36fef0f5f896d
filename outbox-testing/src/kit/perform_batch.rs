//! One attempt of several events together, as a processor makes it.

use outbox_runtime::{Enqueue, OutboxEventHandler, ProcessorBuilder};

use super::error::KitError;
use super::once;
use super::perform::Change;
use super::performed::Performed;

/// Makes one attempt at these changes as one batch, as a processor does it: [`perform`] for
/// [batch handlers](outbox_runtime::Batch). Returns the result of each change, in order.
///
/// An event has the answer that the handler gave for it, or else the common one. A batch that the
/// handler refuses as a whole with a [permanent](outbox_runtime::HandlerError::permanent) error is
/// not at its end: its halves would be sent next, so its events are pending. `perform` shows what
/// becomes of one that is refused alone. An event that is held back by an earlier one of its lane,
/// in a batch that [keeps the order](outbox_runtime::BatchOrder::Keep), is pending as well.
///
/// The processor has its default settings; [`perform_batch_with`] sets others.
///
/// # Errors
///
/// As for [`perform`]; [`KitError::OneByOne`] if the handler takes no batches of this type;
/// [`KitError::NotOneBatch`] if the changes do not fit in one batch of the handler.
///
/// # Cancel safety
///
/// Dropping the future drops the attempt.
///
/// [`perform`]: crate::perform
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use outbox_runtime::{Batching, HandlerSet};
/// use outbox_testing::perform_batch;
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "steps")]
/// struct Steps {
///     #[outbox(entity_id)]
///     hour: i64,
///     #[outbox(user_id)]
///     user_id: String,
///     #[outbox(metadata)]
///     count: i32,
/// }
///
/// async fn send(batch: Batch<Event<Steps>>) -> Result<(), HandlerError> {
///     for (index, event) in batch.iter().enumerate() {
///         match event.metadata().count {
///             0.. => batch.ok(index),
///             _ => batch.fail(index, HandlerError::permanent("a count is not negative")),
///         }
///     }
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let hours = [(8, 512), (9, -1), (10, 87)];
/// let hours = hours.map(|(hour, count)| Steps { hour, user_id: "user-1".into(), count });
/// let handlers = HandlerSet::new().with_batch(Batching::of(100), send);
/// let performed = perform_batch(handlers, &hours).await?;
/// assert!(performed[0].is_delivered() && performed[2].is_delivered());
/// assert!(performed[1].is_dead());
/// # Ok(())
/// # }
/// ```
pub async fn perform_batch(
    handler: impl OutboxEventHandler,
    changes: impl IntoIterator<Item = impl Change>,
) -> Result<Vec<Performed>, KitError> {
    perform_batch_with(|builder| builder, handler, changes).await
}

/// Like [`perform_batch`], with other settings of the processor.
///
/// # Errors
///
/// As for [`perform_batch`].
///
/// # Cancel safety
///
/// As for [`perform_batch`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::prelude::*;
/// use outbox_runtime::{Batching, Charge, HandlerSet};
/// use outbox_testing::{HandlerAnswer, perform_batch_with};
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "steps")]
/// struct Steps {
///     #[outbox(entity_id)]
///     hour: i64,
///     #[outbox(user_id)]
///     user_id: String,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let hangs = HandlerSet::new().with_batch::<Steps>(Batching::of(100), |batch| {
///     batch.ok(0);
///     std::future::pending()
/// });
/// let hours = [8, 9].map(|hour| Steps { hour, user_id: "user-1".into() });
/// let short = Duration::from_millis(20);
/// let performed =
///     perform_batch_with(|it| it.timeout(short).charge(Charge::Always), hangs, &hours).await?;
/// assert!(performed[0].is_delivered(), "an answer for one event stands");
/// assert_eq!(performed[1].answer, HandlerAnswer::TimedOut);
/// # Ok(())
/// # }
/// ```
pub async fn perform_batch_with(
    settings: impl FnOnce(ProcessorBuilder) -> ProcessorBuilder,
    handler: impl OutboxEventHandler,
    changes: impl IntoIterator<Item = impl Change>,
) -> Result<Vec<Performed>, KitError> {
    let changes = changes.into_iter().map(Change::into_enqueue);
    let events = changes.map(Enqueue::into_event);
    let events = events.collect::<Result<Vec<_>, _>>()?;
    let Some(first) = events.first() else {
        return Ok(Vec::new());
    };
    let event_type = first.event_type();
    if handler.can_handle(event_type) && handler.batching(event_type).is_none() {
        let event_type = event_type.to_owned();
        return Err(KitError::OneByOne { event_type });
    }
    let size = events.len();
    once::attempt(settings, handler, events, Some(size)).await
}
