//! The routes of a handler set: the handler of each entity, and how it delivers.

use std::future::Future;
use std::pin::Pin;

use async_trait::async_trait;

use super::answer::HandlerError;
use super::batch::{Batch, BatchHandlerFn};
use super::batching::Batching;
use super::function::HandlerFn;
use super::untyped::OutboxEventHandler;
use crate::entity::{EntityOptions, OutboxEntity};
use crate::event::{Event, OutboxEvent, decode};
use crate::redaction::{Redaction, Sensitive};

type HandlerFuture = Pin<Box<dyn Future<Output = Result<(), HandlerError>> + Send>>;

/// The handler of one entity's events.
pub(super) struct Route {
    pub(super) options: EntityOptions,
    deliver: Deliver,
    redact: fn(&OutboxEvent, String) -> String,
}

/// How a route delivers.
enum Deliver {
    /// One event at a time.
    One(Box<dyn Fn(&OutboxEvent) -> HandlerFuture + Send + Sync>),
    /// Several at once.
    Batch(
        Batching,
        Box<dyn Fn(Batch<OutboxEvent>) -> HandlerFuture + Send + Sync>,
    ),
}

impl Route {
    /// A handler of single events.
    pub(super) fn one<E: OutboxEntity>(handler: impl HandlerFn<E>) -> Self {
        let deliver = move |record: &OutboxEvent| -> HandlerFuture {
            tell_of_another_order::<E>(record);
            match decode::<E>(record) {
                Ok(metadata) => Box::pin(handler(Event::new(record.clone(), metadata))),
                Err(error) => Box::pin(std::future::ready(Err(error.into()))),
            }
        };
        Self::new::<E>(Deliver::One(Box::new(deliver)))
    }

    /// A handler of batches.
    pub(super) fn batch<E: OutboxEntity>(
        batching: Batching,
        handler: impl BatchHandlerFn<E>,
    ) -> Self {
        let deliver = move |batch: Batch<OutboxEvent>| -> HandlerFuture {
            batch.iter().for_each(tell_of_another_order::<E>);
            let batch = batch.typed::<E>();
            if batch.is_empty() {
                return Box::pin(std::future::ready(Ok(())));
            }
            Box::pin(handler(batch))
        };
        Self::new::<E>(Deliver::Batch(batching, Box::new(deliver)))
    }

    fn new<E: OutboxEntity>(deliver: Deliver) -> Self {
        Self {
            options: E::OPTIONS,
            deliver,
            redact: redact::<E>,
        }
    }
}

/// The routes of a set.
#[derive(Default)]
pub(super) struct Routes(Vec<Route>);

impl Routes {
    pub(super) fn push(&mut self, route: Route) {
        self.0.push(route);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.iter()
    }

    pub(super) fn find(&self, event_type: &str) -> Option<&Route> {
        self.iter()
            .find(|route| route.options.is_stored_as(event_type))
    }

    /// How the events of a type are delivered together.
    pub(super) fn batching(&self, event_type: &str) -> Option<Batching> {
        match self.find(event_type)?.deliver {
            Deliver::One(_) => None,
            Deliver::Batch(batching, _) => Some(batching),
        }
    }

    pub(super) async fn deliver(&self, event: &OutboxEvent) -> Result<(), HandlerError> {
        match self.find(&event.event_type) {
            Some(Route {
                deliver: Deliver::One(deliver),
                ..
            }) => deliver(event).await,
            Some(_) => alone(event, |batch| self.deliver_batch(batch)).await,
            None => Err(HandlerError::no_handler()),
        }
    }

    pub(super) async fn deliver_batch(
        &self,
        batch: Batch<OutboxEvent>,
    ) -> Result<(), HandlerError> {
        let event_type = batch.first().map(|event| &*event.event_type);
        match event_type.and_then(|event_type| self.find(event_type)) {
            Some(Route {
                deliver: Deliver::Batch(_, deliver),
                ..
            }) => deliver(batch).await,
            // A type without a batch handler gets no batches from a processor.
            _ => Err(HandlerError::no_handler()),
        }
    }

    pub(super) fn redact(&self, event: &OutboxEvent, text: String) -> String {
        match self.find(&event.event_type) {
            Some(route) => (route.redact)(event, text),
            None => text,
        }
    }
}

/// What the layers of a set are around.
#[async_trait]
impl OutboxEventHandler for Routes {
    fn can_handle(&self, event_type: &str) -> bool {
        self.find(event_type).is_some()
    }

    async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError> {
        self.deliver(event).await
    }

    async fn handle_batch(&self, batch: Batch<OutboxEvent>) -> Result<(), HandlerError> {
        self.deliver_batch(batch).await
    }
}

/// Warns about an event that was enqueued before the order of its type changed.
fn tell_of_another_order<E: OutboxEntity>(record: &OutboxEvent) {
    let (was, is) = (record.order, E::OPTIONS.order());
    if was != is {
        tracing::warn!(
            event_id = %record.id, event_type = E::EVENT_TYPE, order = was.as_str(), order_now = is.as_str(),
            "the event was enqueued with another order than its type has now; it keeps that order, and newer \
             events of its entity wait for it"
        );
    }
}

/// Delivers an event as a batch of its own.
pub(super) async fn alone<Fut>(
    event: &OutboxEvent,
    deliver: impl FnOnce(Batch<OutboxEvent>) -> Fut,
) -> Result<(), HandlerError>
where
    Fut: Future<Output = Result<(), HandlerError>>,
{
    let batch = Batch::new(vec![event.clone()]);
    let answers = batch.answers();
    let others = deliver(batch).await;
    let (mut own, _) = answers.take();
    own.pop().flatten().unwrap_or(others)
}

/// Removes the values registered by [`OutboxEntity::hide_sensitive`] from `text`.
fn redact<E: OutboxEntity>(event: &OutboxEvent, text: String) -> String {
    if E::SENSITIVE == Sensitive::Nothing {
        return text;
    }
    // An event that cannot be decoded never reached a handler, and the decode error quotes no
    // value.
    match (decode::<E>(event), &event.metadata) {
        (Ok(metadata), Some(stored)) => {
            let mut redaction = Redaction::default();
            E::hide_sensitive(&metadata, &mut redaction);
            let is_newest = event.metadata_version == E::OPTIONS.metadata_version();
            redaction.hide_stored(stored.as_bytes(), E::SENSITIVE, is_newest);
            redaction.apply(text)
        }
        _ => text,
    }
}
