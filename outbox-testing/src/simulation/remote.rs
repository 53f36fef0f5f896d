//! The remote service of a simulation, which misbehaves in every way that a service can.

use std::collections::BTreeSet;
use std::fmt;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::completing::OnStore;
use super::ledger::Ledger;
use super::outage::Outage;
use super::remote_error::RemoteError;
use crate::{ManualClock, SeededRng};
use outbox_runtime::__private::clock;
use outbox_runtime::store::BoxError;
use outbox_runtime::{Clock, CompleteError, Operation, OutboxEvent, OutboxRepository};

/// The remote service of a [`Simulation`](super::Simulation), to which its handlers send.
///
/// It accepts requests, and it misbehaves: it is unreachable, refuses credentials, is overloaded,
/// limits rates, rejects permanently, accepts but loses the answer, answers late or never, and
/// panics in the client. It compares the content, the user and the time of each request with what
/// was enqueued. Clones are the same service.
///
/// # Examples
///
/// ```
/// use outbox_runtime::{HandlerError, OutboxEvent};
/// use outbox_testing::Remote;
///
/// /// In place of the application's client.
/// async fn put(remote: &Remote, event: &OutboxEvent) -> Result<(), HandlerError> {
///     remote.send(event).await?;
///     Ok(())
/// }
///
/// /// In place of a handler that completes its event in a transaction of the application.
/// async fn put_and_complete(remote: &Remote, event: &OutboxEvent) -> Result<(), HandlerError> {
///     remote.send(event).await?;
///     remote.complete(event).await?;
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Remote {
    /// The calling process.
    process: String,
    clock: ManualClock,
    ledger: Ledger,
    /// The store of the calling process.
    store: Arc<dyn OutboxRepository>,
    /// Never held across an await.
    state: Arc<Mutex<State>>,
}

struct State {
    rng: SeededRng,
    calm: bool,
    offline: bool,
    /// A refusal that applies in addition to the random behavior.
    outage: Option<Outage>,
    /// Users whose credentials are refused until they are refreshed.
    revoked: BTreeSet<String>,
    /// A user whose credentials cannot be refreshed.
    banned: Option<String>,
}

/// The behavior for one request.
enum Behavior {
    Accept,
    AcceptAndAnswerAfter(Duration),
    AcceptAndLoseTheAnswer,
    AcceptAndNeverAnswer,
    NeverAnswer,
    Panic(u64),
    Refuse(RemoteError),
}

