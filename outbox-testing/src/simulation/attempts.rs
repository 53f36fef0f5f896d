//! Compares what handlers report about an event with what the remote service did.

use uuid::Uuid;

use super::evidence::{Attempts, ServiceCall, UnderWay};
use super::ledger::Ledger;
use super::promise::Promise;
use super::remote_error::RemoteError;
use super::report::Invariant;
use outbox_runtime::{Delivery, HandlerError, OutboxEvent};

/// Whether the error says nothing about the event itself, so that it may be accepted later.
fn passes(error: RemoteError) -> bool {
    match error {
        RemoteError::Offline
        | RemoteError::Unauthenticated
        | RemoteError::RateLimited { .. }
        | RemoteError::Unavailable => true,
        RemoteError::Failed | RemoteError::Refused | RemoteError::Gone => false,
    }
}

/// The number of attempts that is enough to judge them all.
const ENOUGH: u64 = 5;

/// An attempt in progress. Dropping it abandons it.
pub(super) struct Attempt {
    ledger: Ledger,
    process: String,
    number: u64,
}

impl Attempt {
    pub(super) fn begin(ledger: &Ledger, process: &str, event: &OutboxEvent) -> Self {
        let mut book = ledger.book();
        let attempts = &mut book.attempts;
        attempts.begun += 1;
        let number = attempts.begun;
        let under_way = UnderWay {
            process: process.to_owned(),
            event: event.clone(),
            call: None,
        };
        attempts.under_way.insert(number, under_way);
        let key = (process.to_owned(), event.id);
        attempts.evidence.latest.insert(key, number);
        Self {
            ledger: ledger.clone(),
            process: process.to_owned(),
            number,
        }
    }

    /// Records the handler's result and compares it with the remote service's answer.
    pub(super) fn answered(&self, event: &OutboxEvent, answer: &Result<(), HandlerError>) {
        let ledger = &self.ledger;
        let label = ledger.label(event.id);
        let delivery = answer.as_ref().err().map(HandlerError::delivery);
        let told = match delivery {
            None => "Delivered".to_owned(),
            Some(delivery) => format!("{delivery:?}"),
        };
        ledger.trace(format_args!("{} handled {label}: {told}", self.process));
        let mut book = ledger.book();
        let under_way = book.attempts.under_way.remove(&self.number);
        let call = under_way.and_then(|attempt| attempt.call);
        book.attempts.answered += 1;
        book.attempts.uncalled += u64::from(call.is_none());
        let done = matches!(delivery, None | Some(Delivery::Obsolete));
        let accepted_now = matches!(call, Some(ServiceCall::Answered(None)));
        book.attempts.accepted += u64::from(accepted_now);
        book.attempts.accepted_but_failed += u64::from(accepted_now && !done);
        book.report.remote_faults += u64::from(!done);
        let token = event.lease_token.unwrap_or_default();
        book.answers.insert((event.id, token), done);
        let evidence = &mut book.attempts.evidence;
        match delivery {
            None | Some(Delivery::Obsolete) => evidence.passed(event),
            Some(Delivery::Permanent | Delivery::Snooze { .. }) => {}
            Some(_) => evidence.refused(&self.process, event.id),
        }
        let accepted = book.has_accepted(event.id);
        drop(book);
        if let (Some(Delivery::Permanent), Some(ServiceCall::Answered(Some(error)))) =
            (delivery, call)
            && passes(error)
        {
            let what = format!(
                "the handler says that {label} is refused for good, but the remote service answered: {error}"
            );
            ledger.broken(Invariant::TrueAnswer, what);
        }
        let untrue = match (delivery, call) {
            _ if accepted => None,
            (None, call) => Some(format!(
                "the handler says that {label} is delivered, but the remote service {}",
                match call {
                    None => "was not asked".to_owned(),
                    Some(ServiceCall::Waiting) => "has not answered yet".to_owned(),
                    Some(ServiceCall::Answered(Some(error))) =>
                        format!("did not accept it: {error}"),
                    Some(ServiceCall::Answered(None)) => "accepted something else".to_owned(),
                }
            )),
            (Some(Delivery::Obsolete), Some(ServiceCall::Answered(Some(error))))
                if error != RemoteError::Gone =>
            {
                Some(format!(
                    "the handler says that {label} is obsolete, but the remote service answered: {error}"
                ))
            }
            _ => None,
        };
        if let Some(what) = untrue {
            ledger.broken(Invariant::CompletedMeansDelivered, what);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let mut book = self.ledger.book();
        let Some(attempt) = book.attempts.under_way.remove(&self.number) else {
            return;
        };
        let evidence = &mut book.attempts.evidence;
        let key = (self.process.clone(), attempt.event.id);
        // If a newer attempt has begun, this one's lease was lost and its end has no effect.
        if evidence.latest.get(&key) == Some(&self.number) {
            evidence.refused(&self.process, attempt.event.id);
        }
        let is_waiting = matches!(attempt.call, Some(ServiceCall::Waiting));
        // The handler panicked after the service had answered it.
        if std::thread::panicking() && matches!(attempt.call, Some(ServiceCall::Answered(None))) {
            book.attempts.accepted += 1;
            book.attempts.accepted_but_failed += 1;
        }
        if !is_waiting && !std::thread::panicking() {
            book.report.unanswered += 1;
        }
    }
}

impl Ledger {
    /// Forgets the attempts of a killed process: its handlers abandoned none.
    pub(super) fn forget_attempts(&self, process: &str) {
        let mut book = self.book();
        let under_way = &mut book.attempts.under_way;
        under_way.retain(|_, attempt| attempt.process != process);
    }

