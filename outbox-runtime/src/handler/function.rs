//! Functions as handlers.

use std::future::Future;

use super::answer::HandlerError;
use crate::entity::OutboxEntity;
use crate::event::Event;

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
