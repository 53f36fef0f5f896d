//! The endpoints of the partner.

use std::io;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use outbox_runtime::Clock;
use outbox_runtime::store::SystemClock;
use uuid::Uuid;

use super::Service;
use super::faults::Fault;
use super::ledger::{Entry, Item};
use crate::domain::{Order, OrderLine};

pub(super) async fn put_order(
    State(service): State<Arc<Service>>,
    Key(key): Key,
    Path(id): Path<Uuid>,
    Json(order): Json<Order>,
) -> Response {
    if order.id != id {
        return (StatusCode::BAD_REQUEST, "the ids differ").into_response();
    }
    if !service.faults.takes(order.total_cents) {
        let reason = "the total is above the limit";
        return (StatusCode::UNPROCESSABLE_ENTITY, reason).into_response();
    }
    service.take(key, Item::Order(order)).await
}

pub(super) async fn put_line(
    State(service): State<Arc<Service>>,
    Key(key): Key,
    Path((order, sku)): Path<(Uuid, String)>,
    Json(line): Json<OrderLine>,
) -> Response {
    if (line.order_id, &line.sku) != (order, &sku) {
        return (StatusCode::BAD_REQUEST, "the ids differ").into_response();
    }
    service.take(key, Item::Line(line)).await
}

impl Service {
    async fn take(&self, key: Uuid, item: Item) -> Response {
        SystemClock.sleep(self.faults.latency(key)).await;
        let mut ledger = self.ledger();
        let sight = ledger.see(key);
        let fault = match ledger.has(key) {
            true => None,
            false => self.faults.of(key, sight),
        };
        match fault {
            Some(Fault::Unavailable) => {
                ledger.refused += 1;
                (StatusCode::SERVICE_UNAVAILABLE, "come back later").into_response()
            }
            Some(Fault::Broken) => {
                ledger.refused += 1;
                (StatusCode::INTERNAL_SERVER_ERROR, "broken").into_response()
            }
            Some(Fault::NoAnswer) => match ledger.enter(key, item) {
                Entry::Early => early(),
                Entry::New | Entry::Repeated => {
                    ledger.unanswered += 1;
                    cut_off()
                }
            },
            None => match ledger.enter(key, item) {
                Entry::Early => early(),
                Entry::New | Entry::Repeated => (StatusCode::OK, "accepted").into_response(),
            },
        }
    }
}

fn early() -> Response {
    (StatusCode::CONFLICT, "the order is not known").into_response()
}

/// A response that begins like a success and breaks off before its end.
fn cut_off() -> Response {
    let pieces = [
        Ok(Bytes::from_static(b"accep")),
        Err(io::Error::from(io::ErrorKind::ConnectionReset)),
    ];
    Body::from_stream(futures_util::stream::iter(pieces)).into_response()
}

/// The `Idempotency-Key` of a request.
pub(super) struct Key(Uuid);

impl FromRequestParts<Arc<Service>> for Key {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(
        parts: &mut Parts,
        _: &Arc<Service>,
    ) -> Result<Self, Self::Rejection> {
        let key = parts.headers.get("idempotency-key");
        let key = key.and_then(|key| key.to_str().ok()?.parse().ok());
        let refusal = (StatusCode::BAD_REQUEST, "Idempotency-Key must be a UUID");
        key.map(Self).ok_or(refusal)
    }
}
