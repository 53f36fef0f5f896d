//! Any store as a sink for completions, through the open traits.

use std::sync::Arc;

use outbox_runtime::store::{CompleteFuture, Completion};
use outbox_runtime::{
    CompleteError, CompletionSink, Enqueued, NewEvent, OutboxRepository, SupersedingSink,
};

/// A store whose type the test does not name.
#[derive(Debug, Clone, Copy)]
pub struct Any<'s>(pub &'s Arc<dyn OutboxRepository>);

/// The marker of the sinks.
#[derive(Debug)]
pub enum AnyStore {}

impl CompletionSink<AnyStore> for Any<'_> {
    type Output = CompleteFuture<'static>;

    fn complete(self, completion: Result<Completion, CompleteError>) -> Self::Output {
        let store = Arc::clone(self.0);
        CompleteFuture::new(async move { store.complete_event(completion?, None).await.map(drop) })
    }
}

impl SupersedingSink<AnyStore> for Any<'_> {
    type Output = CompleteFuture<'static, Option<Enqueued>>;

    fn supersede(self, step: Result<(Completion, NewEvent), CompleteError>) -> Self::Output {
        let store = Arc::clone(self.0);
        CompleteFuture::new(async move {
            let (completion, next) = step?;
            store.complete_event(completion, Some(next)).await
        })
    }
}
