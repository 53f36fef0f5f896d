//! One attempt: a handler with a deadline, and what its end means.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use crate::claim::Claim;
use crate::clock::{Clock, Stopwatch};
use crate::handler::{HandlerError, OutboxEventHandler};
use crate::outcome::Outcome;

/// How an attempt ended, as its task tells it.
#[derive(Debug)]
pub(super) enum Ended {
    Answered(Result<(), HandlerError>),
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
    let ended = tokio::select! {
        // An answer that is there counts, however late it was looked at.
        biased;
        answer = handler.handle(&claim.event) => Ended::Answered(answer),
        () = clock.sleep(timeout) => Ended::TimedOut(timeout),
    };
    (ended, stopwatch.elapsed())
}

impl Ended {
    /// From what a panic carried, usually a string.
    pub(super) fn panicked(payload: &(dyn Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self::Panicked(text.unwrap_or("(a panic without a message)").to_owned())
    }

    /// What it means for the event.
    pub(super) fn outcome(&self) -> Outcome {
        let retry = |message| Outcome::Retry {
            message,
            not_before: None,
        };
        match self {
            Self::Answered(Ok(())) => Outcome::Delivered,
            Self::Answered(Err(error)) => error.outcome(),
            Self::TimedOut(timeout) => retry(format!("no answer within {timeout:?}")),
            Self::Panicked(text) => retry(format!("the handler panicked: {text}")),
        }
    }
}
