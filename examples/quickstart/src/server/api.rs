//! The endpoints.

use std::io;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::header::{AUTHORIZATION, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Service;
use super::faults::{self, Fault};
use super::ledger::{Content, Refusal, Request, Verb};
use super::sessions::Pair;

#[derive(Deserialize)]
pub(super) struct NewEntry {
    id: Uuid,
    #[serde(flatten)]
    change: Change,
}

#[derive(Deserialize)]
pub(super) struct Change {
    line: u64,
    #[serde(flatten)]
    content: Content,
}

#[derive(Deserialize)]
pub(super) struct Deletion {
    line: u64,
}

#[derive(Deserialize)]
pub(super) struct Login {
    user: String,
}

#[derive(Deserialize)]
pub(super) struct Refresh {
    refresh_token: String,
}

#[derive(Serialize)]
struct Tokens {
    access_token: String,
    refresh_token: String,
}

pub(super) async fn create(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Json(entry): Json<NewEntry>,
) -> Response {
    let request = caller.asks(Verb::Create, entry.id, entry.change.line);
    service.serve(request, Some(entry.change.content)).await
}

pub(super) async fn update(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(change): Json<Change>,
) -> Response {
    let request = caller.asks(Verb::Update, id, change.line);
    service.serve(request, Some(change.content)).await
}

pub(super) async fn delete(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Query(deletion): Query<Deletion>,
) -> Response {
    let request = caller.asks(Verb::Delete, id, deletion.line);
    service.serve(request, None).await
}

pub(super) async fn log_in(
    State(service): State<Arc<Service>>,
    Json(login): Json<Login>,
) -> Response {
    tokens(service.sessions().log_in(&login.user))
}

pub(super) async fn refresh(
    State(service): State<Arc<Service>>,
    Json(refresh): Json<Refresh>,
) -> Response {
    match service.sessions().refresh(&refresh.refresh_token) {
        Some(pair) => tokens(pair),
        None => (
            StatusCode::UNAUTHORIZED,
            "the refresh token was used already",
        )
            .into_response(),
    }
}

fn tokens(pair: Pair) -> Response {
    Json(Tokens {
        access_token: pair.access,
        refresh_token: pair.refresh,
    })
    .into_response()
}

/// The user and the key of a request.
pub(super) struct Caller {
    user: String,
    key: Uuid,
}

impl Caller {
    fn asks(self, operation: Verb, entity: Uuid, line: u64) -> Request {
        Request {
            key: self.key,
            user: self.user,
            entity,
            operation,
            line,
        }
    }
}

impl FromRequestParts<Arc<Service>> for Caller {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(
        parts: &mut Parts,
        service: &Arc<Service>,
    ) -> Result<Self, Self::Rejection> {
        let token = header(&parts.headers, AUTHORIZATION.as_str())
            .and_then(|value| value.strip_prefix("Bearer "));
        let user = token
            .and_then(|token| service.sessions().let_in(token))
            .ok_or((StatusCode::UNAUTHORIZED, "the access token is invalid"))?;
        let key = header(&parts.headers, "idempotency-key")
            .and_then(|key| key.parse().ok())
            .ok_or((
                StatusCode::BAD_REQUEST,
                "the header Idempotency-Key must be a UUID",
            ))?;
        Ok(Self { user, key })
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

impl Service {
    /// Records the request, delays it, and applies it, unless a fault is due.
    async fn serve(&self, request: Request, content: Option<Content>) -> Response {
        let sight = match self.ledger().receive(&request) {
            Ok(sight) => sight,
            Err(error) => return refusal(&error.into()),
        };
        think(request.key).await;

        let mut ledger = self.ledger();
        let fault = match ledger.has_accepted(request.key) {
            true => None,
            false => faults::decide(request.key, sight),
        };
        match fault {
            Some(Fault::Unavailable { retry_after }) => {
                busy(StatusCode::SERVICE_UNAVAILABLE, retry_after)
            }
            Some(Fault::TooManyRequests { retry_after }) => {
                busy(StatusCode::TOO_MANY_REQUESTS, Some(retry_after))
            }
            Some(Fault::CutOff) => match ledger.accept(request, content) {
                Ok(()) => cut_off(),
                Err(error) => refusal(&error),
            },
            None => {
                let status = match request.operation {
                    Verb::Create => StatusCode::CREATED,
                    Verb::Update | Verb::Delete => StatusCode::OK,
                };
                match ledger.accept(request, content) {
                    Ok(()) => (status, "accepted").into_response(),
                    Err(error) => refusal(&error),
                }
            }
        }
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "this latency is the remote service's; no clock of the outbox governs it"
)]
async fn think(key: Uuid) {
    tokio::time::sleep(faults::latency(key)).await;
}

fn busy(status: StatusCode, retry_after: Option<u64>) -> Response {
    let mut response = (status, "come back later").into_response();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

fn refusal(refusal: &Refusal) -> Response {
    let status = match refusal {
        Refusal::OutOfRange(_) | Refusal::Empty => StatusCode::BAD_REQUEST,
        Refusal::NotFound => StatusCode::NOT_FOUND,
        Refusal::Exists => StatusCode::CONFLICT,
        Refusal::Storage(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, refusal.to_string()).into_response()
}

/// An answer that begins like a success and breaks off before its end.
fn cut_off() -> Response {
    let pieces = [
        Ok(Bytes::from_static(b"accep")),
        Err(io::Error::from(io::ErrorKind::ConnectionReset)),
    ];
    Body::from_stream(futures_util::stream::iter(pieces)).into_response()
}
