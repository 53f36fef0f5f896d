//! One attempt, as a processor makes it, without a store of the test's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outbox_runtime::__private::clock;
use outbox_runtime::support::{EntityOptions, Retired};
use outbox_runtime::{
    Delivery, Enqueue, HandlerError, MemoryStore, Operation, OutboxEntity, OutboxEvent,
    OutboxEventHandler, OutboxRepository as _, OutboxStatus, Processor, ProcessorBuilder, Scope,
    async_trait,
};
use tokio::sync::watch;
use uuid::Uuid;

use super::error::KitError;

/// How long an attempt may take by the clock of the machine, beyond its own time limit.
const PATIENCE: Duration = Duration::from_secs(120);
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Makes one attempt at `change` with `handler`, as a processor does it: the metadata is serialized
/// and decoded, the attempt has its time limit, a panic is caught, and the answer is judged. No
/// store is needed.
///
/// `change` is an entity, which means its creation, or a change such as `mood.enqueue_update()`.
/// The processor has its default settings; [`perform_with`] sets others. The time limit is that of
/// the entity or of the processor (30 s); with tokio's paused time it is over at once.
///
/// # Errors
///
/// [`KitError::Enqueue`] if the change is refused; [`KitError::Build`] if the settings contradict
/// each other; [`KitError::NoHandler`] if the handler takes no events of this type.
///
/// # Cancel safety
///
/// Dropping the future drops the attempt.
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use outbox_runtime::{HandlerSet, RefusalClass};
/// use outbox_testing::perform;
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "goal")]
/// struct Goal {
///     #[outbox(entity_id)]
///     id: i64,
///     #[outbox(user_id)]
///     user_id: String,
///     #[outbox(metadata)]
///     title: String,
/// }
///
/// async fn send(event: Event<Goal>) -> Result<(), HandlerError> {
///     match event.metadata().title.as_str() {
///         "" => Err(HandlerError::permanent("a goal has a title")),
///         title => Ok(assert_eq!(title, "Swim")),
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let goal = Goal { id: 7, user_id: "user-1".into(), title: "Swim".into() };
/// let performed = perform(HandlerSet::new().with(send), &goal).await?;
/// assert!(performed.is_delivered());
///
/// let goal = Goal { title: String::new(), ..goal };
/// let performed = perform(HandlerSet::new().with(send), goal.enqueue_update()).await?;
/// assert!(performed.is_dead());
/// assert_eq!(performed.message(), Some("a goal has a title"));
/// # Ok(())
/// # }
/// ```
pub async fn perform(
    handler: impl OutboxEventHandler,
    change: impl Change,
) -> Result<Performed, KitError> {
    perform_with(|builder| builder, handler, change).await
}

/// Like [`perform`], with other settings of the processor.
///
/// # Errors
///
/// As for [`perform`].
///
/// # Cancel safety
///
/// As for [`perform`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::prelude::*;
/// use outbox_runtime::{Charge, HandlerSet};
/// use outbox_testing::{HandlerAnswer, perform_with};
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "goal")]
/// struct Goal {
///     #[outbox(entity_id)]
///     id: i64,
///     #[outbox(user_id)]
///     user_id: String,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let hangs = HandlerSet::new().with(|_: Event<Goal>| std::future::pending());
/// let goal = Goal { id: 7, user_id: "user-1".into() };
/// let short = Duration::from_millis(20);
/// let performed =
///     perform_with(|it| it.timeout(short).charge(Charge::Always), hangs, &goal).await?;
/// assert_eq!(performed.answer, HandlerAnswer::TimedOut);
/// assert_eq!(performed.event.attempt_count, 1);
/// # Ok(())
/// # }
/// ```
pub async fn perform_with(
    settings: impl FnOnce(ProcessorBuilder) -> ProcessorBuilder,
    handler: impl OutboxEventHandler,
    change: impl Change,
) -> Result<Performed, KitError> {
    let event = change.into_enqueue().into_event()?;
    if !handler.can_handle(event.event_type()) {
        let event_type = event.event_type().to_owned();
        return Err(KitError::NoHandler { event_type });
    }
    let store = MemoryStore::new();
    let attempts = watch::Sender::new(0);
    let answer = Arc::new(Mutex::new(None));
    let once = Once {
        handler: Arc::new(handler),
        attempts: attempts.clone(),
        answer: Arc::clone(&answer),
    };
    let builder = Processor::builder(store.clone()).handler(once);
    let builder = builder.stop_deadline(Duration::ZERO);
    let processor = settings(builder).build()?;
    let event = store.create_event(event).await?;
    let running = processor.start(event.user_id.as_str());
    let recorded = recorded(&store, event.id, attempts.subscribe());
    let is_recorded = tokio::select! {
        recorded = recorded => recorded.map(|()| true),
        () = clock::pause(PATIENCE) => Ok(false),
    };
    // A second attempt that has begun is given back, which restores what the first one left.
    running.stop_unless(std::future::ready(())).await?;
    if !is_recorded? {
        return Err(KitError::NoEnd { after: PATIENCE });
    }
    let answer = locked(&answer).take();
    Ok(Performed {
        answer: answer.unwrap_or(HandlerAnswer::TimedOut),
        event: store.fetch_event(event.id).await?.unwrap_or(event),
    })
}

