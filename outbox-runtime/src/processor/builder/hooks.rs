//! What the application is told, asked for, and shown.

use std::future::Future;
use std::sync::Arc;
#[cfg(feature = "metrics")]
use std::time::Duration;

use super::ProcessorBuilder;
use crate::error::BoxError;
use crate::event::OutboxEvent;

impl ProcessorBuilder {
    /// Sets the hook that refreshes a user's credentials after a handler answered
    /// [`unauthenticated`](crate::HandlerError::unauthenticated). One call is in flight at a time.
    /// When it succeeds, the user's work resumes; when it fails, it is called again after a growing
    /// delay. Its time limit is the [`timeout`](Self::timeout). Default: no hook; the user's work
    /// resumes by itself after a growing delay.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::{HandlerSet, MemoryStore, Processor};
    /// # let builder = Processor::builder(MemoryStore::new());
    /// builder.on_unauthenticated(|user_id| async move {
    ///     println!("refreshing the token of {user_id}");
    ///     Ok(())
    /// });
    /// ```
    pub fn on_unauthenticated<F, Fut>(mut self, refresh: F) -> Self
    where
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.settings.refresh = Some(Arc::new(move |user| Box::pin(refresh(user))));
        self
    }

    /// Sets a callback for each dead letter that a run of this processor has recorded, such as an
    /// alarm or a message to the user. It runs on the run's task, so it must be quick; it may spawn
    /// a task. Its panics are logged. Default: none; dead letters are logged as errors.
    ///
    /// [`Running::outcomes`](crate::Running::outcomes) says which dead letters a run does not
    /// record.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::{MemoryStore, Processor};
    /// # let builder = Processor::builder(MemoryStore::new());
    /// builder.on_dead(|event| {
    ///     println!("{} of {} is not synced: {:?}", event.entity_id, event.user_id, event.dead_reason);
    /// });
    /// ```
    pub fn on_dead(mut self, callback: impl Fn(&OutboxEvent) + Send + Sync + 'static) -> Self {
        self.settings.on_dead = Some(Arc::new(callback));
        self
    }

    /// Samples the gauges of the metrics (backlog, dead letters, stale events, the oldest due time,
    /// pauses, and the size of SQLite's -wal file): when the run starts, when the store has changed
    /// and when a pause ends, at most once in this time, by
    /// [`statistics`](crate::OutboxRepository::statistics) of all users. A run that has nothing to
    /// do samples nothing. Default: no gauges, only counters and histograms.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use outbox_runtime::{MemoryStore, Processor};
    /// Processor::builder(MemoryStore::new()).sample_gauges(Duration::from_secs(15));
    /// ```
    #[cfg(feature = "metrics")]
    pub fn sample_gauges(mut self, at_most_every: Duration) -> Self {
        self.settings.sample_interval = Some(at_most_every);
        self
    }

    /// Gives each attempt a trace of its own, with a link to the span that enqueued the event.
    /// Default: the attempt is a child of that span, so that one trace goes from the request to the
    /// delivery and is sampled as a whole.
    ///
    /// A trace of its own is sampled for itself: of requests sampled at 10 %, the deliveries of one
    /// in ten are sampled, too. It is for events that wait for so long, or are so many per request,
    /// that a backend cuts their traces.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::{MemoryStore, Processor};
    /// Processor::builder(MemoryStore::new()).link_traces();
    /// ```
    #[cfg(feature = "opentelemetry")]
    pub fn link_traces(mut self) -> Self {
        self.settings.links_traces = true;
        self
    }
}
