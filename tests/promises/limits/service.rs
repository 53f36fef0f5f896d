//! A service that counts its calls, and stores and time for runs that call it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use outbox_runtime::{Batch, Batching, Clock, HandlerSet, Processor, ProcessorBuilder, prelude::*};
use outbox_testing::ManualClock;

/// An entity that names its destination.
#[derive(Clone, OutboxEntity)]
#[outbox(event_type = "parcel", destination = &self.to)]
pub(super) struct Parcel {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    to: String,
}

pub(super) fn parcel(id: i64, to: &str) -> Parcel {
    parcel_of("u1", id, to)
}

pub(super) fn parcel_of(user_id: &str, id: i64, to: &str) -> Parcel {
    Parcel {
        id,
        user_id: user_id.to_owned(),
        to: to.to_owned(),
    }
}

/// Counts the calls under way at each destination, and remembers when each began.
#[derive(Clone)]
pub(super) struct Service {
    clock: ManualClock,
    takes: Duration,
    state: Arc<Mutex<BTreeMap<Option<String>, Seen>>>,
}

#[derive(Default)]
pub(super) struct Seen {
    pub(super) under_way: usize,
    pub(super) most_under_way: usize,
    pub(super) begins: Vec<DateTime<Utc>>,
    /// The entities, in the order of the calls.
    pub(super) entities: Vec<i64>,
    pub(super) users: Vec<String>,
}

/// A call under way, until it is dropped.
struct UnderWay(Service, Option<String>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.seen(&self.1, |seen| seen.under_way -= 1);
    }
}

impl Service {
    pub(super) fn new(clock: &ManualClock, takes: Duration) -> Self {
        Self {
            clock: clock.clone(),
            takes,
            state: Arc::default(),
        }
    }

    pub(super) fn seen<T>(
        &self,
        destination: &Option<String>,
        read: impl FnOnce(&mut Seen) -> T,
    ) -> T {
        read(
            self.state
                .lock()
                .unwrap()
                .entry(destination.clone())
                .or_default(),
        )
    }

    pub(super) async fn call(&self, events: &[OutboxEvent]) {
        let first = events.first().unwrap();
        let now = self.clock.now();
        self.seen(&first.destination, |seen| {
            seen.under_way += 1;
            seen.most_under_way = seen.most_under_way.max(seen.under_way);
            seen.begins.push(now);
            for event in events {
                seen.entities.push(event.entity_id.as_integer().unwrap());
                seen.users.push(event.user_id.clone());
            }
        });
        let _under_way = UnderWay(self.clone(), first.destination.clone());
        if self.takes.is_zero() {
            tokio::task::yield_now().await;
        } else {
            self.clock.sleep(self.takes).await;
        }
    }

    pub(super) fn handlers<E: OutboxEntity>(&self) -> HandlerSet {
        let service = self.clone();
        HandlerSet::new().with::<E>(move |event| {
            let service = service.clone();
            async move {
                service.call(&[event.into_record()]).await;
                Ok(())
            }
        })
    }

    pub(super) fn batch_handlers<E: OutboxEntity>(&self, batching: Batching) -> HandlerSet {
        let service = self.clone();
        HandlerSet::new().with_batch::<E>(batching, move |batch: Batch<Event<E>>| {
            let service = service.clone();
            async move {
                let events: Vec<OutboxEvent> =
                    batch.iter().map(|event| (**event).clone()).collect();
                service.call(&events).await;
                Ok(())
            }
        })
    }

    pub(super) fn delivered(&self) -> usize {
        let state = self.state.lock().unwrap();
        state.values().map(|seen| seen.entities.len()).sum()
    }

    pub(super) fn most_under_way(&self, destination: &str) -> usize {
        self.seen(&Some(destination.to_owned()), |seen| seen.most_under_way)
    }
}

/// The most calls that began within a period of this length, wherever it starts.
pub(super) fn most_within(begins: &[DateTime<Utc>], period: Duration) -> usize {
    let period = TimeDelta::from_std(period).unwrap();
    let counts = begins.iter().enumerate().map(|(at, first)| {
        let later = begins[at..].iter();
        later.take_while(|begin| **begin - *first < period).count()
    });
    counts.max().unwrap_or(0)
}

/// All tasks are idle; for one thread, where no task waits for another thread.
pub(super) async fn settled() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// A store without threads.
pub(super) fn on_memory<F: Future<Output = ()>>(
    case: impl FnOnce(Arc<dyn OutboxRepository>, ManualClock) -> F,
) {
    let clock = ManualClock::new();
    let store = MemoryStore::with_clock(clock.clone());
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().build().unwrap();
    runtime.block_on(case(Arc::new(store), clock));
}

/// Moves the clock from deadline to deadline until this many events were in calls. For stores
/// without threads.
pub(super) async fn let_time_pass_until(service: &Service, delivered: usize) {
    loop {
        settled().await;
        if service.delivered() >= delivered {
            break;
        }
        let next = service
            .clock
            .next_deadline()
            .expect("the run waits for nothing");
        service.clock.set(next);
    }
}

pub(super) fn build(
    store: &Arc<dyn OutboxRepository>,
    set: HandlerSet,
    configure: impl FnOnce(ProcessorBuilder) -> ProcessorBuilder,
) -> Processor {
    let builder = Processor::builder(Arc::clone(store)).handlers(set);
    configure(builder.max_concurrency(8)).build().unwrap()
}

pub(super) async fn with_status(
    store: &dyn OutboxRepository,
    status: OutboxStatus,
) -> Vec<OutboxEvent> {
    store.fetch_events(status, None, None).await.unwrap()
}
