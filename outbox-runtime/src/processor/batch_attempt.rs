//! One attempt of a batch: runs a batch handler with a deadline, and reports how it ended for each
//! event.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::attempt::{Ended, SMALL_BYTES, answered, redact};
use crate::claim::Claim;
use crate::clock::Clock;
use crate::event::OutboxEvent;
use crate::handler::{
    Answers, Batch, Delivery, HandlerError, NO_ANSWER, OutboxEventHandler, Scope,
};
use crate::metadata::RawMetadata;
use crate::redaction::REDACTED;

/// How the attempt of a batch ended, as reported by its task.
#[derive(Debug)]
pub(super) struct BatchEnded {
    /// The answers for single events, in order; `None` for an event that shares the common one.
    pub(super) own: Vec<Option<Ended>>,
    /// How it ended for the events without an answer of their own.
    pub(super) common: Ended,
}

impl BatchEnded {
    /// Nothing is known but how the task ended.
    pub(super) fn as_one(common: Ended) -> Self {
        Self {
            own: Vec::new(),
            common,
        }
    }
}

/// Runs the handler until it answers or its time is up. Also returns how long that took, measured
/// as for a single event.
pub(super) async fn run(
    handler: Arc<dyn OutboxEventHandler>,
    claims: Arc<[Arc<Claim>]>,
    timeout: Duration,
    clock: Arc<dyn Clock>,
) -> (BatchEnded, Duration) {
    let events: Vec<OutboxEvent> = claims.iter().map(|claim| claim.event.clone()).collect();
    let batch = Batch::new(events);
    let answers = batch.answers();
    let answer = async { (*handler).handle_batch(batch).await };
    let (common, took) = answered(answer, timeout, &*clock).await;
    let mut own = read(&answers);
    if own.is_by_event && matches!(common, Ended::Delivered) {
        for answer in own.answers.iter_mut().filter(|answer| answer.is_none()) {
            *answer = Some(Ended::Failed {
                delivery: Delivery::Retry { after: None },
                scope: Scope::Destination,
                message: NO_ANSWER.to_owned(),
            });
        }
    }
    let ended = BatchEnded {
        own: own.answers,
        common,
    };
    (ended.redacted(handler, claims).await, took)
}

/// The answers for single events.
struct Own {
    answers: Vec<Option<Ended>>,
    is_by_event: bool,
}

/// Reads the answers for single events. The errors are application code, whose panic is the answer
/// for their event.
fn read(answers: &Answers) -> Own {
    let (given, is_by_event) = answers.take();
    let answers = given.into_iter().map(|answer| {
        let ended = |answer: Result<(), HandlerError>| match answer {
            Ok(()) => Ended::Delivered,
            Err(error) => Ended::failed(&error),
        };
        let answer = answer?;
        let caught = catch_unwind(AssertUnwindSafe(|| ended(answer)));
        Some(caught.unwrap_or_else(Ended::panicked))
    });
    Own {
        answers: answers.collect(),
        is_by_event,
    }
}

impl BatchEnded {
    /// Redacts the sensitive parts of all texts, each by the event that it is about; the common one
    /// may quote any of them. A long search runs on a blocking thread.
    async fn redacted(
        self,
        handler: Arc<dyn OutboxEventHandler>,
        claims: Arc<[Arc<Claim>]>,
    ) -> Self {
        let texts = || self.own.iter().flatten().chain([&self.common]);
        if !texts().any(Ended::has_text) {
            return self;
        }
        let metadata = claims.iter().filter_map(|it| it.event.metadata.as_ref());
        let metadata: usize = metadata.map(RawMetadata::len).sum();
        if metadata + texts().map(Ended::text_len).sum::<usize>() <= SMALL_BYTES {
            return self.search(&*handler, &claims);
        }
        let searched = tokio::task::spawn_blocking(move || self.search(&*handler, &claims));
        searched.await.unwrap_or_else(|_| {
            // The search cannot panic; it is canceled only when the runtime shuts down.
            Self::as_one(Ended::Panicked(REDACTED.to_owned()))
        })
    }

    fn search(self, handler: &dyn OutboxEventHandler, claims: &[Arc<Claim>]) -> Self {
        let own = self.own.into_iter().zip(claims).map(|(ended, claim)| {
            Some(ended?.map_text(|text| redact(handler, &claim.event, text)))
        });
        let own = own.collect();
        let common = self.common.map_text(|text| {
            let claims = claims.iter();
            claims.fold(text, |text, claim| redact(handler, &claim.event, text))
        });
        Self { own, common }
    }
}
