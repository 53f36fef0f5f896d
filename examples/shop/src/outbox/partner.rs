//! The handlers for the partner: each event is a `PUT` of the entity's state, under the event's id.

use std::sync::Arc;
use std::time::Duration;

use outbox_runtime::Clock;
use outbox_runtime::http::{SendError, send};
use outbox_runtime::prelude::*;
use reqwest::{Client, StatusCode, redirect};
use serde::Serialize;

use super::PartnerEventHandler;
use crate::domain::{Order, OrderLine};

/// Shorter than the [time limit](super::processor) of an attempt.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// Only this tells an unreachable host from a slow one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Tells the partner of orders and lines.
#[derive(Debug, Clone)]
pub struct PartnerSync {
    http: Client,
    url: String,
    clock: Arc<dyn Clock>,
}

impl PartnerSync {
    /// The partner at `url`. The clock is that of the store, which wrote the times of the events.
    ///
    /// # Errors
    ///
    /// If the client cannot be built.
    pub fn new(url: &str, clock: Arc<dyn Clock>) -> reqwest::Result<Self> {
        let http = Client::builder()
            // This partner is on the same machine: ignore a proxy of the environment.
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            // The response of a login page is no delivery.
            .redirect(redirect::Policy::none())
            .build()?;
        Ok(Self {
            http,
            url: url.to_owned(),
            clock,
        })
    }

    async fn put<E: OutboxEntity>(
        &self,
        event: &Event<E>,
        path: &str,
        body: &impl Serialize,
    ) -> Result<(), SendError> {
        let request = self
            .http
            .put(format!("{}/{path}", self.url))
            // The same for every attempt, so that the partner knows a repetition as such.
            .header("Idempotency-Key", event.idempotency_key().to_string())
            .json(body);
        let response = send(request, event.operation).await?;
        // A connection that breaks during the response leaves the outcome unknown. The next attempt
        // resolves it.
        let body = response.bytes().await;
        body.map(drop).map_err(SendError::Unanswered)
    }

    /// Puts a line off whose order the partner does not know yet. The order may be with another
    /// worker at this moment, or wait for an outage to end, so the delay grows with the age of the
    /// line. A snooze uses up no attempt.
    fn not_yet(&self, line: &Event<OrderLine>) -> HandlerError {
        let age = self.clock.now() - line.created_at;
        let quarter = age.to_std().unwrap_or_default() / 4;
        let delay = quarter.clamp(Duration::from_millis(50), Duration::from_secs(60));
        HandlerError::snooze(delay).because("the partner does not know the order yet")
    }
}

impl PartnerEventHandler for PartnerSync {
    async fn order(&self, event: Event<Order>) -> Result<(), HandlerError> {
        let order = event.metadata();
        let path = format!("orders/{}", order.id);
        Ok(self.put(&event, &path, order).await?)
    }

    async fn order_line(&self, event: Event<OrderLine>) -> Result<(), HandlerError> {
        let line = event.metadata();
        let path = format!("orders/{}/lines/{}", line.order_id, line.sku);
        match self.put(&event, &path, line).await {
            // An order and its lines are entities of their own: a line that waited for its order in
            // one lane would also wait for every other order of the customer.
            Err(SendError::Refused(refusal)) if refusal.status() == StatusCode::CONFLICT => {
                Err(self.not_yet(&event))
            }
            sent => Ok(sent?),
        }
    }
}
