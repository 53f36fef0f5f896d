//! What handlers do with an event, and what the remote service saw of it: whether the answer is true.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::ledger::{Book, Ledger};
use super::promise::Promise;
use super::remote::RemoteError;
use super::report::Invariant;
use outbox_runtime::OutboxEvent;
use outbox_runtime::{Delivery, HandlerError};

/// The attempts that are under way, and what is known of those that ended.
#[derive(Default)]
pub(super) struct Attempts {
    under_way: BTreeMap<u64, UnderWay>,
    begun: u64,
    answered: u64,
    /// Answered without the service having been asked.
    unasked: u64,
    /// The service accepted it and said so.
    accepted: u64,
    /// And the handler says that it failed.
    accepted_in_vain: u64,
    evidence: Evidence,
}

/// What got through and what was refused, in order.
#[derive(Default)]
struct Evidence {
    /// Counts both.
    now: u64,
    passes: Vec<Pass>,
    /// Of each process and event, when it was refused last, and before that: no process knows what
    /// others were answered.
    refusals: BTreeMap<(String, Uuid), [u64; 2]>,
    /// Of each process and event, its last attempt.
    latest: BTreeMap<(String, Uuid), u64>,
}

struct Pass {
    at: u64,
    event: Uuid,
    event_type: String,
    destination: Option<String>,
}

impl Evidence {
    fn passed(&mut self, event: &OutboxEvent) {
        self.now += 1;
        self.passes.push(Pass {
            at: self.now,
            event: event.id,
            event_type: event.event_type.clone(),
            destination: event.destination.clone(),
        });
    }

    fn refused(&mut self, process: &str, event: Uuid) {
        self.now += 1;
        let refusals = self.refusals.entry((process.to_owned(), event));
        let refusals = refusals.or_default();
        *refusals = [self.now, refusals[0]];
    }
}

struct UnderWay {
    process: String,
    /// As its handler got it.
    event: OutboxEvent,
    /// What the remote service made of it, where it was asked.
    asked: Option<Asked>,
}

#[derive(Clone, Copy)]
enum Asked {
    /// It has not answered yet.
    Waiting,
    Answered(Option<RemoteError>),
}

/// Whether it says nothing about the event, so that it may be taken later.
fn passes(error: RemoteError) -> bool {
    match error {
        RemoteError::Offline
        | RemoteError::Unauthenticated
        | RemoteError::RateLimited { .. }
        | RemoteError::Unavailable => true,
        RemoteError::Failed | RemoteError::Refused | RemoteError::Gone => false,
    }
}

/// So many attempts say something about all of them.
const ENOUGH: u64 = 5;