/// Waits until the first attempt is over and its outcome is recorded.
async fn recorded(
    store: &MemoryStore,
    id: Uuid,
    mut attempts: watch::Receiver<u32>,
) -> Result<(), KitError> {
    /// The end of the first attempt, and the begin of another.
    const ENDED: u32 = 1;
    // The sender lives as long as the run.
    let _ = attempts.wait_for(|count| *count >= ENDED).await;
    let mut pause = FIRST_PAUSE;
    loop {
        let event = store.fetch_event(id).await?;
        if event.is_none_or(|event| event.status != OutboxStatus::Processing) {
            return Ok(());
        }
        tokio::select! {
            _ = attempts.wait_for(|count| *count > ENDED) => return Ok(()),
            () = clock::pause(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
        }
    }
}

/// What [`perform`] makes an attempt at: an entity, which means its creation, or a change of one.
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use outbox_testing::Change;
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "goal")]
/// struct Goal {
///     #[outbox(entity_id)]
///     id: i64,
///     #[outbox(user_id)]
///     user_id: String,
/// }
///
/// # fn main() -> Result<(), EnqueueError> {
/// let goal = Goal { id: 7, user_id: "user-1".into() };
/// let event = (&goal).into_enqueue().into_event()?;
/// assert_eq!(event.operation(), Operation::Create);
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no change of an entity",
    label = "neither a reference to an entity nor a change of one",
    note = "pass `&mood` for its creation, or a change: `mood.enqueue_update()`"
)]
pub trait Change {
    /// The change.
    fn into_enqueue(self) -> Enqueue;
}

#[diagnostic::do_not_recommend]
impl<E: OutboxEntity> Change for &E {
    fn into_enqueue(self) -> Enqueue {
        Enqueue::new(self, Operation::Create)
    }
}

impl Change for Enqueue {
    fn into_enqueue(self) -> Enqueue {
        self
    }
}

/// The result of [`perform`].
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use outbox_runtime::HandlerSet;
/// use outbox_testing::{Performed, perform};
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "goal", charge = "always")]
/// struct Goal {
///     #[outbox(entity_id)]
///     id: i64,
///     #[outbox(user_id)]
///     user_id: String,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let fails = HandlerSet::new().with(|_: Event<Goal>| async { Err(HandlerError::retry("HTTP 500")) });
/// let goal = Goal { id: 7, user_id: "user-1".into() };
/// let performed: Performed = perform(fails, &goal).await?;
/// assert!(performed.is_retried() && !performed.is_delivered() && !performed.is_dead());
/// assert_eq!(performed.message(), Some("HTTP 500"));
/// assert_eq!(performed.event.attempt_count, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Performed {
    /// What the handler did.
    pub answer: HandlerAnswer,
    /// The event as the processor left it: its status, its next attempt, and the recorded refusal.
    pub event: OutboxEvent,
}

