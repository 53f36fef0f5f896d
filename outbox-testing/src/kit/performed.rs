//! What became of an attempt that a test has asked for.

use outbox_runtime::{Delivery, OutboxEvent, OutboxStatus, Scope};

/// The result of [`perform`](crate::perform), and of [`perform_batch`](crate::perform_batch) for
/// each event.
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
    /// [obsolete](outbox_runtime::HandlerError::obsolete).
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
