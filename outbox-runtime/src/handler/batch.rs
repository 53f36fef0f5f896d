//! The batch: several events for one call of a handler, and an answer for each of them.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::warn;

use super::answer::HandlerError;
use super::answer_class::AnswerClass;
use crate::entity::OutboxEntity;
use crate::event::{Event, OutboxEvent, decode};

/// Several events for one call of a batch handler: of one type, one user and one destination. Of
/// each lane it has at most one; or several in their order, where the batches
/// [keep it](crate::BatchOrder::Keep).
///
/// Dereferences to the slice of its events.
///
/// # Answers
///
/// The result of the handler is the answer for every event that has none of its own:
/// [`ok`](Self::ok) and [`fail`](Self::fail) answer for one event, by its place in the batch. These
/// answers stand even if the handler then times out or panics.
///
/// | the handler returns | events without an answer of their own |
/// |---|---|
/// | `Ok(())` | are delivered; or retried, if `ok` was called for another one |
/// | `Err(error)` | are refused together |
///
/// An event that is not delivered holds back those that follow it in its lane, in a batch that has
/// any: whatever is answered for them, they come again behind it, and their attempt is not counted.
/// So stop sending a lane at its first failure.
///
/// A batch that is refused together is *one* refusal: in an outage it is given back as one, and no
/// event is charged an attempt. Only where an event of the batch must be to blame (the answer is
/// [permanent](HandlerError::permanent), or another batch got through since) it is sent again in
/// halves, until the event is found that is refused alone. A lane is split last, and the second
/// half of it is sent only after the first got through. All of these calls are one attempt of each
/// event.
///
/// # Examples
///
/// ```
/// # use outbox_runtime::prelude::*;
/// # use outbox_runtime::{Batch, HandlerSet, Batching};
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "steps")]
/// # struct Steps {
/// #     #[outbox(entity_id)] id: i64,
/// #     #[outbox(user_id)] user_id: String,
/// #     #[outbox(metadata)] count: u32,
/// # }
/// # async fn post(_: Vec<(String, u32)>) -> Result<Vec<bool>, HandlerError> { Ok(vec![true]) }
/// async fn send(batch: Batch<Event<Steps>>) -> Result<(), HandlerError> {
///     let entries = batch
///         .iter()
///         .map(|event| (event.idempotency_key().to_string(), event.metadata().count))
///         .collect();
///     for (index, accepted) in post(entries).await?.into_iter().enumerate() {
///         if accepted {
///             batch.ok(index);
///         } else {
///             batch.fail(index, HandlerError::permanent("refused"));
///         }
///     }
///     Ok(())
/// }
///
/// let handlers = HandlerSet::new().with_batch(Batching::of(100), send);
/// ```
pub struct Batch<T> {
    events: Vec<T>,
    /// The place of each event among the answers.
    places: Vec<usize>,
    answers: Answers,
}

/// The error of an event without an answer, where the handler answers event by event.
pub(crate) const NO_ANSWER: &str =
    "the handler answered for others of the batch and not for this event";

/// The answers for single events, shared by a batch and its attempt.
#[derive(Clone, Default)]
pub(crate) struct Answers(Arc<Mutex<Given>>);

#[derive(Default)]
struct Given {
    answers: Vec<Option<Result<(), HandlerError>>>,
}

impl<T> Batch<T> {
    /// Creates a batch of these events, for tests of a handler.
    #[must_use]
    pub fn new(events: Vec<T>) -> Self {
        let places: Vec<usize> = (0..events.len()).collect();
        let answers = Answers::default();
        answers.given().answers.resize_with(events.len(), || None);
        Self {
            events,
            places,
            answers,
        }
    }

    /// The event at this place is delivered. A later answer for the same event replaces this one.
    ///
    /// A place beyond the end is ignored with a warning.
    pub fn ok(&self, index: usize) {
        self.answer(index, Ok(()));
    }

    /// The delivery of the event at this place failed. A later answer for the same event replaces
    /// this one. Events that follow it in its lane are held back, whatever their answers.
    ///
    /// A place beyond the end is ignored with a warning.
    pub fn fail(&self, index: usize, error: impl Into<HandlerError>) {
        self.answer(index, Err(error.into()));
    }

    /// Takes the answers given so far, in the order of the events; `None` for an event without one.
    /// For tests of a handler, and for handlers that wrap others.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::{Batch, HandlerError};
    ///
    /// let batch = Batch::new(vec!["a", "b"]);
    /// batch.fail(1, HandlerError::permanent("refused")); // as the handler under test does
    /// let answers = batch.take_answers();
    /// assert!(answers[0].is_none() && answers[1].as_ref().is_some_and(Result::is_err));
    /// ```
    #[must_use]
    pub fn take_answers(&self) -> Vec<Option<Result<(), HandlerError>>> {
        let given = &mut self.answers.given().answers;
        let places = self.places.iter();
        places
            .map(|place| given.get_mut(*place).and_then(Option::take))
            .collect()
    }

