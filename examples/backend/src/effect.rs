//! The effect of an authorized call: a fault, a replayed first answer, or a change of the store.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header::HeaderName;
use axum::http::request::Parts;
use chrono::{DateTime, Utc};

use crate::answer::{Answer, Envelope, Refusal};
use crate::audit::Log;
use crate::auth::Sessions;
use crate::faults::{Fault, Plan};
use crate::limits::Limits;
use crate::replay::{Replays, Seen, Slot};
use crate::routes::{Action, Route, Visit};
use crate::store::Store;

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The state that all calls share, one at a time.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) sessions: Sessions,
    pub(crate) store: Store,
    pub(crate) limits: Option<Limits>,
    pub(crate) faults: Plan,
    /// `None`: keys are ignored.
    pub(crate) replays: Option<Replays>,
    pub(crate) log: Log,
    pub(crate) chance: fastrand::Rng,
}

/// A parsed request.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) parts: Parts,
    /// The `{id}` of the path.
    pub(crate) id: String,
    pub(crate) body: Bytes,
}

/// The result of a call.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) answer: Answer,
    pub(crate) user: Option<String>,
    pub(crate) entity: Option<String>,
    pub(crate) fault: Option<Fault>,
    pub(crate) replay: bool,
}

impl State {
    /// Runs a call: a fault instead of the effect, the effect, a fault instead of the answer.
    pub(crate) fn act(
        &mut self,
        route: &'static Route,
        incoming: &Incoming,
        user: Option<String>,
        now: DateTime<Utc>,
        with_code: bool,
    ) -> Outcome {
        let fault = self.faults.next(route.name, &mut self.chance);
        if let Some(refusal) = fault.and_then(refusal_of) {
            let answer = route.refused(&refusal, with_code);
            return Outcome {
                answer,
                user,
                entity: None,
                fault,
                replay: false,
            };
        }
        let slot = slot(route, incoming, user.as_deref());
        let seen = match (&self.replays, &slot) {
            (Some(replays), Some(slot)) => replays.look_up(slot, &incoming.body),
            _ => Seen::Never,
        };
        let (answer, entity, replay) = match seen {
            Seen::Before(answer, entity) => (answer, entity, true),
            Seen::OtherBody => {
                let message = "the idempotency key was used for another request";
                let refusal = Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message);
                (route.refused(&refusal, with_code), None, false)
            }
            Seen::Never => {
                let (answer, entity) =
                    self.perform(route, incoming, user.as_deref(), now, with_code);
                if let (Some(replays), Some(slot)) = (&mut self.replays, slot)
                    && answer.status.is_success()
                {
                    replays.keep(slot, &incoming.body, &answer, entity.clone());
                }
                (answer, entity, false)
            }
        };
        let (answer, fault) = match fault {
            Some(Fault::Garble) => answer
                .garbled()
                .map_or((answer, None), |garbled| (garbled, fault)),
            _ => (answer, fault),
        };
        Outcome {
            answer,
            user,
            entity,
            fault,
            replay,
        }
    }

    fn perform(
        &mut self,
        route: &Route,
        incoming: &Incoming,
        user: Option<&str>,
        now: DateTime<Utc>,
        with_code: bool,
    ) -> (Answer, Option<String>) {
        let email = user
            .and_then(|user| self.sessions.email_of(user))
            .unwrap_or_default()
            .to_owned();
        let visit = Visit {
            user: user.unwrap_or_default(),
            email: &email,
            id: &incoming.id,
            query: incoming.parts.uri.query().unwrap_or_default(),
            body: &incoming.body,
            key: header(&incoming.parts, &IDEMPOTENCY_KEY),
            seq: self.log.next_seq(),
            now,
        };
        let result = match route.action {
            Action::Open(act) => act(&mut self.sessions, &visit),
            Action::User(act) => act(&mut self.store, &visit),
        };
        match result {
            Ok(done) => {
                let entity = done.entity.clone();
                (route.envelope.done(done), entity)
            }
            Err(refusal) => (route.refused(&refusal, with_code), None),
        }
    }
}

impl Route {
    /// Refused callers get the same message everywhere.
    pub(crate) fn refused(&self, refusal: &Refusal, with_code: bool) -> Answer {
        let envelope = match refusal.status {
            StatusCode::UNAUTHORIZED => Envelope::Plain,
            _ => self.envelope,
        };
        envelope.refused(refusal, with_code)
    }
}

/// The scope of a key.
fn slot(route: &Route, incoming: &Incoming, user: Option<&str>) -> Option<Slot> {
    let key = header(&incoming.parts, &IDEMPOTENCY_KEY)?;
    let path = incoming.parts.uri.path();
    Some((
        user?.to_owned(),
        route.name,
        path.to_owned(),
        key.to_owned(),
    ))
}

/// The answer of a fault that replaces the effect.
fn refusal_of(fault: Fault) -> Option<Refusal> {
    match fault {
        Fault::InternalError => Some(Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal server error",
        )),
        Fault::Unavailable => Some(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "service unavailable",
        )),
        Fault::TooManyRequests => Some(Refusal::too_many_requests(Duration::from_secs(1))),
        Fault::Drop | Fault::Garble | Fault::Slow(_) => None,
    }
}

pub(crate) fn header<'a>(parts: &'a Parts, name: &HeaderName) -> Option<&'a str> {
    parts.headers.get(name)?.to_str().ok()
}
