//! The steps of an answer: API key, token, rate, effect, record. All steps of a call run under one
//! lock, so that the order of the audit is the order of effects.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{self, Extension, Path, Request};
use axum::http::header::{AUTHORIZATION, HeaderName};
use axum::http::request::Parts;
use axum::http::{Response, StatusCode};
use axum::routing::{MethodFilter, on};
use chrono::{DateTime, Utc};

use crate::answer::{Answer, Envelope, Refusal};
use crate::audit::{Audit, Call, Log};
use crate::auth::Sessions;
use crate::clock::Clock;
use crate::connection::Line;
use crate::effect::{IDEMPOTENCY_KEY, Incoming, Outcome, State, header};
use crate::faults::{Fault, FaultRule, Plan};
use crate::limits::Limits;
use crate::replay::Replays;
use crate::routes::{self, Action, Route};
use crate::settings::{ErrorCodes, Idempotency, Settings};
use crate::store::Store;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// The largest body in bytes: a full batch of meals with four bytes per character.
const LONGEST_BODY: usize = 1024 * 1024;

/// The state shared by all calls.
#[derive(Debug)]
pub(crate) struct Service {
    api_key: String,
    error_codes: ErrorCodes,
    latency: RangeInclusive<Duration>,
    clock: Clock,
    state: Mutex<State>,
}

impl Service {
    pub(crate) fn new(settings: Settings) -> Self {
        let clock = settings.clock;
        let inner = State {
            sessions: Sessions::new(settings.accounts, settings.token_ttl),
            store: Store::default(),
            limits: settings
                .rate
                .and_then(|rate| Limits::new(rate, clock.clone())),
            faults: Plan::new(settings.faults),
            replays: (settings.idempotency == Idempotency::Honored)
                .then(|| Replays::new(settings.audit_capacity)),
            log: Log::new(settings.audit_capacity),
            chance: fastrand::Rng::with_seed(settings.seed),
        };
        Self {
            api_key: settings.api_key,
            error_codes: settings.error_codes,
            latency: settings.latency,
            clock,
            state: Mutex::new(inner),
        }
    }

    /// The endpoints of the table, and an answer for everything else.
    pub(crate) fn router(self: &Arc<Self>) -> Router {
        let mut router = Router::new();
        for route in routes::all() {
            let (method, path) = route.method_and_path();
            // axum knows all methods of the table.
            let Ok(method) = MethodFilter::try_from(method) else {
                continue;
            };
            let answer = move |extract::State(service): extract::State<Arc<Self>>,
                               Extension(line): Extension<Line>,
                               id: Option<Path<String>>,
                               request: Request| async move {
                service
                    .serve(route, &line, id.map(|Path(id)| id), request)
                    .await
            };
            router = router.route(path, on(method, answer));
        }
        let unknown = |status: StatusCode, message: &'static str| {
            move |extract::State(service): extract::State<Arc<Self>>, request: Request| async move {
                service.refuse(&Refusal::new(status, message), &request.into_parts().0)
            }
        };
        router
            .fallback(unknown(StatusCode::NOT_FOUND, "no such endpoint"))
            .method_not_allowed_fallback(unknown(
                StatusCode::METHOD_NOT_ALLOWED,
                "method not allowed",
            ))
            .with_state(Arc::clone(self))
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn audit(&self) -> Audit {
        let inner = self.inner();
        inner.log.audit(inner.store.held())
    }

    pub(crate) fn reset_audit(&self) {
        self.inner().log.reset();
    }

    pub(crate) fn record_outage(&self) {
        self.inner().log.record_outage();
    }

    pub(crate) fn faults(&self) -> Vec<FaultRule> {
        self.inner().faults.rules().to_vec()
    }

    pub(crate) fn set_faults(&self, rules: Vec<FaultRule>) {
        self.inner().faults.replace(rules);
    }

    pub(crate) fn expire_tokens(&self) {
        self.inner().sessions.expire_access();
    }

    pub(crate) fn revoke_sessions(&self) {
        self.inner().sessions.revoke();
    }

