//! How a processor is put together, and what contradicts what.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::Processor;
use super::routes::Routes;
use super::settings::{Rejections, Settings};
use crate::entity::{Charge, OutboxEntity};
use crate::error::{BoxError, BuildError};
use crate::event::Event;
use crate::handler::{HandlerError, HandlerFn, HandlerSet, IntoHandlerSet, OutboxEventHandler};
use crate::repository::OutboxRepository;
use crate::retry::RetryPolicy;

/// Puts a [`Processor`] together.
///
/// # Default
///
/// | | |
/// |---|---|
/// | [`batch_size`](Self::batch_size) | 100 |
/// | [`max_concurrency`](Self::max_concurrency) | 3 |
/// | [`retry`](Self::retry) | 1, 5, 30, 120, 600 s, plus up to a fifth |
/// | [`timeout`](Self::timeout) | 30 s |
/// | [`lease`](Self::lease) | 60 s |
/// | [`stop_deadline`](Self::stop_deadline) | 10 s |
/// | [`keep_completed`](Self::keep_completed) | 24 h |
/// | [`cleanup_interval`](Self::cleanup_interval) | 300 s |
/// | [`charge`](Self::charge) | where others get through |
/// | [`rejections`](Self::rejections) | 20 in a row pause |
///
/// # Examples
///
/// ```
/// # use outbox_runtime::{prelude::*, MemoryStore, Processor};
/// # use std::time::Duration;
/// # use uuid::Uuid;
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "moodEntry")]
/// # struct MoodEntry { #[outbox(entity_id)] id: Uuid, #[outbox(user_id)] user_id: String, #[outbox(metadata)] valence: f64 }
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
#[must_use = "call `.build()`"]
pub struct ProcessorBuilder {
    repository: Arc<dyn OutboxRepository>,
    handlers: Vec<Arc<dyn OutboxEventHandler>>,
    settings: Settings,
}

/// More than any machine has use for. What is asked beyond it is the same as this.
const MOST: usize = 65_536;

/// It is renewed a third after it was granted, which is a commit: more often, and a run would do
/// nothing else.
const SHORTEST_LEASE: Duration = Duration::from_millis(10);

impl Processor {
    /// Starts with a store.
    pub fn builder(repository: impl OutboxRepository) -> ProcessorBuilder {
        ProcessorBuilder::new(repository)
    }
}

impl ProcessorBuilder {
    fn new(repository: impl OutboxRepository) -> Self {
        Self {
            repository: Arc::new(repository),
            handlers: Vec::new(),
            settings: Settings::default(),
        }
    }

    /// Registers the handlers of a set: what `YourEvents::handled_by(..)` returns. A rate limit pauses the whole set.
    pub fn handlers(self, set: impl IntoHandlerSet) -> Self {
        self.handler(set.into_handler_set())
    }

    /// Registers a handler for one entity. One that needs a client, or anything else of the program's, has it from
    /// [`handle_with`](Self::handle_with).
    pub fn handle<E: OutboxEntity>(self, handler: impl HandlerFn<E>) -> Self {
        self.handler(HandlerSet::new().with(handler))
    }

    /// Registers a handler for one entity that gets a clone of `state` with each event: a client, a pool, an `Arc` of the app.
    ///
    /// A closure that captures the client would have to clone it itself, as many deliveries may be under way at once.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "goal")]
    /// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String }
    /// # #[derive(Clone)] struct Client;
    /// # impl Client { async fn put(&self, _: &EntityId) -> Result<(), HandlerError> { Ok(()) } }
    /// # fn build(client: Client) -> Result<Processor, outbox_runtime::BuildError> {
    /// Processor::builder(MemoryStore::new())
    ///     .handle_with(client, |client, event: Event<Goal>| async move { client.put(&event.entity_id).await })
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

