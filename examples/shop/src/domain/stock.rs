//! Stock, and its changes.

use std::collections::BTreeMap;

use deadpool_postgres::{GenericClient, Transaction};
use outbox_runtime::prelude::*;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use uuid::Uuid;

use super::ShopError;

/// The only warehouse of this shop, and the owner of every change of its stock.
pub const WAREHOUSE: &str = "main";

/// A change of the stock of one SKU, by an order or its cancellation.
///
/// Its entity is the stock of the SKU, which many customers change. The owner must therefore be the
/// same for all of them: events are delivered in order per owner *and* entity, and with the
/// customer as the owner, the changes by two customers would overtake each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "stock", snapshot, user_id = WAREHOUSE)]
pub struct StockChange {
    /// The SKU.
    #[outbox(entity_id)]
    pub sku: String,
    /// Counts the changes of this SKU, from 1.
    pub revision: i64,
    /// The order that caused it.
    pub order_id: Uuid,
    /// How many came or, if negative, went.
    pub change: i64,
    /// How many are left after it.
    pub available: i64,
}

/// The metadata of a stock event: the change.
pub type StockChangeMetadata = StockChange;

/// How many of a SKU are left.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StockLevel {
    /// The SKU.
    pub sku: String,
    /// How many.
    pub available: i64,
    /// The number of changes so far.
    pub revision: i64,
}

/// Puts goods on sale.
pub(super) async fn insert(
    client: &impl GenericClient,
    sku: &str,
    unit_cents: i64,
    available: i64,
) -> Result<(), ShopError> {
    const INSERT: &str =
        "INSERT INTO stock (sku, unit_cents, available, revision) VALUES ($1, $2, $3, 0)";
    client
        .execute(INSERT, &[&sku, &unit_cents, &available])
        .await?;
    Ok(())
}

/// The prices of these SKUs, as far as they are on sale.
pub(super) async fn prices(
    tx: &Transaction<'_>,
    skus: &[&str],
) -> Result<BTreeMap<String, i64>, ShopError> {
    const PRICES: &str = "SELECT sku, unit_cents FROM stock WHERE sku = ANY($1)";
    let rows = tx.query(PRICES, &[&skus]).await?;
    let price = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
    rows.iter().map(price).collect()
}

/// Changes the stock of a SKU, which locks it until the transaction ends, and notes the change.
pub(super) async fn change(
    tx: &Transaction<'_>,
    order_id: Uuid,
    sku: &str,
    change: i64,
) -> Result<StockChange, ShopError> {
    const CHANGE: &str = "WITH changed AS (
            UPDATE stock SET available = available + $2, revision = revision + 1
            WHERE sku = $1 AND available + $2 >= 0
            RETURNING sku, revision, available)
        INSERT INTO stock_changes (sku, revision, order_id, change, available)
        SELECT sku, revision, $3, $2, available FROM changed
        RETURNING sku, revision, order_id, change, available";
    let row = tx.query_opt(CHANGE, &[&sku, &change, &order_id]).await?;
    let row = row.ok_or_else(|| ShopError::OutOfStock(sku.to_owned()))?;
    StockChange::from_row(&row)
}

impl StockChange {
    /// All changes, each SKU's in their order.
    ///
    /// # Errors
    ///
    /// [`ShopError::Database`].
    pub async fn all(client: &impl GenericClient) -> Result<Vec<Self>, ShopError> {
        const ALL: &str = "SELECT sku, revision, order_id, change, available FROM stock_changes
            ORDER BY sku, revision";
        let rows = client.query(ALL, &[]).await?;
        rows.iter().map(Self::from_row).collect()
    }

    fn from_row(row: &Row) -> Result<Self, ShopError> {
        Ok(Self {
            sku: row.try_get("sku")?,
            revision: row.try_get("revision")?,
            order_id: row.try_get("order_id")?,
            change: row.try_get("change")?,
            available: row.try_get("available")?,
        })
    }
}

impl StockLevel {
    /// The stock of all SKUs.
    ///
    /// # Errors
    ///
    /// [`ShopError::Database`].
    pub async fn all(client: &impl GenericClient) -> Result<Vec<Self>, ShopError> {
        const ALL: &str = "SELECT sku, available, revision FROM stock ORDER BY sku";
        let level = |row: &Row| {
            Ok(Self {
                sku: row.try_get(0)?,
                available: row.try_get(1)?,
                revision: row.try_get(2)?,
            })
        };
        client.query(ALL, &[]).await?.iter().map(level).collect()
    }
}
