//! One attempt: a handler with a deadline, and what its end means.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::claim::Claim;
use crate::clock::{Clock, Stopwatch};
use crate::handler::{Delivery, OutboxEventHandler};
use crate::outcome::Outcome;

/// How an attempt ended, as its task tells it.
#[derive(Debug)]
pub(super) enum Ended {
    Delivered,
    /// The handler's answer, and what it means for the event.
    Failed(Delivery, Outcome),
    TimedOut(Duration),
    Panicked(String),
}

/// Runs the handler until it answers or its time is up. Tells how long that took, too.
pub(super) async fn run(
    handler: Arc<dyn OutboxEventHandler>,
    claim: Arc<Claim>,
    timeout: Duration,
    clock: Arc<dyn Clock>,
) -> (Ended, Duration) {
    let stopwatch = Stopwatch::start();
    let attempt = async {
        match handler.handle(&claim.event).await {
            Ok(()) => Ended::Delivered,
            // Its text and its end are the application's code, so they are part of the attempt.
            Err(error) => Ended::Failed(error.delivery(), error.outcome()),
        }
    };
    let ended = tokio::select! {
        // An answer that is there counts, however late it was looked at.
        biased;
        ended = caught(attempt) => ended,
        () = clock.sleep(timeout) => Ended::TimedOut(timeout),
    };
    (ended, stopwatch.elapsed())
}

/// A panic is an end like others. What it carries stays here: it may panic once more when it is dropped.
async fn caught(attempt: impl Future<Output = Ended>) -> Ended {
    let mut attempt = pin!(attempt);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| attempt.as_mut().poll(context)));
        polled.unwrap_or_else(|payload| Poll::Ready(Ended::panicked(payload)))
    })
    .await
}

impl Ended {
    /// From what a panic carried.
    pub(super) fn panicked(payload: Box<dyn Any + Send>) -> Self {
        Self::Panicked(panic_text(payload))
    }

    /// What it means for the event.
    pub(super) fn into_outcome(self) -> Outcome {
        let retry = |message| Outcome::Retry {
            message,
            not_before: None,
        };
        match self {
            Self::Delivered => Outcome::Delivered,
            Self::Failed(_, outcome) => outcome,
            Self::TimedOut(timeout) => retry(format!("no answer within {timeout:?}")),
            Self::Panicked(text) => retry(format!("the handler panicked: {text}")),
        }
    }
}

/// What a panic carried as a text, usually a string.
pub(super) fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("(a panic without a message)").to_owned();
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        // There is no end to this but to leave it where it is.
        std::mem::forget(another);
    }
    text
}
