//! The settings of a processor that have a value.

use std::time::Duration;

use super::ProcessorBuilder;
use crate::entity::Charge;
use crate::processor::limits::Limit;
#[cfg(feature = "pace")]
use crate::processor::limits::Pace;
use crate::processor::settings::Rejections;
use crate::retry::RetryPolicy;

impl ProcessorBuilder {
    /// The maximum number of calls to a destination that are under way at the same time; a later
    /// value replaces an earlier one. `None` stands for all events without a destination. Default:
    /// no limit but [`max_concurrency`](Self::max_concurrency).
    ///
    /// Events that wait for the limit stay in the store, unclaimed, and other destinations are
    /// delivered meanwhile. An attempt is a call, from the start of its handler to its end,
    /// including its [layers](Self::layer); a batch is one call, and while it
    /// [waits for more events](crate::Batching::within), it has one of the places already.
    ///
    /// The limit is for this processor, whatever the number of its runs and of the handler sets
    /// that send to the destination. Two processors have two limits, whether they are in one
    /// process or in two. A name that no event has is not an error, because destinations are only
    /// known when events are enqueued.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "order", destination = self.partner)]
    /// # struct Order {
    /// #     #[outbox(entity_id)] id: i64,
    /// #     #[outbox(user_id)] user_id: String,
    /// #     partner: String,
    /// # }
    /// # fn build() -> Result<Processor, outbox_runtime::BuildError> {
    /// Processor::builder(MemoryStore::new())
    ///     .handle::<Order>(|_| async { Ok(()) })
    ///     .max_concurrency(32)
    ///     .limit("api.example.com", 4)
    ///     .build()
    /// # }
    /// ```
    pub fn limit<'a>(mut self, destination: impl Into<Option<&'a str>>, calls: usize) -> Self {
        self.limit_of(destination.into()).most = Some(calls);
        self
    }

    /// How often a call to a destination may begin; a later value replaces an earlier one. `None`
    /// stands for all events without a destination. Default: any number of calls.
    ///
    /// As with [`limit`](Self::limit), the events wait in the store. A call counts when its handler
    /// starts, whatever its answer, and a batch is one call, as services limit requests. The halves
    /// of a refused batch are calls as well; they wait for the pace with the lease that they have.
    /// The pace is measured by the uptime of the process, so setting the clock does not change it.
    /// It starts afresh with each processor.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "goal")]
    /// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String }
    /// # fn build() -> Result<Processor, outbox_runtime::BuildError> {
    /// Processor::builder(MemoryStore::new())
    ///     .handle::<Goal>(|_| async { Ok(()) })
    ///     .pace(None, Pace::per_second(10))
    ///     .build()
    /// # }
    /// ```
    #[cfg(feature = "pace")]
    pub fn pace<'a>(mut self, destination: impl Into<Option<&'a str>>, pace: Pace) -> Self {
        self.limit_of(destination.into()).pace = Some(pace);
        self
    }

    fn limit_of(&mut self, destination: Option<&str>) -> &mut Limit {
        let destination = destination.map(str::to_owned);
        self.settings.limits.entry(destination).or_default()
    }

    /// The maximum number of events that one claim takes. Default: 100.
    ///
    /// The processor claims no more events than handlers are free, so that waiting events stay in
    /// the store: they keep their claim order, and use up no attempt if the process dies. The
    /// exception is handlers that have answered within milliseconds for a while. For them, the
    /// processor claims ahead as many events as they start within a few milliseconds, limited by
    /// the batch size. If that was all there is, their outcomes are recorded together, at most 5 ms
    /// after the first of them waited for its handler. Values above 65,536 mean 65,536.
    #[doc(alias = "prefetch")]
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.settings.batch_size = batch_size;
        self
    }

    /// The maximum number of handlers that run at the same time, each for events that do not wait
    /// for each other. Default: 3. Values above 65,536 mean 65,536, so `usize::MAX` is the way to
    /// ask for no limit.
    pub fn max_concurrency(mut self, max_concurrency: usize) -> Self {
        self.settings.max_concurrency = max_concurrency;
        self
    }

    /// The delays between attempts, for entities without a schedule of their own. Default:
    /// [`RetryPolicy::default`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use outbox_runtime::{MemoryStore, Processor};
    /// use outbox_runtime::RetryPolicy;
    ///
    /// let delays = [1, 10, 60].map(Duration::from_secs);
    /// Processor::builder(MemoryStore::new()).retry(RetryPolicy::new(delays));
    /// ```
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.settings.retry = retry;
        self
    }

    /// The time limit of one attempt, for entities without their own. When it is over, the
    /// handler's future is dropped, and the attempt is a failure that is retried. Must not be zero.
    /// Default: 30 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// How long a claim holds unless it is renewed. A lease is renewed every third of its duration
    /// while the handler runs, so this is how long the work of a process that died waits before
    /// another process takes it. Must be longer than any timeout, and at least 10 ms. Entities can
    /// have their own. Default: 60 s.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease;
        self
    }

    /// How long [`stop`](crate::Running::stop) waits for handlers before it aborts them and gives
    /// their events back. Default: 10 s.
    pub fn stop_deadline(mut self, deadline: Duration) -> Self {
        self.settings.stop_deadline = deadline;
        self
    }

    /// How long delivered events are kept. Default: 24 h.
    ///
    /// Zero deletes each event in the commit that records its delivery. This gives up the check for
    /// repeated ids: an app that enqueues the same id again gets
    /// [`Enqueued::New`](crate::Enqueued::New) instead of
    /// [`AlreadyThere`](crate::Enqueued::AlreadyThere), and the event is delivered again. A
    /// [`flush`](crate::Running::flush) of an entity whose events are delivered answers
    /// [`NothingThere`](crate::Flushed::NothingThere), and a sign-out cannot list what was
    /// delivered before it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use outbox_runtime::{MemoryStore, Processor};
    /// // A week, so that support can see what was sent.
    /// Processor::builder(MemoryStore::new()).keep_completed(Duration::from_secs(7 * 24 * 3600));
    /// ```
    pub fn keep_completed(mut self, retention: Duration) -> Self {
        self.settings.keep_completed = retention;
        self
    }

    /// The interval at which older delivered events are deleted, while any exist. Default: 300 s.
    pub fn cleanup_interval(mut self, interval: Duration) -> Self {
        self.settings.cleanup_interval = interval;
        self
    }

    /// When a failed attempt is charged, for entities without `#[outbox(charge = "always")]`.
    /// Default: [`Charge::Evidence`], only when other events get through.
    pub fn charge(mut self, charge: Charge) -> Self {
        self.settings.charge = charge;
        self
    }

    /// The treatment of events that the service rejects. Default: [`Rejections::Pause`].
    pub fn rejections(mut self, rejections: Rejections) -> Self {
        self.settings.rejections = rejections;
        self
    }

    /// Declares that all handler sets reach their services through one network: when one of them
    /// reports that it is [offline](crate::HandlerError::offline) and no event gets through, all of
    /// them wait for a single probe. Default: off; each set finds out for itself.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::{MemoryStore, Processor};
    /// // A phone has one network, however many services the app sends to.
    /// Processor::builder(MemoryStore::new()).share_network();
    /// ```
    pub fn share_network(mut self) -> Self {
        self.settings.shares_network = true;
        self
    }
}
