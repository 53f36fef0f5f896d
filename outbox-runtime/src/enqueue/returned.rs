//! Detects refused events that a transaction closure returns as its value instead of handling.
//!
//! `Ok(mood.enqueue_create().on(tx))`, without `?`, is a closure that succeeds even if the event
//! was refused, and `Ok(event.complete_on(tx))` is one even if its lease was lost. The entity would
//! be committed without its event, and unnoticed if the caller ignores the value. So the returned
//! value is inspected here.

use std::any::Any;

use uuid::Uuid;

use super::Enqueued;
use crate::error::{BoxError, CompleteError, EnqueueError};

/// Returns the value, unless it is an answer that reports a refused event, or several answers of
/// which one does.
pub(crate) fn unless_refused<T: 'static>(value: T) -> Result<T, BoxError> {
    let mut value = Some(value);
    let slot: &mut dyn Any = &mut value;
    let refusal = None
        .or_else(|| refusal::<Enqueued>(slot))
        .or_else(|| refusal::<Vec<Enqueued>>(slot))
        // Common results of `.map(..)` on an answer.
        .or_else(|| refusal::<()>(slot))
        .or_else(|| refusal::<Uuid>(slot))
        .or_else(|| taken::<Result<(), CompleteError>>(slot))
        .or_else(|| taken::<Result<Enqueued, CompleteError>>(slot));
    match (refusal, value) {
        (None, Some(value)) => Ok(value),
        (Some(error), _) => Err(error),
        // Unreachable: the value is only taken together with an error.
        (None, None) => Err("the value of the transaction is missing".into()),
    }
}

/// Takes the error out of `slot`, which may hold one answer, an optional one, a pair or a list.
fn refusal<A: 'static>(slot: &mut dyn Any) -> Option<BoxError> {
    None.or_else(|| taken::<Result<A, EnqueueError>>(slot))
        .or_else(|| taken::<Result<A, BoxError>>(slot))
        .or_else(|| taken::<Option<Result<A, EnqueueError>>>(slot))
        .or_else(|| taken::<Vec<Result<A, EnqueueError>>>(slot))
        .or_else(|| taken::<(Result<A, EnqueueError>, Result<A, EnqueueError>)>(slot))
}

/// Takes the error out of `slot` if it is a `Some` of such answers and one of them is an error.
fn taken<T: Answers>(slot: &mut dyn Any) -> Option<BoxError> {
    let answers = slot.downcast_mut::<Option<T>>()?;
    let is_refused = answers.as_ref().is_some_and(T::is_refused);
    answers.take_if(|_| is_refused)?.refusal()
}

/// One or more answers to enqueued events.
trait Answers: 'static {
    /// Whether one of the events was refused.
    fn is_refused(&self) -> bool;

    /// The first error.
    fn refusal(self) -> Option<BoxError>;
}

impl<A: 'static, E: Into<BoxError> + 'static> Answers for Result<A, E> {
    fn is_refused(&self) -> bool {
        self.is_err()
    }

    fn refusal(self) -> Option<BoxError> {
        self.err().map(Into::into)
    }
}

impl<T: Answers> Answers for Option<T> {
    fn is_refused(&self) -> bool {
        self.as_ref().is_some_and(T::is_refused)
    }

    fn refusal(self) -> Option<BoxError> {
        self.and_then(T::refusal)
    }
}

impl<T: Answers> Answers for Vec<T> {
    fn is_refused(&self) -> bool {
        self.iter().any(T::is_refused)
    }

    fn refusal(self) -> Option<BoxError> {
        self.into_iter().find_map(T::refusal)
    }
}

impl<T: Answers> Answers for (T, T) {
    fn is_refused(&self) -> bool {
        self.0.is_refused() || self.1.is_refused()
    }

    fn refusal(self) -> Option<BoxError> {
        self.0.refusal().or_else(|| self.1.refusal())
    }
}
