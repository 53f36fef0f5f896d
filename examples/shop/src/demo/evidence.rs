//! What each side holds at the end.

use anyhow::Context;
use async_nats::header::NATS_MESSAGE_ID;
use deadpool_postgres::Object;
use outbox_postgres::PostgresStore;
use outbox_runtime::{OutboxRepository, OutboxStatus};
use uuid::Uuid;

use crate::domain::{Customer, Order, OrderLine, StockChange, StockLevel};
use crate::outbox::STREAM;
use crate::partner::Ledger;

/// Everything to compare.
#[derive(Debug, Clone)]
pub(super) struct Evidence {
    // The database.
    pub(super) orders: Vec<Order>,
    pub(super) lines: Vec<OrderLine>,
    pub(super) customers: Vec<Customer>,
    pub(super) stock: Vec<StockLevel>,
    /// Each SKU's in their order.
    pub(super) changes: Vec<StockChange>,
    // The outbox.
    pub(super) events: Vec<Stored>,
    // The receivers.
    pub(super) partner: Ledger,
    /// `None` without a broker.
    pub(super) stream: Option<Vec<Message>>,
}

/// An event of the outbox.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) id: Uuid,
    pub(super) event_type: String,
    pub(super) entity: String,
    pub(super) status: OutboxStatus,
    /// The error of its last attempt.
    pub(super) error: Option<String>,
}

/// A message of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// Its `Nats-Msg-Id`.
    pub(super) id: Uuid,
    pub(super) content: Content,
}

/// The content of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Customer(Customer),
    Stock(StockChange),
}

impl Stored {
    pub(super) fn is_delivered(&self) -> bool {
        self.status == OutboxStatus::Completed
    }
}

impl Evidence {
    pub(super) async fn collect(
        connection: &Object,
        store: &PostgresStore,
        partner: Ledger,
        broker: Option<&str>,
    ) -> anyhow::Result<Self> {
        let mut events = Vec::new();
        for status in [
            OutboxStatus::Pending,
            OutboxStatus::Processing,
            OutboxStatus::Failed,
            OutboxStatus::Completed,
            OutboxStatus::Dead,
        ] {
            let found = store.fetch_events(status, None, None).await?;
            events.extend(found.into_iter().map(|event| Stored {
                id: event.id,
                event_type: event.event_type,
                entity: event.entity_id.to_string(),
                status: event.status,
                error: event.error_message,
            }));
        }
        Ok(Self {
            orders: Order::all(connection).await?,
            lines: OrderLine::all(connection).await?,
            customers: Customer::all(connection).await?,
            stock: StockLevel::all(connection).await?,
            changes: StockChange::all(connection).await?,
            events,
            partner,
            stream: match broker {
                Some(url) => Some(read_stream(url).await?),
                None => None,
            },
        })
    }
}

/// All messages, in their order.
async fn read_stream(url: &str) -> anyhow::Result<Vec<Message>> {
    let client = async_nats::connect(url).await?;
    let jetstream = async_nats::jetstream::new(client);
    let mut stream = jetstream.get_stream(STREAM).await?;
    let last = stream.info().await?.state.last_sequence;
    let mut messages = Vec::new();
    // Nothing is ever deleted from this stream, so there are no gaps.
    for sequence in 1..=last {
        let message = stream.get_raw_message(sequence).await?;
        let id = message.headers.get(NATS_MESSAGE_ID);
        let id = id.context("a message without an id")?.as_str().parse()?;
        let content = if message.subject.starts_with("shop.customer.") {
            Content::Customer(serde_json::from_slice(&message.payload)?)
        } else {
            Content::Stock(serde_json::from_slice(&message.payload)?)
        };
        messages.push(Message { id, content });
    }
    Ok(messages)
}
