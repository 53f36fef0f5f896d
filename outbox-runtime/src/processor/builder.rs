//! The builder of a processor, and the checks of its settings against each other.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::Processor;
#[cfg(feature = "pace")]
use super::limits::Pace;
use super::limits::{Limit, Limits};
use super::routes::Routes;
use super::settings::{Rejections, Settings};
use crate::entity::{Charge, OutboxEntity};
use crate::error::{BoxError, BuildError};
use crate::event::{Event, OutboxEvent};
use crate::handler::{
    BatchHandlerFn, Batching, HandlerError, HandlerFn, HandlerSet, IntoHandlerSet, Layer, Layered,
    OutboxEventHandler,
};
use crate::repository::OutboxRepository;
use crate::retry::RetryPolicy;

/// Builds a [`Processor`].
///
/// The guide: `docs/guide/settings.md`.
///
/// # Default
///
/// | | |
/// |---|---|
/// | [`batch_size`](Self::batch_size) | 100 |
/// | [`max_concurrency`](Self::max_concurrency) | 3 |
/// | [`retry`](Self::retry) | 1, 5, 30, 120, 600 s, plus up to 20 % jitter |
/// | [`timeout`](Self::timeout) | 30 s |
/// | [`lease`](Self::lease) | 60 s |
/// | [`stop_deadline`](Self::stop_deadline) | 10 s |
/// | [`keep_completed`](Self::keep_completed) | 24 h |
/// | [`cleanup_interval`](Self::cleanup_interval) | 300 s |
/// | [`charge`](Self::charge) | only on evidence: when other events get through |
/// | [`rejections`](Self::rejections) | pause after 20 in a row |
/// | [`layer`](Self::layer), [`limit`](Self::limit), [`pace`](Self::pace) | none |
///
/// # Examples
///
/// ```
/// # use outbox_runtime::{prelude::*, MemoryStore, Processor};
/// # use std::time::Duration;
/// # use uuid::Uuid;
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "moodEntry")]
/// # struct MoodEntry {
/// #     #[outbox(entity_id)] id: Uuid,
/// #     #[outbox(user_id)] user_id: String,
/// #     #[outbox(metadata)] valence: f64,
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let processor = Processor::builder(MemoryStore::new())
///     .handle::<MoodEntry>(|event| async move {
///         println!("{}", event.metadata().valence);
///         Ok(())
///     })
///     .max_concurrency(8)
///     .timeout(Duration::from_secs(10))
///     .build()?;
/// # Ok(())
/// # }
/// ```
///
/// Every setting that has a value, with its default:
///
/// ```
/// # use outbox_runtime::prelude::*;
/// # use std::time::Duration;
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "goal")]
/// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] title: String }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use outbox_runtime::{Charge, Rejections, RetryPolicy};
///
/// let processor = Processor::builder(MemoryStore::new())
///     .handle::<Goal>(|_| async { Ok(()) })
///     .batch_size(100)
///     .max_concurrency(3)
///     .retry(RetryPolicy::default())
///     .timeout(Duration::from_secs(30))
///     .lease(Duration::from_secs(60))
///     .stop_deadline(Duration::from_secs(10))
///     .keep_completed(Duration::from_secs(24 * 3600))
///     .cleanup_interval(Duration::from_secs(300))
///     .charge(Charge::Evidence)
///     .rejections(Rejections::Pause)
///     .build()?;
/// # drop(processor);
/// # Ok(())
/// # }
/// ```
#[must_use = "call `.build()`"]
pub struct ProcessorBuilder {
    repository: Arc<dyn OutboxRepository>,
    handlers: Vec<Arc<dyn OutboxEventHandler>>,
    layers: Vec<Arc<dyn Layer>>,
    settings: Settings,
}

/// Cap on `batch_size` and `max_concurrency`: larger values mean the same.
const MAX_COUNT: usize = 65_536;

/// Each lease is renewed after a third of its duration, and each renewal is a commit. With shorter
/// leases a run would do nothing but renew.
const SHORTEST_LEASE: Duration = Duration::from_millis(10);

impl Processor {
    /// Creates a builder for a processor of this store.
    pub fn builder(repository: impl OutboxRepository) -> ProcessorBuilder {
        ProcessorBuilder::new(repository)
    }
}

impl ProcessorBuilder {
    fn new(repository: impl OutboxRepository) -> Self {
        Self {
            repository: Arc::new(repository),
            handlers: Vec::new(),
            layers: Vec::new(),
            settings: Settings::default(),
        }
    }

