//! Customers.

use deadpool_postgres::{GenericClient, Transaction};
use outbox_runtime::prelude::*;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use uuid::Uuid;

use super::ShopError;

/// A customer, and the sums over their orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "customer", snapshot)]
pub struct Customer {
    /// The id. It also says whose event this is.
    #[outbox(entity_id, user_id)]
    pub id: Uuid,
    /// The name.
    pub name: String,
    /// How many orders were placed and not canceled.
    pub orders: i64,
    /// The sum of those orders.
    pub spent_cents: i64,
    /// Counts the changes, from 1.
    pub revision: i64,
}

/// The metadata of a customer's event: the customer.
pub type CustomerMetadata = Customer;

impl Customer {
    pub(super) fn new(name: &str) -> Self {
        Self {
            id: Uuid::now_v7(),
            name: name.to_owned(),
            orders: 0,
            spent_cents: 0,
            revision: 1,
        }
    }

    pub(super) async fn insert(&self, tx: &Transaction<'_>) -> Result<(), ShopError> {
        const INSERT: &str = "INSERT INTO customers (id, name, orders, spent_cents, revision)
            VALUES ($1, $2, $3, $4, $5)";
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] = [
            &self.id,
            &self.name,
            &self.orders,
            &self.spent_cents,
            &self.revision,
        ];
        tx.execute(INSERT, &values).await?;
        Ok(())
    }

    /// Adds to the sums, which locks the customer until the transaction ends.
    pub(super) async fn add(
        tx: &Transaction<'_>,
        id: Uuid,
        orders: i64,
        cents: i64,
    ) -> Result<Self, ShopError> {
        const ADD: &str = "UPDATE customers
            SET orders = orders + $2, spent_cents = spent_cents + $3, revision = revision + 1
            WHERE id = $1 RETURNING id, name, orders, spent_cents, revision";
        let row = tx.query_opt(ADD, &[&id, &orders, &cents]).await?;
        let row = row.ok_or(ShopError::UnknownCustomer(id))?;
        Self::from_row(&row)
    }

    /// All customers.
    ///
    /// # Errors
    ///
    /// [`ShopError::Database`].
    pub async fn all(client: &impl GenericClient) -> Result<Vec<Self>, ShopError> {
        const ALL: &str = "SELECT id, name, orders, spent_cents, revision FROM customers";
        let rows = client.query(ALL, &[]).await?;
        rows.iter().map(Self::from_row).collect()
    }

    fn from_row(row: &Row) -> Result<Self, ShopError> {
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            orders: row.try_get("orders")?,
            spent_cents: row.try_get("spent_cents")?,
            revision: row.try_get("revision")?,
        })
    }
}
