//! The remote service of a simulation, which misbehaves in every way that a service can.

use std::collections::BTreeSet;
use std::fmt;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;

use super::ledger::Ledger;
use super::outage::Outage;
use crate::{ManualClock, SeededRng};
use outbox_runtime::__private::clock;
use outbox_runtime::Clock;
use outbox_runtime::store::BoxError;
use outbox_runtime::{Delivery, DeliveryError};
use outbox_runtime::{Operation, OutboxEvent};

/// The remote service of a [`Simulation`](super::Simulation): what its handlers send to.
///
/// It accepts, and it misbehaves: it is not there, refuses credentials, is overloaded, wants to be left alone, refuses for
/// good, accepts and loses the answer, answers late or never, and panics in the client. It compares what it is sent, for
/// whom and when with what was enqueued. Clones are the same service.
#[derive(Clone)]
pub struct Remote {
    /// Who calls it.
    process: String,
    clock: ManualClock,
    ledger: Ledger,
    /// Never held across an await.
    state: Arc<Mutex<State>>,
}

struct State {
    draw: SeededRng,
    calm: bool,
    offline: bool,
    /// What is refused besides, whatever the mood.
    outage: Option<Outage>,
    /// Users whose credentials are refused until they are refreshed.
    revoked: BTreeSet<String>,
    /// A user whose credentials cannot be refreshed.
    banned: Option<String>,
}

/// How a [`Remote`] refuses. `?` in a handler does what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// No connection.
    #[error("no connection")]
    Offline,
    /// 401.
    #[error("the credentials are refused")]
    Unauthenticated,
    /// 429 with `Retry-After`.
    #[error("too many requests")]
    RateLimited {
        /// How long it wants to be left alone.
        after: Duration,
    },
    /// 503, before or after it has accepted.
    #[error("unavailable")]
    Unavailable,
    /// 500.
    #[error("internal error")]
    Failed,
    /// 422.
    #[error("refused")]
    Refused,
    /// 404 to a delete.
    #[error("it is gone already")]
    Gone,
}

impl DeliveryError for RemoteError {
    fn delivery(&self) -> Delivery {
        match *self {
            Self::Offline => Delivery::Offline,
            Self::Unauthenticated => Delivery::Unauthenticated,
            Self::RateLimited { after } => Delivery::RateLimited { after },
            Self::Unavailable => Delivery::Unavailable { after: None },
            Self::Failed => Delivery::Retry { after: None },
            Self::Refused => Delivery::Permanent,
            Self::Gone => Delivery::Obsolete,
        }
    }
}

/// What it makes of one request.
enum Mood {
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
        draw: SeededRng,
        banned: Option<String>,
    ) -> Self {
        let state = State {
            draw,
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
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// The same service, as one process calls it.
    pub(super) fn called_by(&self, process: &str) -> Self {
        Self {
            process: process.to_owned(),
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
    /// At times, as clients do.
    ///
    /// # Cancel safety
    ///
    /// Whether it was accepted is open, as with any request that is given up.
    pub async fn send(&self, event: &OutboxEvent) -> Result<(), RemoteError> {
        let mood = self.state().mood(event);
        self.ledger.asked(&self.process, event);
        let answer = self.answer(event, mood).await;
        self.ledger.told(&self.process, event.id, answer.err());
        answer
    }

    async fn answer(&self, event: &OutboxEvent, mood: Mood) -> Result<(), RemoteError> {
        let accept = || self.ledger.accepted(event.id);
        match mood {
            Mood::Accept => accept(),
            Mood::AcceptAndAnswerAfter(delay) => {
                accept();
                let until = clock::after(self.clock.now(), delay);
                self.clock.sleep_until(until).await;
            }
            Mood::AcceptAndLoseTheAnswer => {
                accept();
                return Err(RemoteError::Failed);
            }
            Mood::AcceptAndNeverAnswer => {
                accept();
                std::future::pending::<()>().await;
            }
            Mood::NeverAnswer => std::future::pending::<()>().await,
            // Without the hook, which would print each of them.
            Mood::Panic(0) => resume_unwind(Box::new("the client panicked")),
            Mood::Panic(1) => resume_unwind(Box::new("the client \u{1b}[31mpanicked\0".to_owned())),
            Mood::Panic(_) => resume_unwind(Box::new(7_u8)),
            Mood::Refuse(error) => return Err(error),
        }
        Ok(())
    }

    /// Gets new credentials, which may fail.
    pub(super) fn refresh(&self, user: &str) -> Result<(), BoxError> {
        self.ledger
            .trace(format_args!("new credentials for {user} are asked for"));
        let mut state = self.state();
        let banned = state.banned.as_deref() == Some(user);
        if banned || (!state.calm && state.draw.chance(300)) {
            return Err("no new credentials".into());
        }
        state.revoked.remove(user);
        Ok(())
    }

    pub(super) fn revoke(&self, user: &str) {
        self.state().revoked.insert(user.to_owned());
    }

    /// What it refuses from now on, besides what it refuses in its moods.
    pub(super) fn set_outage(&self, outage: Option<Outage>) {
        self.state().outage = outage;
    }

    pub(super) fn outage(&self) -> Option<Outage> {
        self.state().outage.clone()
    }

    /// Whether it is reachable from now on.
    pub(super) fn flip_connection(&self) -> bool {
        let mut state = self.state();
        state.offline = !state.offline;
        !state.offline
    }

    /// It accepts everything from now on, but of a user who is banned.
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
    fn mood(&mut self, event: &OutboxEvent) -> Mood {
        if let Some(outage) = &self.outage
            && outage.covers(event)
        {
            return match outage.refusal {
                Some(refusal) => Mood::Refuse(refusal),
                None => Mood::NeverAnswer,
            };
        }
        if self.offline {
            return Mood::Refuse(RemoteError::Offline);
        }
        if self.revoked.contains(&event.user_id) {
            return Mood::Refuse(RemoteError::Unauthenticated);
        }
        if self.calm {
            return Mood::Accept;
        }
        let seconds = Duration::from_secs(1 + self.draw.below(59));
        match self.draw.below(100) {
            0..60 => Mood::Accept,
            60..72 => Mood::AcceptAndAnswerAfter(seconds),
            72..78 => Mood::AcceptAndLoseTheAnswer,
            78..81 => Mood::AcceptAndNeverAnswer,
            81..84 => Mood::NeverAnswer,
            84..87 => Mood::Panic(self.draw.below(3)),
            87..93 => Mood::Refuse(RemoteError::Failed),
            93..97 => Mood::Refuse(RemoteError::RateLimited { after: seconds }),
            _ if event.operation == Operation::Delete => Mood::Refuse(RemoteError::Gone),
            _ => Mood::Refuse(RemoteError::Refused),
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").finish_non_exhaustive()
    }
}