    /// Registers a set of handlers, as returned by `YourEvents::handled_by(..)`. A rate limit
    /// pauses the whole set.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "goal")]
    /// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] title: String }
    /// #[derive(OutboxEvents)]
    /// enum AppEvent {
    ///     Goal(Event<Goal>),
    /// }
    ///
    /// struct Service;
    ///
    /// impl AppEventHandler for Service {
    ///     async fn goal(&self, event: Event<Goal>) -> Result<(), HandlerError> {
    ///         println!("PUT /goals/{}", event.entity_id);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # fn build() -> Result<Processor, outbox_runtime::BuildError> {
    /// Processor::builder(MemoryStore::new()).handlers(AppEvent::handled_by(Service)).build()
    /// # }
    /// ```
    pub fn handlers(self, set: impl IntoHandlerSet) -> Self {
        self.handler(set.into_handler_set())
    }

    /// Registers a handler for one entity. To pass it a client or other state of the program, use
    /// [`handle_with`](Self::handle_with).
    pub fn handle<E: OutboxEntity>(self, handler: impl HandlerFn<E>) -> Self {
        self.handler(HandlerSet::new().with(handler))
    }

    /// Registers a handler for one entity that gets several events at once.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "steps")]
    /// # struct Steps { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String }
    /// # fn build() -> Result<Processor, outbox_runtime::BuildError> {
    /// use std::time::Duration;
    /// use outbox_runtime::Batching;
    ///
    /// let batching = Batching::of(100).within(Duration::from_secs(2));
    /// Processor::builder(MemoryStore::new())
    ///     .handle_batch::<Steps>(batching, |batch| async move {
    ///         println!("{} events in one call", batch.len());
    ///         Ok(())
    ///     })
    ///     .build()
    /// # }
    /// ```
    pub fn handle_batch<E: OutboxEntity>(
        self,
        batching: Batching,
        handler: impl BatchHandlerFn<E>,
    ) -> Self {
        self.handler(HandlerSet::new().with_batch(batching, handler))
    }

    /// Registers a handler for one entity that receives a clone of `state` with each event, such as
    /// a client, a pool, or an `Arc` of the app.
    ///
    /// A closure that captures the client would have to clone it itself, because many deliveries
    /// can be in flight at once.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "goal")]
    /// # struct Goal {
    /// #     #[outbox(entity_id)] id: i64,
    /// #     #[outbox(user_id)] user_id: String,
    /// # }
    /// # #[derive(Clone)] struct Client;
    /// # impl Client {
    /// #     async fn put(&self, _: &EntityId) -> Result<(), HandlerError> { Ok(()) }
    /// # }
    /// # fn build(client: Client) -> Result<Processor, outbox_runtime::BuildError> {
    /// Processor::builder(MemoryStore::new())
    ///     .handle_with(client, |client, event: Event<Goal>| async move {
    ///         client.put(&event.entity_id).await
    ///     })
    ///     .build()
    /// # }
    /// ```
    pub fn handle_with<E, S, F, Fut>(self, state: S, handler: F) -> Self
    where
        E: OutboxEntity,
        S: Clone + Send + Sync + 'static,
        F: Fn(S, Event<E>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        self.handle(move |event| handler(state.clone(), event))
    }

    /// Registers an untyped handler. If two of them can handle a type that neither names in
    /// [`entities`](OutboxEventHandler::entities), the one registered first gets the event.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// /// Passes on whatever other programs enqueue.
    /// struct Relay;
    ///
    /// #[async_trait]
    /// impl OutboxEventHandler for Relay {
    ///     fn can_handle(&self, _event_type: &str) -> bool {
    ///         true
    ///     }
    ///
    ///     async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError> {
    ///         println!("{} {}", event.event_type, event.entity_id);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # fn build() -> Result<Processor, outbox_runtime::BuildError> {
    /// Processor::builder(MemoryStore::new()).handler(Relay).build()
    /// # }
    /// ```
    pub fn handler(mut self, handler: impl OutboxEventHandler) -> Self {
        self.handlers.push(Arc::new(handler));
        self
    }

    /// Adds a layer around every attempt of this processor, whatever the order in which handlers
    /// and layers are added: outside of the [layers of each set](HandlerSet::layer), and inside of
    /// the layers of the processor that were added before. Default: none.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # use outbox_runtime::Answer;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "goal")]
    /// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String }
    /// # fn build() -> Result<Processor, outbox_runtime::BuildError> {
    /// struct Slow(std::time::Duration);
    ///
    /// #[async_trait]
    /// impl Layer for Slow {
    ///     async fn attempt(&self, event: &OutboxEvent, next: Next<'_>) -> Answer {
    ///         let began = std::time::Instant::now();
    ///         let answer = next.run().await;
    ///         if began.elapsed() > self.0 {
    ///             eprintln!("{} took {:?}: {}", event.id, began.elapsed(), answer.class());
    ///         }
    ///         answer
    ///     }
    /// }
    ///
    /// Processor::builder(MemoryStore::new())
    ///     .handle::<Goal>(|_| async { Ok(()) })
    ///     .layer(Slow(std::time::Duration::from_secs(5)))
    ///     .build()
    /// # }
    /// ```
    pub fn layer(mut self, layer: impl Layer) -> Self {
        self.layers.push(Arc::new(layer));
        self
    }

