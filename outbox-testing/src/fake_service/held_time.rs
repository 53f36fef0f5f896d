//! Paused time that stands still while the service is asked.

use std::sync::Arc;

use outbox_runtime::support::{EntityOptions, Retired};
use outbox_runtime::{Batch, Batching, HandlerError, OutboxEvent, OutboxEventHandler, async_trait};
use tokio::sync::{oneshot, watch};

use super::state::Late;

/// Handlers during which tokio's paused time stands still, unless the service is late on purpose.
pub(super) struct HeldTime<H> {
    handlers: Arc<H>,
    late: watch::Receiver<Late>,
}

impl<H> HeldTime<H> {
    pub(super) fn new(handlers: H, late: watch::Receiver<Late>) -> Self {
        Self {
            handlers: Arc::new(handlers),
            late,
        }
    }
}

impl<H> Clone for HeldTime<H> {
    fn clone(&self) -> Self {
        Self {
            handlers: Arc::clone(&self.handlers),
            late: self.late.clone(),
        }
    }
}

#[async_trait]
impl<H: OutboxEventHandler> OutboxEventHandler for HeldTime<H> {
    fn can_handle(&self, event_type: &str) -> bool {
        self.handlers.can_handle(event_type)
    }

    async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError> {
        self.hold(self.handlers.handle(event)).await
    }

    fn batching(&self, event_type: &str) -> Option<Batching> {
        self.handlers.batching(event_type)
    }

    async fn handle_batch(&self, batch: Batch<OutboxEvent>) -> Result<(), HandlerError> {
        self.hold(self.handlers.handle_batch(batch)).await
    }

    fn entities(&self) -> Vec<EntityOptions> {
        self.handlers.entities()
    }

    fn retired(&self) -> Vec<Retired> {
        self.handlers.retired()
    }

    fn redact(&self, event: &OutboxEvent, text: String) -> String {
        self.handlers.redact(event, text)
    }
}

impl<H> HeldTime<H> {
    /// Waits for the answer of a handler, and holds the time while the service is not late.
    async fn hold<F>(&self, mut answer: F) -> Result<(), HandlerError>
    where
        F: Future<Output = Result<(), HandlerError>> + Send + Unpin,
    {
        let mut late = self.late.clone();
        // Requests of earlier attempts, which were given up, may still count as late.
        let before = late.borrow().ever;
        loop {
            let held = hold();
            tokio::select! {
                biased;
                answer = &mut answer => return answer,
                _ = until(&mut late, before, true) => {}
            }
            drop(held);
            let is_there = tokio::select! {
                biased;
                answer = &mut answer => return answer,
                is_there = until(&mut late, before, false) => is_there,
            };
            if !is_there {
                return answer.await;
            }
        }
    }
}

/// Waits until the service is late with a reply that it began after the first `before` ones, or
/// with none. Returns whether it is still there.
async fn until(late: &mut watch::Receiver<Late>, before: u64, is_late: bool) -> bool {
    let is_so = |late: &Late| (late.now > 0 && late.ever > before) == is_late;
    late.wait_for(is_so).await.is_ok()
}

/// Keeps paused time where it is until the returned value is dropped: tokio does not advance it
/// while a blocking task runs.
fn hold() -> oneshot::Sender<()> {
    let (held, released) = oneshot::channel();
    tokio::task::spawn_blocking(move || released.blocking_recv());
    held
}