    /// The class of the answer for the event at this place; `None` if it has none of its own. For
    /// [layers](crate::Layer).
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::{AnswerClass, Batch, HandlerError};
    ///
    /// let batch = Batch::new(vec!["a", "b"]);
    /// batch.fail(1, HandlerError::permanent("refused")); // as the handler does
    /// assert_eq!(batch.answered(0), None);
    /// assert_eq!(batch.answered(1), Some(AnswerClass::Rejected));
    /// ```
    #[must_use]
    pub fn answered(&self, index: usize) -> Option<AnswerClass> {
        let given = &self.answers.given().answers;
        match given.get(*self.places.get(index)?)?.as_ref()? {
            Ok(()) => Some(AnswerClass::Delivered),
            Err(error) => Some(AnswerClass::of(error)),
        }
    }

    fn answer(&self, index: usize, answer: Result<(), HandlerError>) {
        let given = &mut *self.answers.given();
        match self.places.get(index) {
            Some(place) => {
                if let Some(slot) = given.answers.get_mut(*place) {
                    *slot = Some(answer);
                }
            }
            None => warn!(
                index,
                events = self.places.len(),
                "a handler answered for an event that its batch does not have; the answer is ignored"
            ),
        }
    }

    pub(crate) fn answers(&self) -> Answers {
        self.answers.clone()
    }
}

impl Batch<OutboxEvent> {
    /// Decodes the events. Those that cannot be decoded are answered and left out, and so are those
    /// that follow them in their lane: they come again in their turn.
    pub(super) fn typed<E: OutboxEntity>(self) -> Batch<Event<E>> {
        let mut events = Vec::with_capacity(self.events.len());
        let mut places = Vec::with_capacity(self.events.len());
        let mut undecodable: Vec<OutboxEvent> = Vec::new();
        for (record, place) in self.events.into_iter().zip(self.places) {
            if undecodable.iter().any(|it| it.shares_lane_with(&record)) {
                continue;
            }
            match decode::<E>(&record) {
                Ok(metadata) => {
                    events.push(Event::new(record, metadata));
                    places.push(place);
                }
                Err(error) => {
                    if let Some(slot) = self.answers.given().answers.get_mut(place) {
                        *slot = Some(Err(error.into()));
                    }
                    undecodable.push(record);
                }
            }
        }
        Batch {
            events,
            places,
            answers: self.answers,
        }
    }
}

impl Answers {
    /// Takes the answers of single events, in order, and whether a missing one is no consent,
    /// because the handler answers event by event.
    pub(crate) fn take(&self) -> (Vec<Option<Result<(), HandlerError>>>, bool) {
        let answers = std::mem::take(&mut self.given().answers);
        let has_ok = answers.iter().any(|answer| matches!(answer, Some(Ok(()))));
        (answers, has_ok)
    }

    fn given(&self) -> MutexGuard<'_, Given> {
        // No change can panic halfway, so a poisoned lock holds valid data.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Deref for Batch<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.events
    }
}

/// A clone is the same batch: an answer to either counts. For handlers that wrap others.
impl<T: Clone> Clone for Batch<T> {
    fn clone(&self) -> Self {
        Self {
            events: self.events.clone(),
            places: self.places.clone(),
            answers: self.answers.clone(),
        }
    }
}

impl<'a, T> IntoIterator for &'a Batch<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.events.iter()
    }
}

impl<T: fmt::Debug> fmt::Debug for Batch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.events).finish()
    }
}

/// A function that delivers batches of events of one entity: any `Fn(Batch<Event<E>>)` that returns
/// a `Send` future of the answer.
///
/// Implemented for all such functions and nothing else.
///
/// # Examples
///
/// ```
/// # use outbox_runtime::prelude::*;
/// # use outbox_runtime::{Batch, Batching, HandlerSet};
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "goal")]
/// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String }
/// async fn send(batch: Batch<Event<Goal>>) -> Result<(), HandlerError> {
///     println!("{} goals", batch.len());
///     Ok(())
/// }
///
/// let handlers = HandlerSet::new().with_batch(Batching::of(20), send);
/// ```
#[diagnostic::on_unimplemented(
    message = "this is not a batch handler for `{E}` events",
    label = "not a function from `Batch<Event<{E}>>` to a future",
    note = "a batch handler is a `Fn(Batch<Event<{E}>>)` that returns a `Send` future of `Result<(), HandlerError>`"
)]
pub trait BatchHandlerFn<E: OutboxEntity>:
    Fn(Batch<Event<E>>) -> <Self as BatchHandlerFn<E>>::Answer + Send + Sync + 'static
{
    /// The future that the function returns.
    type Answer: Future<Output = Result<(), HandlerError>> + Send + 'static;
}

impl<E, F, Fut> BatchHandlerFn<E> for F
where
    E: OutboxEntity,
    F: Fn(Batch<Event<E>>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
{
    type Answer = Fut;
}