    /// The maximum number of calls to a destination that are under way at the same time; a later
    /// value replaces an earlier one. `None` stands for all events without a destination. Default:
    /// no limit but [`max_concurrency`](Self::max_concurrency).
    ///
    /// Events that wait for the limit stay in the store, unclaimed, and other destinations are
    /// delivered meanwhile. An attempt is a call, from the start of its handler to its end,
    /// including its [layers](Self::layer); a batch is one call, and while it
    /// [waits for more events](Batching::within), it has one of the places already.
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
    /// the batch size. Values above 65,536 mean 65,536.
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

    /// How long [`stop`](super::Running::stop) waits for handlers before it aborts them and gives
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
    /// [`statistics`](OutboxRepository::statistics) of all users. A run that has nothing to do
    /// samples nothing. Default: no gauges, only counters and histograms.
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

    /// Checks the settings against each other and builds the processor. It spawns its runs on the
    /// tokio runtime that this is called in, which must have its timers enabled (as
    /// `#[tokio::main]` does).
    ///
    /// # Errors
    ///
    /// [`BuildError`], naming the settings or handlers that contradict each other.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::{BuildError, MemoryStore, Processor};
    ///
    /// let error = Processor::builder(MemoryStore::new()).build().err();
    /// assert!(matches!(error, Some(BuildError::NoHandler | BuildError::NoRuntime)));
    /// ```
    pub fn build(self) -> Result<Processor, BuildError> {
        let Self {
            repository,
            mut handlers,
            layers,
            mut settings,
        } = self;
        for (setting, value) in [
            ("batch_size", settings.batch_size),
            ("max_concurrency", settings.max_concurrency),
        ] {
            if value == 0 {
                return Err(BuildError::Zero { setting });
            }
        }
        settings.batch_size = settings.batch_size.min(MAX_COUNT);
        settings.max_concurrency = settings.max_concurrency.min(MAX_COUNT);
        if !layers.is_empty() {
            for handler in &mut handlers {
                *handler = Arc::new(Layered::new(Arc::clone(handler), &layers));
            }
        }
        let routes = Routes::new(handlers)?;
        let limits = Limits::new(&settings.limits, repository.clock().uptime())?;
        let (timeout, lease) = (settings.timeout, settings.lease);
        check_timeout("the processor's timeout", timeout, "the lease", lease)?;
        for options in routes.entities() {
            let event_type = options.event_type();
            let (of_timeout, timeout) = match options.timeout() {
                Some(timeout) => (format!("the timeout of {event_type:?}"), timeout),
                None => ("the processor's timeout".to_owned(), settings.timeout),
            };
            let (of_lease, lease) = match options.lease() {
                Some(lease) => (format!("the lease of {event_type:?}"), lease),
                None => ("the lease".to_owned(), settings.lease),
            };
            check_timeout(&of_timeout, timeout, &of_lease, lease)?;
        }
        let runtime = Handle::try_current().map_err(|_| BuildError::NoRuntime)?;
        Ok(Processor::new(
            repository, routes, settings, limits, runtime,
        ))
    }
}

fn check_timeout(
    of_timeout: &str,
    timeout: Duration,
    of_lease: &str,
    lease: Duration,
) -> Result<(), BuildError> {
    if timeout.is_zero() {
        let what = of_timeout.to_owned();
        return Err(BuildError::NoTime { what });
    }
    if lease < SHORTEST_LEASE {
        return Err(BuildError::LeaseTooShort {
            what: of_lease.to_owned(),
            lease,
            least: SHORTEST_LEASE,
        });
    }
    if timeout < lease {
        return Ok(());
    }
    Err(BuildError::TimeoutNotShorterThanLease {
        what: of_timeout.to_owned(),
        timeout,
        of_lease: of_lease.to_owned(),
        lease,
    })
}

impl fmt::Debug for ProcessorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessorBuilder")
            .field("repository", &self.repository)
            .field("handlers", &self.handlers.len())
            .finish_non_exhaustive()
    }
}
