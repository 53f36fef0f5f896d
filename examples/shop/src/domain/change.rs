//! Paying for an order, and canceling it.

use deadpool_postgres::Transaction;
use outbox_runtime::enqueue_all;
use outbox_runtime::prelude::*;
use uuid::Uuid;

use super::{Customer, Order, OrderLine, OrderStatus, ShopError, stock};

pub(super) async fn pay(tx: &Transaction<'_>, id: Uuid) -> Result<Order, ShopError> {
    let Some(order) = Order::leave_placed(tx, id, OrderStatus::Paid).await? else {
        return unchanged(tx, id, OrderStatus::Paid).await;
    };
    order.enqueue_update().on(tx).await?;
    Ok(order)
}

pub(super) async fn cancel(tx: &Transaction<'_>, id: Uuid) -> Result<Order, ShopError> {
    let Some(order) = Order::leave_placed(tx, id, OrderStatus::Canceled).await? else {
        return unchanged(tx, id, OrderStatus::Canceled).await;
    };
    let mut changes = Vec::new();
    for line in OrderLine::of(tx, id).await? {
        changes.push(stock::change(tx, id, &line.sku, line.quantity).await?);
    }
    let customer = Customer::add(tx, order.customer_id, -1, -order.total_cents).await?;

    order.enqueue_update().on(tx).await?;
    enqueue_all(&changes)
        .operation(Operation::Update)
        .on(tx)
        .await?;
    customer.enqueue_update().on(tx).await?;
    Ok(order)
}

/// The order, if it has the wanted status already.
async fn unchanged(
    tx: &Transaction<'_>,
    id: Uuid,
    wanted: OrderStatus,
) -> Result<Order, ShopError> {
    let order = Order::load(tx, id).await?;
    let order = order.ok_or(ShopError::UnknownOrder(id))?;
    match order.status {
        status if status == wanted => Ok(order),
        status => Err(ShopError::WrongStatus(status)),
    }
}
