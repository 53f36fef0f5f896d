//! The answer to an event that a transaction's closure returns as its value instead of taking it apart.
//!
//! `Ok(mood.enqueue_create().on(tx))`, without `?`, is a closure that succeeds, whatever became of the event. The entity would be
//! committed without it, and nothing says so where the value is not looked at. So what was returned is looked at here.

use std::any::Any;

use uuid::Uuid;

use super::Enqueued;
use crate::error::{BoxError, EnqueueError};

/// The value, unless it is an answer that says that the event was refused.
pub(crate) fn unless_refused<T: 'static>(value: T) -> Result<T, BoxError> {
    let mut value = Some(value);
    let slot: &mut dyn Any = &mut value;
    let refusal = None
        .or_else(|| refusal::<Enqueued>(slot))
        .or_else(|| refusal::<Vec<Enqueued>>(slot))
        // As `.map(..)` makes them of these.
        .or_else(|| refusal::<()>(slot))
        .or_else(|| refusal::<Uuid>(slot));
    match (refusal, value) {
        (None, Some(value)) => Ok(value),
        (Some(error), _) => Err(error.into()),
        // Whoever takes the value leaves an error.
        (None, None) => Err("the transaction's value is gone".into()),
    }
}

/// Takes the error out of `slot`, where that is a `Some(Err(..))` of an answer.
fn refusal<A: 'static>(slot: &mut dyn Any) -> Option<EnqueueError> {
    let answer = slot.downcast_mut::<Option<Result<A, EnqueueError>>>()?;
    match answer.take() {
        Some(Err(error)) => Some(error),
        other => {
            *answer = other;
            None
        }
    }
}
