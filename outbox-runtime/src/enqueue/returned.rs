//! The answer to an event that a transaction's closure returns as its value instead of taking it apart.
//!
//! `Ok(mood.enqueue_create().on(tx))`, without `?`, is a closure that succeeds, whatever became of the event. The entity would be
//! committed without it, and nothing says so where the value is not looked at. So what was returned is looked at here.

use std::any::Any;

use uuid::Uuid;

use super::Enqueued;
use crate::error::{BoxError, EnqueueError};

/// The value, unless it is an answer that says that the event was refused, or several of which one
/// says so.
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
        (Some(error), _) => Err(error),
        // Whoever takes the value leaves an error.
        (None, None) => Err("the transaction's value is gone".into()),
    }
}

/// Takes the error of an answer out of `slot`: of one, of one that there may be, of two or of many.
fn refusal<A: 'static>(slot: &mut dyn Any) -> Option<BoxError> {
    None.or_else(|| taken::<Result<A, EnqueueError>>(slot))
        .or_else(|| taken::<Result<A, BoxError>>(slot))
        .or_else(|| taken::<Option<Result<A, EnqueueError>>>(slot))
        .or_else(|| taken::<Vec<Result<A, EnqueueError>>>(slot))
        .or_else(|| taken::<(Result<A, EnqueueError>, Result<A, EnqueueError>)>(slot))
}

/// Takes the error out of `slot`, where that is a `Some` of such answers of which one is an error.
fn taken<T: Answers>(slot: &mut dyn Any) -> Option<BoxError> {
    let answers = slot.downcast_mut::<Option<T>>()?;
    let is_refused = answers.as_ref().is_some_and(T::is_refused);
    answers.take_if(|_| is_refused)?.refusal()
}

/// What says whether events were taken.
trait Answers: 'static {
    /// Whether one of them was not.
    fn is_refused(&self) -> bool;

    /// Why.
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
