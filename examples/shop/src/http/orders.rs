//! The handlers of requests.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use uuid::Uuid;

use super::answer::Failure;
use crate::domain::{Customer, NewLine, NewOrder, Order, Placed, Shop};

#[derive(Debug, Deserialize)]
pub(super) struct NewCustomer {
    name: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    customer_id: Uuid,
    lines: Vec<NewLine>,
}

pub(super) async fn add_customer(
    State(shop): State<Shop>,
    Json(new): Json<NewCustomer>,
) -> Result<(StatusCode, Json<Customer>), Failure> {
    let customer = shop.add_customer(&new.name).await?;
    Ok((StatusCode::CREATED, Json(customer)))
}

/// The client chooses the id, so it can repeat the request when the response is lost.
///
/// A client that hangs up drops this future, and with it the transaction: it is rolled back, unless
/// its commit was on the way already. Rows and events always share that fate.
pub(super) async fn place(
    State(shop): State<Shop>,
    Path(id): Path<Uuid>,
    Json(wanted): Json<Wanted>,
) -> Result<(StatusCode, Json<Order>), Failure> {
    let order = NewOrder {
        id,
        customer_id: wanted.customer_id,
        lines: wanted.lines,
    };
    Ok(match shop.place(&order).await? {
        Placed::New(order) => (StatusCode::CREATED, Json(order)),
        Placed::Known(order) => (StatusCode::OK, Json(order)),
    })
}

pub(super) async fn show(
    State(shop): State<Shop>,
    Path(id): Path<Uuid>,
) -> Result<Json<Order>, Failure> {
    Ok(Json(shop.order(id).await?))
}

pub(super) async fn pay(
    State(shop): State<Shop>,
    Path(id): Path<Uuid>,
) -> Result<Json<Order>, Failure> {
    Ok(Json(shop.pay(id).await?))
}

pub(super) async fn cancel(
    State(shop): State<Shop>,
    Path(id): Path<Uuid>,
) -> Result<Json<Order>, Failure> {
    Ok(Json(shop.cancel(id).await?))
}
