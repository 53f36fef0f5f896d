//! A run on a store of its own that makes one attempt.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outbox_runtime::__private::clock;
use outbox_runtime::support::{EntityOptions, Retired};
use outbox_runtime::{
    Batch, Batching, HandlerError, MemoryStore, NewEvent, OutboxEvent, OutboxEventHandler,
    OutboxRepository as _, OutboxStatus, Processor, ProcessorBuilder, async_trait,
};
use tokio::sync::watch;
use uuid::Uuid;

use super::error::KitError;
use super::performed::{HandlerAnswer, Performed};

/// How long an attempt may take to begin, and how long to be recorded, by the clock of the machine.
/// In between it has its own time limit, which may be longer.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Makes one attempt at these events: a batch of this size, or one event.
pub(super) async fn attempt(
    settings: impl FnOnce(ProcessorBuilder) -> ProcessorBuilder,
    handler: impl OutboxEventHandler,
    events: Vec<NewEvent>,
    batch: Option<usize>,
) -> Result<Vec<Performed>, KitError> {
    for event in &events {
        if !handler.can_handle(event.event_type()) {
            let event_type = event.event_type().to_owned();
            return Err(KitError::NoHandler { event_type });
        }
    }
    let store = MemoryStore::new();
    let attempts = watch::Sender::new(0);
    let first = Arc::new(Mutex::new(None));
    let once = Once {
        handler: Arc::new(handler),
        batch,
        has_begun: AtomicBool::new(false),
        attempts: attempts.clone(),
        first: Arc::clone(&first),
    };
    let builder = Processor::builder(store.clone()).handler(once);
    let builder = builder.stop_deadline(Duration::ZERO);
    let processor = settings(builder).build()?;
    let mut created = Vec::with_capacity(events.len());
    for event in events {
        created.push(store.create_event(event).await?);
    }
    let Some(user_id) = created.first().map(|event| event.user_id.clone()) else {
        return Ok(Vec::new());
    };
    let running = processor.start(user_id);
    let ids: Vec<Uuid> = created.iter().map(|event| event.id).collect();
    let is_recorded = is_recorded(&store, &ids, attempts.subscribe()).await;
    // A second attempt that has begun is given back, which restores what the first one left.
    running.stop_unless(std::future::ready(())).await?;
    if !is_recorded? {
        return Err(KitError::NoEnd { after: PATIENCE });
    }
    let mut answers = locked(&first).take().unwrap_or_default();
    if batch.is_some() && answers.len() < created.len() {
        return Err(KitError::NotOneBatch {
            events: created.len(),
            first: answers.len(),
        });
    }
    let mut performed = Vec::with_capacity(created.len());
    for event in created {
        performed.push(Performed {
            answer: answers.remove(&event.id).unwrap_or(HandlerAnswer::TimedOut),
            event: store.fetch_event(event.id).await?.unwrap_or(event),
        });
    }
    Ok(performed)
}

/// The begin of the first attempt.
const BEGUN: u32 = 1;
/// The end of the first attempt.
const ENDED: u32 = 2;

/// Waits until the first attempt is over and its outcomes are recorded. Returns whether they are.
async fn is_recorded(
    store: &MemoryStore,
    ids: &[Uuid],
    mut attempts: watch::Receiver<u32>,
) -> Result<bool, KitError> {
    // The sender lives as long as the run.
    tokio::select! {
        _ = attempts.wait_for(|count| *count >= BEGUN) => {}
        () = clock::pause(PATIENCE) => return Ok(false),
    }
    let _ = attempts.wait_for(|count| *count >= ENDED).await;
    tokio::select! {
        recorded = recorded(store, ids, attempts) => recorded.map(|()| true),
        () = clock::pause(PATIENCE) => Ok(false),
    }
}

