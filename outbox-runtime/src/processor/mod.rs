//! The processor takes each event from its claim to its outcome. Only this module spawns tasks.

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use crate::cancel::Cancel;
use tokio::runtime::Handle;
use tokio::sync::{broadcast, mpsc, watch};

use self::ending::Ending;
use self::nudges::Nudges;
use self::routes::Routes;
use self::run::{Controls, Run};
use self::running::Inner;
use self::settings::Settings;
use self::shared::Shared;
use crate::error::{StoreError, StoreErrorKind};
use crate::repository::{OutboxQueue, OutboxRepository};

mod attempt;
mod batch_attempt;
mod builder;
mod changes;
mod command; // requests from handles to their run
mod ending;
mod evidence;
mod flush;
mod handler_index; // identifies a handler set
mod health;
mod limits; // of calls to a destination
mod nudges;
mod orphans; // the question which types nobody handles
mod outcomes;
mod routes;
mod run;
mod running;
mod settings;
mod shared; // state shared by all runs of a processor
mod sign_out;
mod unhandled_types; // stored types that nobody handles

pub use self::builder::ProcessorBuilder;
pub use self::ending::Stopped;
pub use self::flush::{EventRef, Flushed};
pub use self::health::{Health, Trouble, TroubleKind};
use self::limits::Limits;
#[cfg(feature = "pace")]
pub use self::limits::Pace;
pub use self::outcomes::{Outcomes, RunOutcome};
pub use self::running::Running;
pub use self::settings::Rejections;
pub use self::sign_out::{SignOut, SignedOut};
pub use self::unhandled_types::UnhandledTypes;

/// Delivers the events of a store: claims due events, runs their handlers, and records the
/// outcomes.
///
/// It keeps up to [`max_concurrency`](ProcessorBuilder::max_concurrency) handlers busy, each with
/// an event that does not have to wait for the events of the others. The processor starts on an
/// event as soon as the transaction that enqueued it commits, and on a retry when it is due. It
/// runs no queries in between.
///
/// Several processors can work on one store, in the same process or in different ones.
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
/// let store = MemoryStore::new();
/// let processor = Processor::builder(store.clone())
///     .handle::<MoodEntry>(|event| async move {
///         println!("sending {}", event.entity_id);
///         Ok(())
///     })
///     .build()?;
/// let running = processor.start("user-1");
///
/// let mood = MoodEntry { id: Uuid::now_v7(), user_id: "user-1".into(), valence: 0.5 };
/// mood.enqueue_sync().on(&store).await?;
/// assert!(running.flush(mood.id, Duration::from_secs(5)).await?.is_delivered());
/// running.stop().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Processor {
    shared: Arc<Shared>,
}

impl Processor {
    fn new(
        repository: Arc<dyn OutboxRepository>,
        routes: Routes,
        settings: Settings,
        limits: Limits,
        runtime: Handle,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                clock: repository.clock(),
                queue: Arc::clone(&repository) as Arc<dyn OutboxQueue>,
                repository,
                routes,
                settings,
                limits: Arc::new(limits),
                runtime,
                refresh: tokio::sync::Mutex::new(()),
            }),
        }
    }

    /// Starts delivering the events of one user only.
    #[must_use = "dropping the handle stops the run: bind it to a name (not `_`), or `.detach()` it"]
    pub fn start(&self, user_id: impl Into<String>) -> Running {
        self.run(Some(user_id.into())).0
    }

    /// Starts delivering the events of all users.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::{Processor, StoreError};
    /// # async fn serve(processor: &Processor) -> Result<(), StoreError> {
    /// let running = processor.start_all_users(); // a worker of a service
    /// assert_eq!(running.user_id(), None);
    /// running.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use = "dropping the handle stops the run: bind it to a name (not `_`), or `.detach()` it"]
    pub fn start_all_users(&self) -> Running {
        self.run(None).0
    }

    /// The store whose events this processor delivers.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::{OutboxRepository, Processor, StoreError};
    /// # async fn show(processor: &Processor) -> Result<(), StoreError> {
    /// let waiting = processor.store().fetch_pending_events(None, Some(20)).await?;
    /// # drop(waiting);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn store(&self) -> &Arc<dyn OutboxRepository> {
        &self.shared.repository
    }

    /// A run of all users, with the stream of its outcomes from the first one on, for test kits.
    #[doc(hidden)]
    pub fn __start_watched(&self) -> (Running, Outcomes) {
        self.run(None)
    }

    /// Starts a run, with the stream of all its outcomes: one that is asked for later may lack the
    /// first ones.
    fn run(&self, user_id: Option<String>) -> (Running, Outcomes) {
        let (commands, inbox) = mpsc::unbounded_channel();
        let progress = watch::Sender::new(0);
        let (healths, health) = watch::channel(Health::Healthy);
        let (endings, ending) = watch::channel(None);
        let (outcomes, stream) = broadcast::channel(outcomes::CAPACITY);
        let listeners = outcomes.downgrade();
        let (found, orphans) = watch::channel(None);
        let nudges = Arc::new(Nudges::default());
        let stop = Cancel::new();
        let hurry = Cancel::new();
        let controls = Controls {
            inbox,
            nudges: Arc::clone(&nudges),
            stop: stop.clone(),
            hurry: hurry.clone(),
        };
        let run = Run::new(
            Arc::clone(&self.shared),
            user_id.clone(),
            controls,
            healths,
            progress.clone(),
            outcomes,
            found,
        );
        self.shared.runtime.spawn(async move {
            let ending = catch_panic(run.run()).await;
            endings.send_replace(Some(ending));
        });
        let running = Running {
            inner: Arc::new(Inner {
                shared: Arc::clone(&self.shared),
                user_id,
                commands,
                nudges,
                progress,
                health,
                ending,
                outcomes: listeners,
                orphans,
                stop,
                hurry,
            }),
        };
        (running, Outcomes::new(stream))
    }
}

/// Turns a panic of the run into an [`Ending`], so that handles learn that the run has ended.
async fn catch_panic(run: impl Future<Output = Ending>) -> Ending {
    let mut run = pin!(run);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(context)));
        polled.unwrap_or_else(|payload| {
            let text = attempt::panic_text(payload);
            tracing::error!(panic = ?text, "the run panicked and ended");
            let message = format!("the run panicked and ended: {text}");
            let error = StoreError::new(StoreErrorKind::Other, "run", message);
            Poll::Ready(Ending::failed(error))
        })
    })
    .await
}

impl fmt::Debug for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processor")
            .field("repository", &self.shared.repository)
            .finish_non_exhaustive()
    }
}
