//! Orders.

use deadpool_postgres::{GenericClient, Transaction};
use outbox_runtime::prelude::*;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::ShopError;

/// An order, without its lines, which are entities of their own. It goes before them where there is
/// a choice, because the partner takes no line of an order that it does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "order", snapshot, priority = 1)]
pub struct Order {
    /// The id, chosen by the client, so that placing an order can be repeated.
    #[outbox(entity_id)]
    pub id: Uuid,
    /// Whose order it is.
    #[outbox(user_id)]
    pub customer_id: Uuid,
    /// How far it is.
    pub status: OrderStatus,
    /// The sum of its lines.
    pub total_cents: i64,
    /// Counts the changes, from 1.
    pub revision: i64,
}

/// The metadata of an order's event: the order.
pub type OrderMetadata = Order;

/// How far an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Its goods are reserved.
    Placed,
    /// Paid; no way back.
    Paid,
    /// Canceled; its goods are back in stock.
    Canceled,
}

impl OrderStatus {
    const ALL: [Self; 3] = [Self::Placed, Self::Paid, Self::Canceled];

    /// The spelling in the database and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Paid => "paid",
            Self::Canceled => "canceled",
        }
    }
}

const COLUMNS: &str = "id, customer_id, status, total_cents, revision";

impl Order {
    /// Whether the order is new; `false` if there is one of this id. If another transaction is just
    /// placing it, this waits for the end of that one.
    pub(super) async fn insert(&self, tx: &Transaction<'_>) -> Result<bool, ShopError> {
        const INSERT: &str = "INSERT INTO orders (id, customer_id, status, total_cents, revision)
            VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING";
        let status = self.status.as_str();
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] = [
            &self.id,
            &self.customer_id,
            &status,
            &self.total_cents,
            &self.revision,
        ];
        match tx.execute(INSERT, &values).await {
            Ok(count) => Ok(count == 1),
            Err(error) if error.code() == Some(&SqlState::FOREIGN_KEY_VIOLATION) => {
                Err(ShopError::UnknownCustomer(self.customer_id))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Changes the status of an order that is placed, which locks it until the transaction ends.
    /// `None` if there is no such order, or if it is not placed anymore.
    pub(super) async fn leave_placed(
        tx: &Transaction<'_>,
        id: Uuid,
        status: OrderStatus,
    ) -> Result<Option<Self>, ShopError> {
        let change = format!(
            "UPDATE orders SET status = $2, revision = revision + 1
             WHERE id = $1 AND status = 'placed' RETURNING {COLUMNS}"
        );
        let row = tx.query_opt(&change, &[&id, &status.as_str()]).await?;
        row.as_ref().map(Self::from_row).transpose()
    }

    /// Reads an order, if there is one.
    ///
    /// # Errors
    ///
    /// [`ShopError::Database`].
    pub async fn load(client: &impl GenericClient, id: Uuid) -> Result<Option<Self>, ShopError> {
        let select = format!("SELECT {COLUMNS} FROM orders WHERE id = $1");
        let row = client.query_opt(&select, &[&id]).await?;
        row.as_ref().map(Self::from_row).transpose()
    }

    /// All orders.
    ///
    /// # Errors
    ///
    /// [`ShopError::Database`].
    pub async fn all(client: &impl GenericClient) -> Result<Vec<Self>, ShopError> {
        let select = format!("SELECT {COLUMNS} FROM orders");
        let rows = client.query(&select, &[]).await?;
        rows.iter().map(Self::from_row).collect()
    }

    fn from_row(row: &Row) -> Result<Self, ShopError> {
        let status: &str = row.try_get("status")?;
        let mut all = OrderStatus::ALL.into_iter();
        let status = all.find(|known| known.as_str() == status);
        Ok(Self {
            id: row.try_get("id")?,
            customer_id: row.try_get("customer_id")?,
            status: status.ok_or(ShopError::Invalid("the order has an unknown status"))?,
            total_cents: row.try_get("total_cents")?,
            revision: row.try_get("revision")?,
        })
    }
}
