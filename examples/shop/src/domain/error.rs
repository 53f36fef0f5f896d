//! The reasons why a request fails.

use deadpool_postgres::PoolError;
use outbox_runtime::EnqueueError;
use thiserror::Error;
use uuid::Uuid;

use super::OrderStatus;

/// A request that was not carried out. Its transaction was rolled back, and the events with it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ShopError {
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(&'static str),
    /// There is no such customer.
    #[error("there is no customer {0}")]
    UnknownCustomer(Uuid),
    /// There is no such order.
    #[error("there is no order {0}")]
    UnknownOrder(Uuid),
    /// Nothing is sold under this SKU.
    #[error("nothing is sold as {0}")]
    UnknownSku(String),
    /// Fewer are left than were ordered.
    #[error("{0} is out of stock")]
    OutOfStock(String),
    /// The order was changed in a way that rules this change out.
    #[error("the order is {}", .0.as_str())]
    WrongStatus(OrderStatus),
    /// No connection became free in time, or none could be made.
    #[error("no connection to the database")]
    NoConnection(#[from] PoolError),
    /// The database refused a statement.
    #[error("the database failed")]
    Database(#[from] tokio_postgres::Error),
    /// The outbox refused an event.
    #[error("the change could not be enqueued")]
    Outbox(#[from] EnqueueError),
}
