//! The handlers for the broker: each event is a message of a JetStream stream, on a subject of its
//! entity, with the event's id as `Nats-Msg-Id`.
//!
//! # Once in the stream
//!
//! An attempt may be repeated although the message is stored: its acknowledgment is lost, or the
//! worker dies before it records the outcome. JetStream drops a message whose id it has seen within
//! the stream's `duplicate_window`, so the window must be longer than the time from one attempt to
//! the next. That is the longest delay of the retry schedule, or the lease of a dead worker:
//! seconds ([`RETRIES`](super::RETRIES)). [`WINDOW`] is ten minutes.
//!
//! No window is long enough for an *outage*: whenever an acknowledgment was lost and the broker
//! then stays away for an hour, so does the next attempt. An event that is older than half of the
//! window is therefore looked up before it is sent. Events of one entity are delivered one at a
//! time and in order, so if it is in the stream, it is the last message of its entity's subject.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::stream::{Config, LastRawMessageErrorKind, Stream};
use async_nats::jetstream::{self, Context};
use outbox_runtime::Clock;
use outbox_runtime::prelude::*;
use serde::Serialize;
use thiserror::Error;

use super::BrokerEventHandler;
use crate::domain::{Customer, StockChange, WAREHOUSE};

/// The name of the stream.
pub const STREAM: &str = "SHOP";
/// How long the stream remembers the ids of its messages.
pub const WINDOW: Duration = Duration::from_secs(600);
/// How long a message may stay unacknowledged. Shorter than the [time limit](super::processor) of
/// an attempt, so that the handler gets to say why.
const ACK_TIMEOUT: Duration = Duration::from_secs(2);

/// Tells the broker of customers and stock.
#[derive(Debug, Clone)]
pub struct Broker {
    jetstream: Context,
    stream: Stream,
    clock: Arc<dyn Clock>,
}

/// A message that was not acknowledged.
#[derive(Debug, Error, DeliveryError)]
#[non_exhaustive]
pub enum BrokerError {
    /// There is no connection.
    #[error("the broker cannot be reached")]
    #[outbox(offline)]
    Unreachable,
    /// The broker is there, but has not confirmed. It may have stored the message.
    #[error("the broker did not acknowledge in time")]
    #[outbox(unavailable)]
    Unacknowledged,
    /// No stream takes the subject, or its server is away: the fault of no event.
    #[error("the broker has no stream for the message")]
    #[outbox(unavailable)]
    NoStream,
    /// The broker refused the message.
    #[error("the broker refused the message: {0}")]
    #[outbox(retry)]
    Refused(String),
    /// The id of the entity would mean something else in a subject.
    #[error("the id cannot be part of a subject")]
    #[outbox(permanent)]
    NoSubject,
}

impl From<PublishError> for BrokerError {
    fn from(error: PublishError) -> Self {
        match error.kind() {
            PublishErrorKind::BrokenPipe => Self::Unreachable,
            PublishErrorKind::TimedOut | PublishErrorKind::MaxAckPending => Self::Unacknowledged,
            PublishErrorKind::StreamNotFound => Self::NoStream,
            _ => Self::Refused(error.to_string()),
        }
    }
}

impl Broker {
    /// Connects to the broker, and creates the stream if it does not exist. The clock is that of
    /// the store, which wrote the times of the events.
    ///
    /// # Errors
    ///
    /// If the broker cannot be reached or refuses the stream, or if the stream has a shorter
    /// window.
    pub async fn connect(url: &str, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let client = async_nats::connect(url).await?;
        let mut jetstream = jetstream::new(client);
        jetstream.set_timeout(ACK_TIMEOUT);
        let config = Config {
            name: STREAM.to_owned(),
            subjects: vec!["shop.>".to_owned()],
            duplicate_window: WINDOW,
            ..Config::default()
        };
        let stream = jetstream.get_or_create_stream(config).await?;
        // An existing stream is taken as it is, whatever the settings above say.
        let window = stream.cached_info().config.duplicate_window;
        anyhow::ensure!(
            window >= WINDOW,
            "the stream {STREAM} forgets ids after {window:?}; set its duplicate window to {WINDOW:?}"
        );
        Ok(Self {
            jetstream,
            stream,
            clock,
        })
    }

    async fn publish<E: OutboxEntity>(
        &self,
        event: &Event<E>,
        subject: String,
        content: &impl Serialize,
    ) -> Result<(), HandlerError> {
        let id = event.idempotency_key().to_string();
        let age = self.clock.now() - event.created_at;
        if age.to_std().unwrap_or_default() > WINDOW / 2 && self.is_last(&subject, &id).await? {
            return Ok(());
        }
        let content = serde_json::to_vec(content).or_permanent()?;
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, id);
        let sent = self
            .jetstream
            .publish_with_headers(subject, headers, content.into());
        // Two steps: the message is on its way, and the stream has it. Only the second one counts.
        let acknowledgment = sent.await.map_err(BrokerError::from)?;
        acknowledgment.await.map_err(BrokerError::from)?;
        Ok(())
    }

    /// Whether the last message on a subject is this one.
    async fn is_last(&self, subject: &str, id: &str) -> Result<bool, BrokerError> {
        match self.stream.get_last_raw_message_by_subject(subject).await {
            Ok(message) => {
                let last = message.headers.get(NATS_MESSAGE_ID);
                Ok(last.is_some_and(|last| last.as_str() == id))
            }
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(false),
            Err(error) => Err(BrokerError::Refused(error.to_string())),
        }
    }
}

/// A token of a subject. Dots separate tokens, stars and angle brackets are wildcards.
fn token(id: &str) -> Result<&str, BrokerError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match !id.is_empty() && id.chars().all(is_plain) {
        true => Ok(id),
        false => Err(BrokerError::NoSubject),
    }
}

impl BrokerEventHandler for Broker {
    async fn customer(&self, event: Event<Customer>) -> Result<(), HandlerError> {
        let customer = event.metadata();
        let subject = format!("shop.customer.{}", customer.id);
        self.publish(&event, subject, customer).await
    }

    async fn stock(&self, event: Event<StockChange>) -> Result<(), HandlerError> {
        let change = event.metadata();
        let subject = format!("shop.stock.{WAREHOUSE}.{}", token(&change.sku)?);
        self.publish(&event, subject, change).await
    }
}

#[cfg(test)]
mod tests {
    use outbox_runtime::Delivery;

    use super::*;

    fn delivery(kind: PublishErrorKind) -> Delivery {
        let error: HandlerError = BrokerError::from(PublishError::new(kind)).into();
        error.delivery()
    }

    #[test]
    fn a_broker_that_is_away_is_not_the_fault_of_the_event() {
        let unavailable = Delivery::Unavailable { after: None };
        assert_eq!(delivery(PublishErrorKind::BrokenPipe), Delivery::Offline);
        assert_eq!(delivery(PublishErrorKind::TimedOut), unavailable);
        assert_eq!(delivery(PublishErrorKind::StreamNotFound), unavailable);
    }

    #[test]
    fn a_refused_message_is_retried_and_an_unspeakable_subject_is_not() {
        let retry = Delivery::Retry { after: None };
        assert_eq!(delivery(PublishErrorKind::Other), retry);
        assert!(matches!(token("A.B"), Err(BrokerError::NoSubject)));
        assert!(matches!(token("*"), Err(BrokerError::NoSubject)));
        assert!(matches!(token(""), Err(BrokerError::NoSubject)));
        assert!(matches!(token("TEA-1"), Ok("TEA-1")));
    }
}