/// Waits until the outcomes of the first attempt, which is over, are recorded.
async fn recorded(
    store: &MemoryStore,
    ids: &[Uuid],
    mut attempts: watch::Receiver<u32>,
) -> Result<(), KitError> {
    let mut pause = FIRST_PAUSE;
    loop {
        if !is_any_held(store, ids).await? {
            return Ok(());
        }
        tokio::select! {
            _ = attempts.wait_for(|count| *count > ENDED) => return Ok(()),
            () = clock::pause(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
        }
    }
}

async fn is_any_held(store: &MemoryStore, ids: &[Uuid]) -> Result<bool, KitError> {
    for id in ids {
        let event = store.fetch_event(*id).await?;
        if event.is_some_and(|event| event.status == OutboxStatus::Processing) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What the handler did in the first attempt, by event.
type First = HashMap<Uuid, HandlerAnswer>;

/// Passes the first attempt on, and keeps later ones waiting until the run is stopped.
struct Once {
    handler: Arc<dyn OutboxEventHandler>,
    /// How many events are sent as one batch; `None`: each by itself.
    batch: Option<usize>,
    has_begun: AtomicBool,
    /// Counts the begin and the end of the first attempt, and the begin of each other.
    attempts: watch::Sender<u32>,
    first: Arc<Mutex<Option<First>>>,
}

#[async_trait]
impl OutboxEventHandler for Once {
    fn can_handle(&self, event_type: &str) -> bool {
        self.handler.can_handle(event_type)
    }

    async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError> {
        self.wait_unless_first().await;
        let mut end = End::new(self, Batch::new(vec![event.clone()]));
        let answer = self.handler.handle(event).await;
        end.common = Some(HandlerAnswer::of(&answer));
        answer
    }

    fn batching(&self, event_type: &str) -> Option<Batching> {
        let size = self.batch?;
        let own = self.handler.batching(event_type)?;
        // All events are there, so it waits for no more.
        let all = Batching::of(size.min(own.max_events()));
        Some(all.up_to_bytes(own.max_bytes()).in_order(own.order()))
    }

    async fn handle_batch(&self, batch: Batch<OutboxEvent>) -> Result<(), HandlerError> {
        self.wait_unless_first().await;
        let mut end = End::new(self, batch.clone());
        let answer = self.handler.handle_batch(batch).await;
        end.common = Some(HandlerAnswer::of(&answer));
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

impl Once {
    async fn wait_unless_first(&self) {
        let is_first = !self.has_begun.swap(true, Ordering::SeqCst);
        self.attempts.send_modify(|count| *count += 1);
        if !is_first {
            std::future::pending::<()>().await;
        }
    }
}

/// Notes how the first attempt ended: dropped by its time limit or by a panic, unless the handler
/// answers.
struct End<'o> {
    once: &'o Once,
    batch: Batch<OutboxEvent>,
    common: Option<HandlerAnswer>,
}

impl<'o> End<'o> {
    fn new(once: &'o Once, batch: Batch<OutboxEvent>) -> Self {
        Self {
            once,
            batch,
            common: None,
        }
    }
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        let unanswered = || match std::thread::panicking() {
            true => HandlerAnswer::Panicked,
            false => HandlerAnswer::TimedOut,
        };
        let common = self.common.take().unwrap_or_else(unanswered);
        let mut first = First::new();
        let own = self.batch.take_answers();
        for (index, (event, own)) in self.batch.iter().zip(own).enumerate() {
            let answer = own.as_ref().map(HandlerAnswer::of);
            first.insert(event.id, answer.unwrap_or_else(|| common.clone()));
            // The processor reads it as well.
            match own {
                Some(Ok(())) => self.batch.ok(index),
                Some(Err(error)) => self.batch.fail(index, error),
                None => {}
            }
        }
        *locked(&self.once.first) = Some(first);
        self.once.attempts.send_modify(|count| *count += 1);
    }
}

impl HandlerAnswer {
    fn of(answer: &Result<(), HandlerError>) -> Self {
        match answer {
            Ok(()) => Self::Ok,
            Err(error) => Self::Error {
                delivery: error.delivery(),
                scope: error.scope().clone(),
            },
        }
    }
}

fn locked(first: &Mutex<Option<First>>) -> MutexGuard<'_, Option<First>> {
    // A value is replaced as a whole, so a panic leaves none half-changed.
    first.lock().unwrap_or_else(PoisonError::into_inner)
}
