//! The shop: its entities, its tables, and the transactions that change both them and the outbox.
//!
//! Each transaction writes the rows first and enqueues afterward. The row locks then make
//! transactions about one entity follow each other, so its events are delivered in the order of the
//! commits (docs/guide/postgresql.md, "Order").
//!
//! All transactions lock in the same sequence, so that they cannot deadlock: order, stock by SKU,
//! customer.

use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use tokio_postgres::{Config, NoTls};
use uuid::Uuid;

mod change; // paying for an order, and canceling it
mod customer; // customers
mod error; // reasons why a request fails
mod line; // lines of orders
mod order; // orders
mod place; // placing an order
mod schema; // tables
mod stock; // stock

pub use self::customer::{Customer, CustomerMetadata};
pub use self::error::ShopError;
pub use self::line::{OrderLine, OrderLineMetadata};
pub use self::order::{Order, OrderMetadata, OrderStatus};
pub use self::place::{NewLine, NewOrder, Placed, place};
pub use self::stock::{StockChange, StockChangeMetadata, StockLevel, WAREHOUSE};

/// How long a request waits for a free connection before it fails.
const PATIENCE: Duration = Duration::from_secs(5);

/// The shop's database. Cloning is cheap; clones share the connections.
#[derive(Debug, Clone)]
pub struct Shop {
    pool: Pool,
}

impl Shop {
    /// A shop on this database, with at most `connections` connections. Connects when first used.
    ///
    /// # Errors
    ///
    /// If the address cannot be parsed.
    pub fn new(database: &str, connections: usize) -> anyhow::Result<Self> {
        let config: Config = database.parse()?;
        // `Fast` asks nothing of a connection that comes back: a transaction that is dropped, such
        // as that of a client who hung up, is rolled back by the driver.
        let recycling = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let pool = Pool::builder(Manager::from_config(config, NoTls, recycling))
            .max_size(connections)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(PATIENCE))
            .create_timeout(Some(PATIENCE))
            .build()?;
        Ok(Self { pool })
    }

    /// Creates the tables that do not exist yet.
    ///
    /// # Errors
    ///
    /// [`ShopError`], if the database cannot be reached or refuses.
    pub async fn migrate(&self) -> Result<(), ShopError> {
        schema::create(&mut self.connection().await?).await
    }

    /// A connection for a transaction.
    ///
    /// # Errors
    ///
    /// [`ShopError::NoConnection`], if none becomes free in time.
    pub async fn connection(&self) -> Result<Object, ShopError> {
        Ok(self.pool.get().await?)
    }

    /// Adds a customer.
    ///
    /// # Errors
    ///
    /// [`ShopError`]; then nothing was written.
    pub async fn add_customer(&self, name: &str) -> Result<Customer, ShopError> {
        let mut connection = self.connection().await?;
        let tx = connection.transaction().await?;
        let customer = Customer::new(name);
        customer.insert(&tx).await?;
        customer.enqueue_create().on(&tx).await?;
        tx.commit().await?;
        Ok(customer)
    }

    /// Puts goods on sale. Only their changes are told to others, so this enqueues nothing.
    ///
    /// # Errors
    ///
    /// [`ShopError`]; then nothing was written.
    pub async fn add_stock(
        &self,
        sku: &str,
        unit_cents: i64,
        available: i64,
    ) -> Result<(), ShopError> {
        let connection = self.connection().await?;
        stock::insert(&connection, sku, unit_cents, available).await
    }

    /// Places an order. The same order may be placed again: it is known then, and nothing happens.
    ///
    /// # Errors
    ///
    /// [`ShopError`]; then nothing was written. If the error is that of the commit, the outcome is
    /// unknown; placing the order again tells.
    pub async fn place(&self, order: &NewOrder) -> Result<Placed, ShopError> {
        let mut connection = self.connection().await?;
        let tx = connection.transaction().await?;
        let placed = place(&tx, order).await?;
        tx.commit().await?;
        Ok(placed)
    }

    /// Pays for an order. Paying again changes nothing.
    ///
    /// # Errors
    ///
    /// [`ShopError::UnknownOrder`]; [`ShopError::WrongStatus`], if it was canceled.
    pub async fn pay(&self, order: Uuid) -> Result<Order, ShopError> {
        let mut connection = self.connection().await?;
        let tx = connection.transaction().await?;
        let order = change::pay(&tx, order).await?;
        tx.commit().await?;
        Ok(order)
    }

    /// Cancels an order, and puts its goods back into stock. Canceling again changes nothing.
    ///
    /// # Errors
    ///
    /// [`ShopError::UnknownOrder`]; [`ShopError::WrongStatus`], if it was paid.
    pub async fn cancel(&self, order: Uuid) -> Result<Order, ShopError> {
        let mut connection = self.connection().await?;
        let tx = connection.transaction().await?;
        let order = change::cancel(&tx, order).await?;
        tx.commit().await?;
        Ok(order)
    }

    /// Reads an order.
    ///
    /// # Errors
    ///
    /// [`ShopError::UnknownOrder`].
    pub async fn order(&self, id: Uuid) -> Result<Order, ShopError> {
        let connection = self.connection().await?;
        let order = Order::load(&connection, id).await?;
        order.ok_or(ShopError::UnknownOrder(id))
    }
}
