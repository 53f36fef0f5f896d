//! Handlers of untyped events.

use std::sync::Arc;

use async_trait::async_trait;

use super::answer::HandlerError;
use super::batch::Batch;
use super::batching::Batching;
use crate::entity::{EntityOptions, Retired};
use crate::event::OutboxEvent;

/// A handler of untyped events, for relays and bridges.
///
/// Applications usually derive [`OutboxEvents`](crate::OutboxEvents) and implement the generated
/// trait; the value that `handled_by` returns implements this trait too.
///
/// # Contract
///
/// - Delivery is **at least once**: an event may be delivered again after a crash, a timeout or a
///   lost lease. Send [`id`](OutboxEvent::id) as the idempotency key.
/// - Events of an entity are delivered one at a time, in the order they were enqueued, unless their
///   type has another [`Order`](crate::Order).
/// - The future may be dropped at any await point: at its timeout, when its lease is lost, when the
///   processor stops.
/// - The future must not block its thread. A blocked future cannot be stopped, and on a
///   single-threaded runtime it blocks everything else, including the renewal of leases. Use
///   `tokio::task::spawn_blocking` for blocking work.
/// - A panic, including one in an error's `Display`, is a failure and is retried.
///
/// # Examples
///
/// ```
/// use outbox_runtime::{HandlerError, OutboxEvent, OutboxEventHandler, async_trait};
///
/// struct Relay;
///
/// #[async_trait]
/// impl OutboxEventHandler for Relay {
///     fn can_handle(&self, event_type: &str) -> bool {
///         event_type.starts_with("audit.")
///     }
///
///     async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError> {
///         println!("{} {}", event.event_type, event.entity_id);
///         Ok(())
///     }
/// }
/// ```
///
/// With batches, options of a type, and a type that is no longer sent:
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::support::{EntityOptions, Retired, Retirement};
/// use outbox_runtime::{Batch, Batching, HandlerError, OutboxEvent, OutboxEventHandler, async_trait};
///
/// struct Importer;
///
/// #[async_trait]
/// impl OutboxEventHandler for Importer {
///     fn can_handle(&self, event_type: &str) -> bool {
///         event_type == "reading"
///     }
///
///     async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError> {
///         println!("{}", event.entity_id);
///         Ok(())
///     }
///
///     fn entities(&self) -> Vec<EntityOptions> {
///         vec![EntityOptions::new("reading").with_timeout(Duration::from_secs(5))]
///     }
///
///     fn batching(&self, _event_type: &str) -> Option<Batching> {
///         Some(Batching::of(500))
///     }
///
///     async fn handle_batch(&self, batch: Batch<OutboxEvent>) -> Result<(), HandlerError> {
///         println!("{} readings in one request", batch.len());
///         Ok(())
///     }
///
///     fn retired(&self) -> Vec<Retired> {
///         vec![Retired::new("readingV0", Retirement::Drop)]
///     }
///
///     fn redact(&self, _event: &OutboxEvent, text: String) -> String {
///         text.replace("s3cret", "***") // what the service echoes
///     }
/// }
/// ```
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle outbox events",
    label = "not a handler of untyped events",
    note = "for a set of entities: `YourEvents::handled_by(your_handler)`; for any event type: implement `OutboxEventHandler`"
)]
pub trait OutboxEventHandler: Send + Sync + 'static {
    /// Whether this handler accepts events of this type. Must be constant for each type.
    fn can_handle(&self, event_type: &str) -> bool;

    /// Delivers an event.
    ///
    /// # Errors
    ///
    /// A [`HandlerError`], which determines the runtime's reaction.
    // The compiler quotes the next line if the attribute is missing.
    async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError>; // above the `impl`: #[async_trait]

    /// The entity types that this handler lists, with their aliases, retry schedules, timeouts and
    /// leases.
    ///
    /// Default: none; only [`can_handle`](Self::can_handle) is consulted, and every type has the
    /// processor's settings.
    fn entities(&self) -> Vec<EntityOptions> {
        Vec::new()
    }

    /// How events of this type are delivered together, by [`handle_batch`](Self::handle_batch).
    /// Must be constant for each type.
    ///
    /// Default: `None`; each event is delivered by [`handle`](Self::handle). A handler that wraps
    /// another must forward this call, and that of [`handle_batch`](Self::handle_batch).
    fn batching(&self, event_type: &str) -> Option<Batching> {
        let _ = event_type;
        None
    }

    /// Delivers a batch of events, for types with a [`batching`](Self::batching).
    ///
    /// Default: each event in turn by [`handle`](Self::handle).
    ///
    /// # Errors
    ///
    /// A [`HandlerError`] for the events without [an answer of their own](Batch::fail).
    async fn handle_batch(&self, batch: Batch<OutboxEvent>) -> Result<(), HandlerError> {
        for (index, event) in batch.iter().enumerate() {
            match self.handle(event).await {
                Ok(()) => batch.ok(index),
                Err(error) => batch.fail(index, error),
            }
        }
        Ok(())
    }

    /// The event types that are no longer delivered, and what happens to their stored events. No
    /// handler of the processor may take them.
    ///
    /// Default: none. A handler that wraps another must forward this call.
    fn retired(&self) -> Vec<Retired> {
        Vec::new()
    }

    /// Removes everything from an error message about `event` that must not be stored or logged.
    ///
    /// Default: the message is unchanged. [`HandlerSet`](crate::HandlerSet) removes the values of
    /// `#[outbox(sensitive)]` fields. A handler that wraps another must forward this call.
    fn redact(&self, event: &OutboxEvent, text: String) -> String {
        let _ = event;
        text
    }
}

/// Implements the trait for smart pointers to handlers.
macro_rules! by_pointer {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<H: OutboxEventHandler + ?Sized> OutboxEventHandler for $pointer<H> {
            fn can_handle(&self, event_type: &str) -> bool {
                (**self).can_handle(event_type)
            }

            async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError> {
                (**self).handle(event).await
            }

            fn entities(&self) -> Vec<EntityOptions> {
                (**self).entities()
            }

            fn batching(&self, event_type: &str) -> Option<Batching> {
                (**self).batching(event_type)
            }

            async fn handle_batch(&self, batch: Batch<OutboxEvent>) -> Result<(), HandlerError> {
                (**self).handle_batch(batch).await
            }

            fn retired(&self) -> Vec<Retired> {
                (**self).retired()
            }

            fn redact(&self, event: &OutboxEvent, text: String) -> String {
                (**self).redact(event, text)
            }
        }
    )*};
}

by_pointer!(Arc, Box);
