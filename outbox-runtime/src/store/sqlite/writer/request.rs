//! Requests to the writer, and their answers.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;

use super::effects::Effects;
use crate::enqueue::{Enqueued, NewEvent};
use crate::error::{EnqueueError, StoreError, StoreErrorKind, causes};
use crate::store::sqlite::fault::closed;
use crate::store::sqlite::insert::Inserter;

/// A request to the writer.
pub(super) enum Request {
    /// Writes one event. Several in a row share a statement.
    Enqueue(Box<Enqueueing>),
    /// An operation of the library. It may run again if its transaction did not commit.
    Call(Box<dyn AnyCall>),
    /// A user's closure, which runs once, in its own transaction.
    Closure(Box<dyn AnyCall>),
}

/// The result of a request before the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ran {
    /// Its writes are to be kept.
    Kept,
    /// It was refused before it wrote anything.
    Refused,
    /// It failed, and may have left writes behind.
    Broken,
}

/// A call, without the types of its answer.
pub(super) trait AnyCall: Send {
    /// Runs the work, for the first time or again.
    fn run(&mut self, conn: &mut Connection, effects: &mut Effects) -> Ran;
    /// The call's own error.
    fn error(&self) -> Option<&(dyn Error + 'static)>;
    /// Replaces a success with the failure of the transaction. A request that failed alone keeps
    /// its own answer.
    fn fail(&mut self, failure: &mut Failure);
    /// Sends the answer to the caller.
    fn send(&mut self);
}

impl Request {
    /// Whether others may be in the same transaction.
    pub(super) fn shares(&self) -> bool {
        !matches!(self, Self::Closure(_))
    }

    /// Whether the request writes one event.
    pub(super) fn is_enqueue(&self) -> bool {
        matches!(self, Self::Enqueue(_))
    }

    /// Whether the request failed by violating a constraint (including a trigger's `RAISE`), which
    /// leaves the connection sound.
    pub(super) fn broke_a_constraint(&self) -> bool {
        let error = match self {
            Self::Enqueue(enqueueing) => enqueueing.answer.error(),
            Self::Call(call) | Self::Closure(call) => call.error(),
        };
        error.is_some_and(is_broken_constraint)
    }

    /// Replaces a success with the failure of the transaction.
    pub(super) fn fail(&mut self, failure: &mut Failure) {
        match self {
            Self::Enqueue(enqueueing) => enqueueing.answer.fail(failure),
            Self::Call(call) | Self::Closure(call) => call.fail(failure),
        }
    }

    /// Sends the answer to the caller.
    pub(super) fn send(&mut self) {
        match self {
            Self::Enqueue(enqueueing) => enqueueing.answer.send(),
            Self::Call(call) | Self::Closure(call) => call.send(),
        }
    }
}

/// Whether SQLite reported a violated constraint.
pub(super) fn is_broken_constraint(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| {
        cause
            .downcast_ref::<rusqlite::Error>()
            .and_then(rusqlite::Error::sqlite_error_code)
            == Some(ErrorCode::ConstraintViolation)
    })
}

pub(super) type Panic = Box<dyn std::any::Any + Send>;

/// The result of the work, or the payload of its panic.
pub(super) type Answered<T, E> = Result<Result<T, E>, Panic>;

/// The answer to a request, and the channel of its caller.
pub(super) struct Answer<T, E> {
    operation: &'static str,
    answer: Option<Answered<T, E>>,
    reply: Option<oneshot::Sender<Answered<T, E>>>,
}

