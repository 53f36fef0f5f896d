//! The lines of orders.

use deadpool_postgres::{GenericClient, Transaction};
use outbox_runtime::prelude::*;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use uuid::Uuid;

use super::ShopError;

/// A line of an order, which has one for each SKU. It never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "order_line", snapshot, entity_id = (self.order_id, self.sku))]
pub struct OrderLine {
    /// Whose order it is part of.
    #[outbox(user_id)]
    pub customer_id: Uuid,
    /// The order.
    pub order_id: Uuid,
    /// The SKU of the goods.
    pub sku: String,
    /// How many.
    pub quantity: i64,
    /// The price of one, at the time of the order.
    pub unit_cents: i64,
}

/// The metadata of a line's event: the line.
pub type OrderLineMetadata = OrderLine;

impl OrderLine {
    pub(super) async fn insert(&self, tx: &Transaction<'_>) -> Result<(), ShopError> {
        const INSERT: &str = "INSERT INTO order_lines (order_id, sku, quantity, unit_cents)
            VALUES ($1, $2, $3, $4)";
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&self.order_id, &self.sku, &self.quantity, &self.unit_cents];
        tx.execute(INSERT, &values).await?;
        Ok(())
    }

    /// The lines of an order, by SKU.
    pub(super) async fn of(
        client: &impl GenericClient,
        order_id: Uuid,
    ) -> Result<Vec<Self>, ShopError> {
        let rows = client
            .query(
                "SELECT l.*, o.customer_id FROM order_lines l JOIN orders o ON o.id = l.order_id
                 WHERE o.id = $1 ORDER BY l.sku COLLATE \"C\"",
                &[&order_id],
            )
            .await?;
        rows.iter().map(Self::from_row).collect()
    }

    /// The lines of all orders.
    ///
    /// # Errors
    ///
    /// [`ShopError::Database`].
    pub async fn all(client: &impl GenericClient) -> Result<Vec<Self>, ShopError> {
        const ALL: &str =
            "SELECT l.*, o.customer_id FROM order_lines l JOIN orders o ON o.id = l.order_id";
        let rows = client.query(ALL, &[]).await?;
        rows.iter().map(Self::from_row).collect()
    }

    fn from_row(row: &Row) -> Result<Self, ShopError> {
        Ok(Self {
            customer_id: row.try_get("customer_id")?,
            order_id: row.try_get("order_id")?,
            sku: row.try_get("sku")?,
            quantity: row.try_get("quantity")?,
            unit_cents: row.try_get("unit_cents")?,
        })
    }
}