impl Remote {
    pub(super) fn new(
        clock: ManualClock,
        ledger: Ledger,
        rng: SeededRng,
        banned: Option<String>,
        store: Arc<dyn OutboxRepository>,
    ) -> Self {
        let state = State {
            rng,
            calm: false,
            offline: false,
            outage: None,
            revoked: banned.iter().cloned().collect(),
            banned,
        };
        Self {
            process: String::new(),
            clock,
            ledger,
            store,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// The same service, as one process calls it, which has this store.
    pub(super) fn called_by(&self, process: &str, store: Arc<dyn OutboxRepository>) -> Self {
        Self {
            process: process.to_owned(),
            store,
            ..self.clone()
        }
    }

    /// Sends an event, with its id as the idempotency key.
    ///
    /// # Errors
    ///
    /// [`RemoteError`].
    ///
    /// # Panics
    ///
    /// Sometimes, like real clients.
    ///
    /// # Cancel safety
    ///
    /// Whether the event was accepted is unknown, as with any abandoned request.
    pub async fn send(&self, event: &OutboxEvent) -> Result<(), RemoteError> {
        let behavior = self.state().behavior(event);
        self.ledger.service_called(&self.process, event);
        let answer = self.answer(event, behavior).await;
        self.ledger
            .service_answered(&self.process, event.id, answer.err());
        answer
    }

    /// Completes an event on the store of its process, in a transaction of its own: what a handler
    /// does with [`complete_on`](OutboxEvent::complete_on) in a transaction of the application,
    /// after the service has accepted the event and before it answers. The store fails as it does
    /// for the processor.
    ///
    /// # Errors
    ///
    /// [`CompleteError`], as for `complete_on`. The event may be completed all the same if the
    /// store failed after the commit.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the event may be completed.
    pub async fn complete(&self, event: &OutboxEvent) -> Result<(), CompleteError> {
        event.complete_on(OnStore(Arc::clone(&self.store))).await
    }

    async fn answer(&self, event: &OutboxEvent, behavior: Behavior) -> Result<(), RemoteError> {
        let accept = || self.ledger.accepted(event.id);
        match behavior {
            Behavior::Accept => accept(),
            Behavior::AcceptAndAnswerAfter(delay) => {
                accept();
                let until = clock::after(self.clock.now(), delay);
                self.clock.sleep_until(until).await;
            }
            Behavior::AcceptAndLoseTheAnswer => {
                accept();
                return Err(RemoteError::Failed);
            }
            Behavior::AcceptAndNeverAnswer => {
                accept();
                std::future::pending::<()>().await;
            }
            Behavior::NeverAnswer => std::future::pending::<()>().await,
            // Skips the panic hook, which would print each panic.
            Behavior::Panic(0) => resume_unwind(Box::new("the client panicked")),
            Behavior::Panic(1) => {
                resume_unwind(Box::new("the client \u{1b}[31mpanicked\0".to_owned()))
            }
            Behavior::Panic(_) => resume_unwind(Box::new(7_u8)),
            Behavior::Refuse(error) => return Err(error),
        }
        Ok(())
    }

    /// Fetches new credentials, which may fail.
    pub(super) fn refresh(&self, user: &str) -> Result<(), BoxError> {
        self.ledger
            .trace(format_args!("new credentials for {user} are requested"));
        let mut state = self.state();
        let banned = state.banned.as_deref() == Some(user);
        if banned || (!state.calm && state.rng.chance(300)) {
            return Err("no new credentials".into());
        }
        state.revoked.remove(user);
        Ok(())
    }

    pub(super) fn revoke(&self, user: &str) {
        self.state().revoked.insert(user.to_owned());
    }

    /// Sets the outage that applies from now on, in addition to the random behavior.
    pub(super) fn set_outage(&self, outage: Option<Outage>) {
        self.state().outage = outage;
    }

    pub(super) fn outage(&self) -> Option<Outage> {
        self.state().outage.clone()
    }

    /// Toggles the connection. Returns whether the service is reachable now.
    pub(super) fn flip_connection(&self) -> bool {
        let mut state = self.state();
        state.offline = !state.offline;
        !state.offline
    }

    /// Accepts everything from now on, except from the banned user.
    pub(super) fn calm(&self) {
        let mut state = self.state();
        state.calm = true;
        state.offline = false;
        state.revoked = state.banned.iter().cloned().collect();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn behavior(&mut self, event: &OutboxEvent) -> Behavior {
        if let Some(outage) = &self.outage
            && outage.covers(event)
        {
            return match outage.refusal {
                Some(refusal) => Behavior::Refuse(refusal),
                None => Behavior::NeverAnswer,
            };
        }
        if self.offline {
            return Behavior::Refuse(RemoteError::Offline);
        }
        if self.revoked.contains(&event.user_id) {
            return Behavior::Refuse(RemoteError::Unauthenticated);
        }
        if self.calm {
            return Behavior::Accept;
        }
        let seconds = Duration::from_secs(1 + self.rng.below(59));
        match self.rng.below(100) {
            0..60 => Behavior::Accept,
            60..72 => Behavior::AcceptAndAnswerAfter(seconds),
            72..78 => Behavior::AcceptAndLoseTheAnswer,
            78..81 => Behavior::AcceptAndNeverAnswer,
            81..84 => Behavior::NeverAnswer,
            84..87 => Behavior::Panic(self.rng.below(3)),
            87..93 => Behavior::Refuse(RemoteError::Failed),
            93..97 => Behavior::Refuse(RemoteError::RateLimited { after: seconds }),
            _ if event.operation == Operation::Delete => Behavior::Refuse(RemoteError::Gone),
            _ => Behavior::Refuse(RemoteError::Refused),
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").finish_non_exhaustive()
    }
}