impl<T, E: From<StoreError> + Error + 'static> Answer<T, E> {
    pub(super) fn new(operation: &'static str, reply: oneshot::Sender<Answered<T, E>>) -> Self {
        Self {
            operation,
            answer: None,
            reply: Some(reply),
        }
    }

    fn take_from(&mut self, work: impl FnOnce() -> Result<T, E>) -> &Answered<T, E> {
        // The transaction of a panicked request is rolled back; the connection's state is SQLite's,
        // not half-changed memory.
        self.answer.insert(catch_unwind(AssertUnwindSafe(work)))
    }

    fn error(&self) -> Option<&(dyn Error + 'static)> {
        match &self.answer {
            Some(Ok(Err(error))) => Some(error),
            _ => None,
        }
    }

    fn fail(&mut self, failure: &mut Failure) {
        if !matches!(self.answer, Some(Ok(Err(_)) | Err(_))) {
            self.answer = Some(Ok(Err(failure.tell(self.operation).into())));
        }
    }

    fn send(&mut self) {
        if let Some(reply) = self.reply.take() {
            let nothing = || Ok(Err(closed(self.operation).into()));
            // The caller may have stopped waiting.
            let _ = reply.send(self.answer.take().unwrap_or_else(nothing));
        }
    }
}

/// One event to write.
pub(super) struct Enqueueing {
    pub(super) event: NewEvent,
    pub(super) answer: Answer<Enqueued, EnqueueError>,
}

impl Enqueueing {
    pub(super) fn run(&mut self, inserter: &mut Inserter<'_>) -> Ran {
        let event = &self.event;
        self.answer.take_from(|| inserter.insert(event));
        self.ran()
    }

    /// Takes the answer for its event, which was written with others.
    pub(super) fn answered(&mut self, answer: Result<Enqueued, EnqueueError>) -> Ran {
        self.answer.take_from(|| answer);
        self.ran()
    }

    fn ran(&self) -> Ran {
        match &self.answer.answer {
            Some(Ok(Ok(_))) => Ran::Kept,
            // A trigger may have written before it failed.
            Some(Ok(Err(EnqueueError::Store(_))) | Err(_)) | None => Ran::Broken,
            Some(Ok(Err(_))) => Ran::Refused,
        }
    }
}

/// Any other call.
pub(super) struct Call<T, E, F> {
    pub(super) work: F,
    pub(super) answer: Answer<T, E>,
}

impl<T, E, F> AnyCall for Call<T, E, F>
where
    F: FnMut(&mut Connection, &mut Effects) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Error + Send + 'static,
{
    fn run(&mut self, conn: &mut Connection, effects: &mut Effects) -> Ran {
        let work = &mut self.work;
        match self.answer.take_from(|| work(conn, effects)) {
            Ok(Ok(_)) => Ran::Kept,
            Ok(Err(_)) | Err(_) => Ran::Broken,
        }
    }

    fn error(&self) -> Option<&(dyn Error + 'static)> {
        self.answer.error()
    }

    fn fail(&mut self, failure: &mut Failure) {
        self.answer.fail(failure);
    }

    fn send(&mut self) {
        self.answer.send();
    }
}

/// Why a transaction did not commit. Reported to each of its requests that had succeeded.
pub(super) struct Failure {
    kind: StoreErrorKind,
    message: String,
    outcome_unknown: bool,
    /// Reported to the first request only: the driver's errors cannot be cloned.
    source: Option<rusqlite::Error>,
}

impl Failure {
    pub(super) fn new(kind: StoreErrorKind, message: String) -> Self {
        Self {
            kind,
            message,
            outcome_unknown: false,
            source: None,
        }
    }

    pub(super) fn of(message: String, kind: StoreErrorKind, source: rusqlite::Error) -> Self {
        Self {
            source: Some(source),
            ..Self::new(kind, message)
        }
    }

    pub(super) fn unknown(mut self) -> Self {
        self.outcome_unknown = true;
        self
    }

    pub(super) fn is_unknown(&self) -> bool {
        self.outcome_unknown
    }

    fn tell(&mut self, operation: &'static str) -> StoreError {
        let mut error = StoreError::new(self.kind, operation, self.message.clone());
        if let Some(source) = self.source.take() {
            error = error.with_source(source);
        }
        if self.outcome_unknown {
            error.with_unknown_outcome()
        } else {
            error
        }
    }
}
