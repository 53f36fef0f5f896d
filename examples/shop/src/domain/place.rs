//! Placing an order.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use outbox_runtime::enqueue_all;
use outbox_runtime::prelude::*;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Customer, Order, OrderLine, OrderStatus, ShopError, stock};

/// The most lines of an order.
const MOST_LINES: usize = 50;
/// The most units in a line.
const MOST_UNITS: i64 = 1_000;

/// An order that a client wants to place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewOrder {
    /// The id that it is to have.
    pub id: Uuid,
    /// Whose order it is.
    pub customer_id: Uuid,
    /// The goods and their numbers.
    pub lines: Vec<NewLine>,
}

/// A line of an order that a client wants to place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewLine {
    /// The SKU of the goods.
    pub sku: String,
    /// How many.
    pub quantity: i64,
}

/// The result of placing an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placed {
    /// It was placed.
    New(Order),
    /// It had been placed before; nothing was written.
    Known(Order),
}

/// Places an order in the caller's transaction: the order, its lines, the stock and the customer,
/// and an event for each.
///
/// # Errors
///
/// [`ShopError`]. Roll the transaction back then: some of the rows may be written.
pub async fn place(tx: &Transaction<'_>, new: &NewOrder) -> Result<Placed, ShopError> {
    let quantities = quantities(&new.lines)?;
    let skus: Vec<&str> = quantities.keys().copied().collect();
    let prices = stock::prices(tx, &skus).await?;

    let mut lines = Vec::with_capacity(quantities.len());
    for (sku, quantity) in quantities {
        let price = prices.get(sku).copied();
        lines.push(OrderLine {
            customer_id: new.customer_id,
            order_id: new.id,
            sku: sku.to_owned(),
            quantity,
            unit_cents: price.ok_or_else(|| ShopError::UnknownSku(sku.to_owned()))?,
        });
    }
    let order = Order {
        id: new.id,
        customer_id: new.customer_id,
        status: OrderStatus::Placed,
        total_cents: lines
            .iter()
            .map(|line| line.quantity * line.unit_cents)
            .sum(),
        revision: 1,
    };

    // First the rows, whose locks give the transactions about an entity their order ..
    if !order.insert(tx).await? {
        let known = Order::load(tx, new.id).await?;
        return known
            .map(Placed::Known)
            .ok_or(ShopError::UnknownOrder(new.id));
    }
    let mut changes = Vec::with_capacity(lines.len());
    for line in &lines {
        changes.push(stock::change(tx, order.id, &line.sku, -line.quantity).await?);
        line.insert(tx).await?;
    }
    let customer = Customer::add(tx, order.customer_id, 1, order.total_cents).await?;

    // .. then the events, which so have the same order.
    order.enqueue_create().on(tx).await?;
    enqueue_all(&lines).on(tx).await?;
    enqueue_all(&changes)
        .operation(Operation::Update)
        .on(tx)
        .await?;
    customer.enqueue_update().on(tx).await?;
    Ok(Placed::New(order))
}

/// The quantities by SKU, in the order in which all transactions lock stock.
fn quantities(lines: &[NewLine]) -> Result<BTreeMap<&str, i64>, ShopError> {
    if lines.is_empty() || lines.len() > MOST_LINES {
        return Err(ShopError::Invalid("an order has 1 to 50 lines"));
    }
    let mut quantities = BTreeMap::new();
    for line in lines {
        if !(1..=MOST_UNITS).contains(&line.quantity) {
            return Err(ShopError::Invalid("a line has 1 to 1,000 units"));
        }
        if quantities.insert(&*line.sku, line.quantity).is_some() {
            return Err(ShopError::Invalid("an order has one line for each SKU"));
        }
    }
    Ok(quantities)
}