    /// Registers an untyped handler. Where two of these can handle a type that neither names in
    /// [`entities`](OutboxEventHandler::entities), the one registered first gets it.
    pub fn handler(mut self, handler: impl OutboxEventHandler) -> Self {
        self.handlers.push(Arc::new(handler));
        self
    }

    /// At most how many events one claim takes. Default: 100.
    ///
    /// No more are claimed than handlers are free, so that what waits stays in the store: in claim order, and without an attempt
    /// used up should the process die. Handlers that have answered within milliseconds for a while are the exception: for them, at
    /// most as many events as they start within a few milliseconds are claimed ahead, and this is the most that may be. More than
    /// 65,536 is the same as that.
    #[doc(alias = "prefetch")]
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.settings.batch_size = batch_size;
        self
    }

    /// How many handlers run at the same time, each for events that do not wait for each other. Default: 3. More than 65,536, as
    /// `usize::MAX` for no limit, is the same as that.
    pub fn max_concurrency(mut self, max_concurrency: usize) -> Self {
        self.settings.max_concurrency = max_concurrency;
        self
    }

    /// The delays between attempts, for entities that do not have their own. Default: [`RetryPolicy::default`].
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.settings.retry = retry;
        self
    }

    /// How long one attempt may take, for entities that do not say. Then its future is dropped, and it counts as a
    /// failure that is retried. Not zero. Default: 30 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// For how long a claim holds unless it is renewed, which happens every third of it while the
    /// handler runs: how long the work of a process that died is left alone. Longer than any
    /// timeout, and at least 10 ms. Entities may have their own. Default: 60 s.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease;
        self
    }

    /// How long [`stop`](super::Running::stop) waits for handlers before it gives their events back. Default: 10 s.
    pub fn stop_deadline(mut self, deadline: Duration) -> Self {
        self.settings.stop_deadline = deadline;
        self
    }

    /// How long delivered events are kept. Default: 24 h.
    pub fn keep_completed(mut self, retention: Duration) -> Self {
        self.settings.keep_completed = retention;
        self
    }

    /// How often older ones are deleted, while there are any. Default: 300 s.
    pub fn cleanup_interval(mut self, interval: Duration) -> Self {
        self.settings.cleanup_interval = interval;
        self
    }

    /// When a failed attempt counts, for entities that do not say (`#[outbox(charge = "always")]`).
    /// Default: [`Charge::Evidence`], where others get through.
    pub fn charge(mut self, charge: Charge) -> Self {
        self.settings.charge = charge;
        self
    }

    /// What becomes of events that the service rejects. Default: [`Rejections::Pause`].
    pub fn rejections(mut self, rejections: Rejections) -> Self {
        self.settings.rejections = rejections;
        self
    }

    /// Says that all handler sets reach their services by one network: where one of them finds that it is
    /// [offline](crate::HandlerError::offline), and nobody gets through, all of them wait for one probe.
    /// Default: they do not; each finds out for itself.
    pub fn share_network(mut self) -> Self {
        self.settings.shares_network = true;
        self
    }

    /// What gets new credentials for a user when a handler answered
    /// [`unauthenticated`](crate::HandlerError::unauthenticated). One call is in flight at a time; when it succeeds the user's
    /// work goes on, when it fails it is called again with growing delay. It may take as long as a handler.
    /// Default: none; the user's work goes on by itself after a growing delay.
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

    /// Checks the settings against each other. Runs are spawned on the tokio runtime that this is called in, which must
    /// have its timers enabled (as that of `#[tokio::main]` has).
    ///
    /// # Errors
    ///
    /// [`BuildError`], naming what contradicts what.
    pub fn build(self) -> Result<Processor, BuildError> {
        let Self {
            repository,
            handlers,
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
        settings.batch_size = settings.batch_size.min(MOST);
        settings.max_concurrency = settings.max_concurrency.min(MOST);
        let routes = Routes::new(handlers)?;
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
        Ok(Processor::new(repository, routes, settings, runtime))
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