/// An attempt that is under way; dropping it is giving it up.
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
            asked: None,
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

    /// Its handler says so. Whether that is true is for the remote service to tell.
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
        let asked = under_way.and_then(|attempt| attempt.asked);
        book.attempts.answered += 1;
        book.attempts.unasked += u64::from(asked.is_none());
        let done = matches!(delivery, None | Some(Delivery::Obsolete));
        let accepted_now = matches!(asked, Some(Asked::Answered(None)));
        book.attempts.accepted += u64::from(accepted_now);
        book.attempts.accepted_in_vain += u64::from(accepted_now && !done);
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
        if let (Some(Delivery::Permanent), Some(Asked::Answered(Some(error)))) = (delivery, asked)
            && passes(error)
        {
            let what = format!(
                "the handler says that {label} is refused for good, but the remote service says: {error}"
            );
            ledger.broken(Invariant::TrueAnswer, what);
        }
        let untrue = match (delivery, asked) {
            _ if accepted => None,
            (None, asked) => Some(format!(
                "the handler says that {label} is delivered, but the remote service {}",
                match asked {
                    None => "was not asked".to_owned(),
                    Some(Asked::Waiting) => "has not answered yet".to_owned(),
                    Some(Asked::Answered(Some(error))) => format!("did not accept it: {error}"),
                    Some(Asked::Answered(None)) => "accepted something else".to_owned(),
                }
            )),
            (Some(Delivery::Obsolete), Some(Asked::Answered(Some(error))))
                if error != RemoteError::Gone =>
            {
                Some(format!(
                    "the handler says that {label} is obsolete, but the remote service says: {error}"
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
        // Where another one has begun this one's lease was lost, and nobody makes anything of its
        // end.
        if evidence.latest.get(&key) == Some(&self.number) {
            evidence.refused(&self.process, attempt.event.id);
        }
        let is_waiting = matches!(attempt.asked, Some(Asked::Waiting));
        // A panic of the handler, after the service had answered it.
        if std::thread::panicking() && matches!(attempt.asked, Some(Asked::Answered(None))) {
            book.attempts.accepted += 1;
            book.attempts.accepted_in_vain += 1;
        }
        if !is_waiting && !std::thread::panicking() {
            book.report.unanswered += 1;
        }
    }
}

impl Ledger {
    /// A process is killed: nobody gave up what its handlers had.
    pub(super) fn forget_attempts(&self, process: &str) {
        let mut book = self.book();
        let under_way = &mut book.attempts.under_way;
        under_way.retain(|_, attempt| attempt.process != process);
    }

    /// The remote service is sent this.
    pub(super) fn asked(&self, process: &str, event: &OutboxEvent) {
        let label = self.label(event.id);
        let mut book = self.book();
        let known = book.promises.contains_key(&event.id);
        let attempt = book.attempts.latest(process, event.id);
        let handled = attempt.map(|attempt| {
            attempt.asked = Some(Asked::Waiting);
            attempt.event.clone()
        });
        drop(book);
        if !known {
            return self.broken(Invariant::NothingInvented, format!("{label} was sent"));
        }
        let Some(handled) = handled else {
            let what = format!(
                "{label} was sent to the remote service while no handler of {process} had it"
            );
            return self.broken(Invariant::OneLease, what);
        };
        if handled.user_id != event.user_id {
            let (sent, whose) = (&event.user_id, &handled.user_id);
            let what = format!("{label} was sent as an event of {sent:?}, and is one of {whose:?}");
            self.broken(Invariant::OneUser, what);
        }
        if let Some(field) = other_content(&handled, event) {
            let what = format!(
                "{label} reached the remote service with another {field} than was enqueued"
            );
            self.broken(Invariant::SameEveryTime, what);
        }
    }

    /// The remote service has answered.
    pub(super) fn told(&self, process: &str, id: Uuid, error: Option<RemoteError>) {
        if let Some(attempt) = self.book().attempts.latest(process, id) {
            attempt.asked = Some(Asked::Answered(error));
        }
    }

    /// A failure of this event is recorded and counts. So it must be its own: another lane of its type and destination got through
    /// since it was refused before.
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
                "a failure was charged to {label} although nothing else of its type and destination got through since it was \
                 refused before"
            );
            self.broken(Invariant::OwnFault, what);
        }
    }

    /// Whether handlers wait for what never comes, or never ask the remote service.
    pub(super) fn check_attempts(&self) {
        let book = self.book();
        let unanswered = book.report.unanswered;
        let Attempts {
            answered,
            unasked,
            accepted: answered_well,
            accepted_in_vain,
            ..
        } = book.attempts;
        let accepted = book.promises.values().any(|promise| promise.accepted > 0);
        drop(book);
        let ended = answered + unanswered;
        if unanswered >= ENOUGH && unanswered * 2 > ended {
            let what = format!(
                "{unanswered} of {ended} attempts were given up while their handlers did not wait for the remote \
                 service; perhaps they sleep by the machine's clock, which says nothing here"
            );
            self.broken(Invariant::InTime, what);
        }
        if accepted_in_vain >= ENOUGH && accepted_in_vain * 2 > answered_well {
            let what = format!(
                "{accepted_in_vain} of {answered_well} attempts that the remote service accepted, and answered, are failures to \
                 their handlers"
            );
            self.broken(Invariant::TrueAnswer, what);
        }
        if unasked >= ENOUGH && !accepted {
            let what = format!(
                "{unasked} attempts ended without a call of the remote service, and it accepted nothing at all"
            );
            self.broken(Invariant::CompletedMeansDelivered, what);
        }
    }
}

impl Attempts {
    fn latest(&mut self, process: &str, id: Uuid) -> Option<&mut UnderWay> {
        let mut attempts = self.under_way.values_mut().rev();
        attempts.find(|attempt| attempt.event.id == id && attempt.process == process)
    }
}

impl Book {
    fn has_accepted(&self, id: Uuid) -> bool {
        self.promises
            .get(&id)
            .is_some_and(|promise| promise.accepted > 0)
    }
}

/// What of the content is not as the handler got it.
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
    ];
    differs
        .into_iter()
        .find(|(_, differs)| *differs)
        .map(|(field, _)| field)
}