/// What a handler did in an attempt.
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use outbox_runtime::HandlerSet;
/// use outbox_testing::{HandlerAnswer, perform};
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "goal")]
/// struct Goal {
///     #[outbox(entity_id)]
///     id: i64,
///     #[outbox(user_id)]
///     user_id: String,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let panics = HandlerSet::new().with(|event: Event<Goal>| async move {
///     assert_eq!(event.entity_id, 8.into());
///     Ok(())
/// });
/// let goal = Goal { id: 7, user_id: "user-1".into() };
/// assert_eq!(perform(panics, &goal).await?.answer, HandlerAnswer::Panicked);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandlerAnswer {
    /// It returned `Ok`.
    Ok,
    /// It returned an error that asks for this.
    Error {
        /// The reaction that it asks for.
        delivery: Delivery,
        /// The scope of the answer.
        scope: Scope,
    },
    /// It did not answer within its time limit.
    TimedOut,
    /// It panicked.
    Panicked,
}

impl Performed {
    /// Whether the event counts as delivered: the handler succeeded, or answered that the event is
    /// [obsolete](HandlerError::obsolete).
    #[must_use]
    pub fn is_delivered(&self) -> bool {
        self.event.status == OutboxStatus::Completed
    }

    /// Whether the event is a dead letter.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.event.status == OutboxStatus::Dead
    }

    /// Whether the event is attempted again.
    #[must_use]
    pub fn is_retried(&self) -> bool {
        self.event.should_process()
    }

    /// The recorded message, from which the values of sensitive fields are removed. `None` if the
    /// event was delivered or snoozed.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        let refusal = self.event.last_refusal.as_ref();
        let refusal = refusal.map(|refusal| refusal.message.as_str());
        self.event.error_message.as_deref().or(refusal)
    }
}

/// Passes the first attempt on, and keeps later ones waiting until the run is stopped.
struct Once {
    handler: Arc<dyn OutboxEventHandler>,
    /// Counts the end of the first attempt and the begin of each other.
    attempts: watch::Sender<u32>,
    answer: Arc<Mutex<Option<HandlerAnswer>>>,
}

#[async_trait]
impl OutboxEventHandler for Once {
    fn can_handle(&self, event_type: &str) -> bool {
        self.handler.can_handle(event_type)
    }

    async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError> {
        if locked(&self.answer).is_some() {
            self.attempts.send_modify(|count| *count += 1);
            return std::future::pending().await;
        }
        // Dropped by its time limit or by a panic, unless the handler answers.
        let mut end = End {
            once: self,
            answer: None,
        };
        let answer = self.handler.handle(event).await;
        end.answer = Some(match &answer {
            Ok(()) => HandlerAnswer::Ok,
            Err(error) => HandlerAnswer::Error {
                delivery: error.delivery(),
                scope: error.scope().clone(),
            },
        });
        answer
    }

    fn entities(&self) -> Vec<EntityOptions> {
        self.handler.entities()
    }

    fn retired(&self) -> Vec<Retired> {
        self.handler.retired()
    }

    fn redact(&self, event: &OutboxEvent, text: String) -> String {
        self.handler.redact(event, text)
    }
}

/// Notes how the first attempt ended.
struct End<'o> {
    once: &'o Once,
    answer: Option<HandlerAnswer>,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        let unanswered = || match std::thread::panicking() {
            true => HandlerAnswer::Panicked,
            false => HandlerAnswer::TimedOut,
        };
        let answer = self.answer.take().unwrap_or_else(unanswered);
        *locked(&self.once.answer) = Some(answer);
        self.once.attempts.send_modify(|count| *count += 1);
    }
}

fn locked(answer: &Mutex<Option<HandlerAnswer>>) -> MutexGuard<'_, Option<HandlerAnswer>> {
    // A value is replaced as a whole, so a panic leaves none half-changed.
    answer.lock().unwrap_or_else(PoisonError::into_inner)
}
