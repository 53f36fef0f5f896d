//! One attempt, as a processor makes it, without a store of the test's.

use outbox_runtime::{
    Delivery, Enqueue, Operation, OutboxEntity, OutboxEvent, OutboxEventHandler, OutboxStatus,
    ProcessorBuilder, Scope,
};

use super::error::KitError;
use super::once;

/// Makes one attempt at `change` with `handler`, as a processor does it: the metadata is serialized
/// and decoded, the attempt has its time limit, a panic is caught, and the answer is judged. No
/// store is needed.
///
/// `change` is an entity, which means its creation, or a change such as `mood.enqueue_update()`.
/// The processor has its default settings; [`perform_with`] sets others. The time limit is that of
/// the entity or of the processor (30 s); with tokio's paused time it is over at once.
///
/// # Errors
///
/// [`KitError::Enqueue`] if the change is refused; [`KitError::Build`] if the settings contradict
/// each other; [`KitError::NoHandler`] if the handler takes no events of this type.
///
/// # Cancel safety
///
/// Dropping the future drops the attempt.
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use outbox_runtime::{HandlerSet, RefusalClass};
/// use outbox_testing::perform;
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "goal")]
/// struct Goal {
///     #[outbox(entity_id)]
///     id: i64,
///     #[outbox(user_id)]
///     user_id: String,
///     #[outbox(metadata)]
///     title: String,
/// }
///
/// async fn send(event: Event<Goal>) -> Result<(), HandlerError> {
///     match event.metadata().title.as_str() {
///         "" => Err(HandlerError::permanent("a goal has a title")),
///         title => Ok(assert_eq!(title, "Swim")),
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let goal = Goal { id: 7, user_id: "user-1".into(), title: "Swim".into() };
/// let performed = perform(HandlerSet::new().with(send), &goal).await?;
/// assert!(performed.is_delivered());
///
/// let goal = Goal { title: String::new(), ..goal };
/// let performed = perform(HandlerSet::new().with(send), goal.enqueue_update()).await?;
/// assert!(performed.is_dead());
/// assert_eq!(performed.message(), Some("a goal has a title"));
/// # Ok(())
/// # }
/// ```
pub async fn perform(
    handler: impl OutboxEventHandler,
    change: impl Change,
) -> Result<Performed, KitError> {
    perform_with(|builder| builder, handler, change).await
}

/// Like [`perform`], with other settings of the processor.
///
/// # Errors
///
/// As for [`perform`].
///
/// # Cancel safety
///
/// As for [`perform`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::prelude::*;
/// use outbox_runtime::{Charge, HandlerSet};
/// use outbox_testing::{HandlerAnswer, perform_with};
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
/// let hangs = HandlerSet::new().with(|_: Event<Goal>| std::future::pending());
/// let goal = Goal { id: 7, user_id: "user-1".into() };
/// let short = Duration::from_millis(20);
/// let performed =
///     perform_with(|it| it.timeout(short).charge(Charge::Always), hangs, &goal).await?;
/// assert_eq!(performed.answer, HandlerAnswer::TimedOut);
/// assert_eq!(performed.event.attempt_count, 1);
/// # Ok(())
/// # }
/// ```
pub async fn perform_with(
    settings: impl FnOnce(ProcessorBuilder) -> ProcessorBuilder,
    handler: impl OutboxEventHandler,
    change: impl Change,
) -> Result<Performed, KitError> {
    let event = change.into_enqueue().into_event()?;
    let mut performed = once::attempt(settings, handler, vec![event], None).await?;
    // One event has one result.
    performed.pop().ok_or(KitError::NoEnd {
        after: once::PATIENCE,
    })
}

/// What [`perform`] makes an attempt at: an entity, which means its creation, or a change of one.
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use outbox_testing::Change;
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
/// # fn main() -> Result<(), EnqueueError> {
/// let goal = Goal { id: 7, user_id: "user-1".into() };
/// let event = (&goal).into_enqueue().into_event()?;
/// assert_eq!(event.operation(), Operation::Create);
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no change of an entity",
    label = "neither a reference to an entity nor a change of one",
    note = "pass `&mood` for its creation, or a change: `mood.enqueue_update()`"
)]
pub trait Change {
    /// The change.
    fn into_enqueue(self) -> Enqueue;
}

#[diagnostic::do_not_recommend]
impl<E: OutboxEntity> Change for &E {
    fn into_enqueue(self) -> Enqueue {
        Enqueue::new(self, Operation::Create)
    }
}

impl Change for Enqueue {
    fn into_enqueue(self) -> Enqueue {
        self
    }
}

/// The result of [`perform`], and of [`perform_batch`](crate::perform_batch) for each event.
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use outbox_runtime::HandlerSet;
/// use outbox_testing::{Performed, perform};
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "goal", charge = "always")]
/// struct Goal {
///     #[outbox(entity_id)]
///     id: i64,
///     #[outbox(user_id)]
///     user_id: String,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let fails = HandlerSet::new().with(|_: Event<Goal>| async { Err(HandlerError::retry("HTTP 500")) });
/// let goal = Goal { id: 7, user_id: "user-1".into() };
/// let performed: Performed = perform(fails, &goal).await?;
/// assert!(performed.is_retried() && !performed.is_delivered() && !performed.is_dead());
/// assert_eq!(performed.message(), Some("HTTP 500"));
/// assert_eq!(performed.event.attempt_count, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Performed {
    /// What the handler did.
    pub answer: HandlerAnswer,
    /// The event as the processor left it: its status, its next attempt, and the recorded refusal.
    pub event: OutboxEvent,
}

/// What a handler did in an attempt.
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use outbox_runtime::HandlerSet;
/// use outbox_testing::{HandlerAnswer, perform};
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
/// let panics = HandlerSet::new().with(|event: Event<Goal>| async move {
///     assert_eq!(event.entity_id, 8.into());
///     Ok(())
/// });
/// let goal = Goal { id: 7, user_id: "user-1".into() };
/// assert_eq!(perform(panics, &goal).await?.answer, HandlerAnswer::Panicked);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandlerAnswer {
    /// It returned `Ok`.
    Ok,
    /// It returned an error that asks for this.
    Error {
        /// The reaction that it asks for.
        delivery: Delivery,
        /// The scope of the answer.
        scope: Scope,
    },
    /// It did not answer within its time limit.
    TimedOut,
    /// It panicked.
    Panicked,
}

impl Performed {
    /// Whether the event counts as delivered: the handler succeeded, or answered that the event is
    /// [obsolete](HandlerError::obsolete).
    #[must_use]
    pub fn is_delivered(&self) -> bool {
        self.event.status == OutboxStatus::Completed
    }

    /// Whether the event is a dead letter.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.event.status == OutboxStatus::Dead
    }

    /// Whether the event is attempted again.
    #[must_use]
    pub fn is_retried(&self) -> bool {
        self.event.should_process()
    }

    /// The recorded message, from which the values of sensitive fields are removed. `None` if the
    /// event was delivered or snoozed.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        let refusal = self.event.last_refusal.as_ref();
        let refusal = refusal.map(|refusal| refusal.message.as_str());
        self.event.error_message.as_deref().or(refusal)
    }
}
