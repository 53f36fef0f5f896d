//! What leaves the shop: the events by receiver, their handlers, and the worker that runs them.
//!
//! The two receivers are two sets of events. When one of them is down, its circuit breaker pauses
//! its set alone, and the other one still gets everything.

use outbox_runtime::prelude::*;

use crate::domain::{Customer, Order, OrderLine, StockChange};

mod broker; // NATS JetStream
mod partner; // an HTTP partner
mod worker; // the processor

pub use self::broker::{Broker, BrokerError, STREAM, WINDOW};
pub use self::partner::PartnerSync;
pub use self::worker::{LEASE, RETRIES, processor, work};

/// What the partner is told, by `PUT` requests.
#[derive(Debug, OutboxEvents)]
pub enum PartnerEvent {
    /// An order was placed, paid or canceled.
    Order(Event<Order>),
    /// A line of an order.
    OrderLine(Event<OrderLine>),
}

/// What the broker is told, in a stream.
#[derive(Debug, OutboxEvents)]
pub enum BrokerEvent {
    /// A customer joined, or their sums changed.
    Customer(Event<Customer>),
    /// The stock of a SKU changed.
    Stock(Event<StockChange>),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `outbox.lock` beside `Cargo.toml` has the shape of the events. Workers of this version may
    /// meet rows of an older one, so a change needs a new `version`.
    #[test]
    fn event_shapes_change_only_with_their_version() {
        outbox_testing::assert_wire_lock::<PartnerEvent>();
        outbox_testing::assert_wire_lock::<BrokerEvent>();
    }
}