    /// Records that an event is sent to the remote service.
    pub(super) fn service_called(&self, process: &str, event: &OutboxEvent) {
        let label = self.label(event.id);
        let mut book = self.book();
        let known = book.promises.contains_key(&event.id);
        let attempt = book.attempts.latest(process, event.id);
        let handled = attempt.map(|attempt| {
            attempt.call = Some(ServiceCall::Waiting);
            attempt.event.clone()
        });
        drop(book);
        if !known {
            return self.broken(Invariant::NothingInvented, format!("{label} was sent"));
        }
        let Some(handled) = handled else {
            let what = format!(
                "{label} was sent to the remote service while no handler of {process} was handling it"
            );
            return self.broken(Invariant::OneLease, what);
        };
        if handled.user_id != event.user_id {
            let (sent, whose) = (&event.user_id, &handled.user_id);
            let what = format!("{label} of {whose:?} was sent as an event of {sent:?}");
            self.broken(Invariant::OneUser, what);
        }
        if let Some(field) = other_content(&handled, event) {
            let what = format!(
                "{label} reached the remote service with another {field} than was enqueued"
            );
            self.broken(Invariant::SameEveryTime, what);
        }
    }

    /// Records the answer of the remote service.
    pub(super) fn service_answered(&self, process: &str, id: Uuid, error: Option<RemoteError>) {
        if let Some(attempt) = self.book().attempts.latest(process, id) {
            attempt.call = Some(ServiceCall::Answered(error));
        }
    }

    /// Checks a recorded failure that counts against this event. The event must be its cause:
    /// another lane of its type and destination got through since it was last refused.
    pub(super) fn charged(&self, process: &str, row: &OutboxEvent) {
        let label = self.label(row.id);
        let book = self.book();
        let evidence = &book.attempts.evidence;
        let refusals = evidence.refusals.get(&(process.to_owned(), row.id));
        let [_, since] = refusals.copied().unwrap_or_default();
        let lane = |id| book.promises.get(id).map(Promise::lane);
        let got_through = evidence.passes.iter().rev().any(|pass| {
            pass.at > since
                && pass.event_type == row.event_type
                && pass.destination == row.destination
                && lane(&pass.event) != lane(&row.id)
        });
        drop(book);
        if !got_through && row.max_attempts > 1 {
            let what = format!(
                "a failure was charged to {label} although nothing else of its type and destination got through \
                 since it was last refused"
            );
            self.broken(Invariant::OwnFault, what);
        }
    }

    /// Checks for handlers that wait forever or never call the remote service.
    pub(super) fn check_attempts(&self) {
        let book = self.book();
        let unanswered = book.report.unanswered;
        let Attempts {
            answered,
            uncalled,
            accepted: answered_well,
            accepted_but_failed,
            ..
        } = book.attempts;
        let accepted = book.promises.values().any(|promise| promise.accepted > 0);
        drop(book);
        let ended = answered + unanswered;
        if unanswered >= ENOUGH && unanswered * 2 > ended {
            let what = format!(
                "{unanswered} of {ended} attempts ended while their handlers were not waiting for the remote \
                 service; perhaps they sleep on the machine's clock, which does not move the simulation"
            );
            self.broken(Invariant::InTime, what);
        }
        if accepted_but_failed >= ENOUGH && accepted_but_failed * 2 > answered_well {
            let what = format!(
                "{accepted_but_failed} of {answered_well} attempts that the remote service accepted and answered are failures to \
                 their handlers"
            );
            self.broken(Invariant::TrueAnswer, what);
        }
        if uncalled >= ENOUGH && !accepted {
            let what = format!(
                "{uncalled} attempts ended without a call of the remote service, and it accepted nothing at all"
            );
            self.broken(Invariant::CompletedMeansDelivered, what);
        }
    }
}

/// The field of the content that differs from what the handler received.
fn other_content(handled: &OutboxEvent, sent: &OutboxEvent) -> Option<&'static str> {
    let differs = [
        ("event type", handled.event_type != sent.event_type),
        ("entity", handled.entity_id != sent.entity_id),
        ("operation", handled.operation != sent.operation),
        ("destination", handled.destination != sent.destination),
        ("metadata", handled.metadata != sent.metadata),
        (
            "metadata version",
            handled.metadata_version != sent.metadata_version,
        ),
        ("list of headers", handled.headers != sent.headers),
    ];
    differs
        .into_iter()
        .find(|(_, differs)| *differs)
        .map(|(field, _)| field)
}
