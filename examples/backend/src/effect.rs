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
use crate::routes::batch::{self, Item};
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
    pub(crate) items: usize,
}

/// What is the same for all requests of a call.
struct Caller<'a> {
    user: Option<&'a str>,
    email: &'a str,
    now: DateTime<Utc>,
    with_code: bool,
}

/// A request: a call, or an item of one.
struct Request<'a> {
    route: &'static Route,
    path: &'a str,
    id: &'a str,
    query: &'a str,
    key: Option<&'a str>,
    body: &'a [u8],
}

/// The result of a request.
struct Effect {
    answer: Answer,
    entity: Option<String>,
    replay: bool,
    items: usize,
}

impl Effect {
    fn of(answer: Answer) -> Self {
        Self {
            answer,
            entity: None,
            replay: false,
            items: 0,
        }
    }
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
            return Outcome {
                answer: route.refused(&refusal, with_code),
                user,
                entity: None,
                fault,
                replay: false,
                items: 0,
            };
        }
        let email = user
            .as_deref()
            .and_then(|user| self.sessions.email_of(user));
        let email = email.unwrap_or_default().to_owned();
        let caller = Caller {
            user: user.as_deref(),
            email: &email,
            now,
            with_code,
        };
        let request = Request {
            route,
            path: incoming.parts.uri.path(),
            id: &incoming.id,
            query: incoming.parts.uri.query().unwrap_or_default(),
            key: header(&incoming.parts, &IDEMPOTENCY_KEY),
            body: &incoming.body,
        };
        let Effect {
            answer,
            entity,
            replay,
            items,
        } = self.once(&caller, &request);
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
            items,
        }
    }

    /// Runs a request once per key: the first success is the answer to all that follow.
    fn once(&mut self, caller: &Caller<'_>, request: &Request<'_>) -> Effect {
        let slot = slot(caller, request);
        let seen = match (&self.replays, &slot) {
            (Some(replays), Some(slot)) => replays.look_up(slot, request.body),
            _ => Seen::Never,
        };
        match seen {
            Seen::Before(answer, entity) => Effect {
                entity,
                replay: true,
                ..Effect::of(answer)
            },
            Seen::OtherBody => {
                let message = "the idempotency key was used for another request";
                let refusal = Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message);
                Effect::of(request.route.refused(&refusal, caller.with_code))
            }
            Seen::Never => {
                let effect = self.perform(caller, request);
                if let (Some(replays), Some(slot)) = (&mut self.replays, slot)
                    && effect.answer.status.is_success()
                {
                    replays.keep(slot, request.body, &effect.answer, effect.entity.clone());
                }
                effect
            }
        }
    }

    fn perform(&mut self, caller: &Caller<'_>, request: &Request<'_>) -> Effect {
        let visit = Visit {
            user: caller.user.unwrap_or_default(),
            email: caller.email,
            id: request.id,
            query: request.query,
            body: request.body,
            key: request.key,
            seq: self.log.next_seq(),
            now: caller.now,
        };
        let route = request.route;
        let result = match route.action {
            Action::Open(act) => act(&mut self.sessions, &visit),
            Action::User(act) => act(&mut self.store, &visit),
            Action::Batch(of) => match batch::items(&visit) {
                Ok(items) => return self.perform_each(caller, route, of, items),
                Err(refusal) => Err(refusal),
            },
        };
        match result {
            Ok(done) => Effect {
                entity: done.entity.clone(),
                ..Effect::of(route.envelope.done(done))
            },
            Err(refusal) => Effect::of(route.refused(&refusal, caller.with_code)),
        }
    }

    /// Runs the items of a batch, each as if it had been sent to the endpoint `of` by itself, under
    /// its own key.
    fn perform_each(
        &mut self,
        caller: &Caller<'_>,
        route: &Route,
        of: &'static Route,
        items: Vec<Item>,
    ) -> Effect {
        let (_, path) = of.method_and_path();
        let effects = items.into_iter().map(|item| match item {
            Ok((key, body)) => self.once(
                caller,
                &Request {
                    route: of,
                    path,
                    id: "",
                    query: "",
                    key: key.as_deref(),
                    body: &body,
                },
            ),
            Err(refusal) => Effect::of(of.refused(&refusal, caller.with_code)),
        });
        let effects: Vec<Effect> = effects.collect();
        let answers = effects.iter().map(|effect| effect.answer.as_item());
        let done = batch::answered(answers.collect());
        Effect {
            replay: effects.iter().any(|effect| effect.replay),
            items: effects.len(),
            ..Effect::of(route.envelope.done(done))
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
fn slot(caller: &Caller<'_>, request: &Request<'_>) -> Option<Slot> {
    Some((
        caller.user?.to_owned(),
        request.route.name,
        request.path.to_owned(),
        request.key?.to_owned(),
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