    async fn serve(
        &self,
        route: &'static Route,
        line: &Line,
        id: Option<String>,
        request: Request,
    ) -> Response<Body> {
        let latency = self.draw_latency();
        pause(latency).await;
        let (parts, body) = request.into_parts();
        let Ok(body) = to_bytes(body, LONGEST_BODY).await else {
            let refusal = Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the body is too large or broke off",
            );
            return self.refuse(&refusal, &parts);
        };
        let incoming = Incoming {
            parts,
            id: id.unwrap_or_default(),
            body,
        };
        let (answer, fault) = self.take(route, &incoming);
        match fault {
            Some(Fault::Drop) => line.cut().await,
            Some(Fault::Slow(by)) => {
                pause(by).await;
                answer.into_response()
            }
            _ => answer.into_response(),
        }
    }

    /// Applies a call, and records it in the audit.
    fn take(&self, route: &'static Route, incoming: &Incoming) -> (Answer, Option<Fault>) {
        let now = self.clock.now();
        let mut inner = self.inner();
        let seq = inner.log.next_seq();
        let outcome = match self.admit(&inner, route, incoming, now) {
            Ok(user) => inner.act(route, incoming, user, now, self.with_code(seq)),
            Err((user, refusal)) => Outcome {
                answer: route.refused(&refusal, self.with_code(seq)),
                user,
                entity: None,
                fault: None,
                replay: false,
                items: 0,
            },
        };
        inner.log.record(Call {
            route: Some(route.name.to_owned()),
            user: outcome.user,
            entity: outcome.entity,
            fault: outcome.fault,
            replay: outcome.replay,
            items: outcome.items,
            ..call(seq, outcome.answer.status, &incoming.parts)
        });
        (outcome.answer, outcome.fault)
    }

    /// The user or the refusal; `None` for open endpoints.
    fn admit(
        &self,
        inner: &State,
        route: &Route,
        incoming: &Incoming,
        now: DateTime<Utc>,
    ) -> Result<Option<String>, (Option<String>, Refusal)> {
        if header(&incoming.parts, &API_KEY) != Some(&self.api_key) {
            return Err((None, Refusal::unauthorized("Invalid API key")));
        }
        if matches!(route.action, Action::Open(_)) {
            return Ok(None);
        }
        let token =
            header(&incoming.parts, &AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        let user = token.and_then(|token| inner.sessions.user_of(token, now));
        let user = user.ok_or_else(|| (None, Refusal::unauthorized("Invalid authentication")))?;
        match inner.limits.as_ref().map(|limits| limits.admit(user)) {
            Some(Err(wait)) => Err((Some(user.to_owned()), Refusal::too_many_requests(wait))),
            Some(Ok(())) | None => Ok(Some(user.to_owned())),
        }
    }

    /// The answer for unknown endpoints.
    fn refuse(&self, refusal: &Refusal, parts: &Parts) -> Response<Body> {
        let mut inner = self.inner();
        let seq = inner.log.next_seq();
        inner.log.record(call(seq, refusal.status, parts));
        Envelope::Plain
            .refused(refusal, self.with_code(seq))
            .into_response()
    }

    fn with_code(&self, seq: u64) -> bool {
        match self.error_codes {
            ErrorCodes::Absent => false,
            ErrorCodes::Present => true,
            ErrorCodes::Alternating => seq.is_multiple_of(2),
        }
    }

    fn draw_latency(&self) -> Duration {
        let (least, most) = (*self.latency.start(), *self.latency.end());
        let spread = most.saturating_sub(least);
        if spread.is_zero() {
            return least;
        }
        least + spread.mul_f64(self.inner().chance.f64())
    }

    fn inner(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn call(seq: u64, status: StatusCode, parts: &Parts) -> Call {
    Call {
        seq,
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        route: None,
        user: None,
        idempotency_key: header(parts, &IDEMPOTENCY_KEY).map(str::to_owned),
        status: status.as_u16(),
        entity: None,
        fault: None,
        replay: false,
        items: 0,
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "this delay is the remote service's; no clock of the outbox governs it"
)]
async fn pause(by: Duration) {
    if !by.is_zero() {
        tokio::time::sleep(by).await;
    }
}
