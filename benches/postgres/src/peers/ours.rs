//! The store and the floor as contestants.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use outbox_contest::{Mood, Order, Queue, run};
use outbox_postgres::PostgresStore;
use outbox_postgres::tokio_postgres::{Client, Config, NoTls};
use outbox_runtime::{OutboxRepository, Processor, Running, enqueue_all};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::entity::{Claimed, MoodEntry, Row, mood};
use crate::floor::{self, Floor, Steps};

/// A contestant in this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Who {
    /// Each event of a lane of its own.
    Ours,
    /// Five events of each lane.
    OursFive,
    /// A thousand events of each lane.
    OursThousand,
    Floor,
}

/// Runs an order and prints its figures.
pub(crate) async fn run_contestant(who: Who, order: &Order) -> anyhow::Result<()> {
    let figures = match who {
        Who::Ours => run::<Ours<1>>(order).await?,
        Who::OursFive => run::<Ours<5>>(order).await?,
        Who::OursThousand => run::<Ours<1_000>>(order).await?,
        Who::Floor => run::<Bare>(order).await?,
    };
    println!("{}", figures.to_json()?);
    Ok(())
}

/// Lanes that come in turns, until each has its events.
const LANES_AT_A_TIME: usize = 100;

/// The store with its default settings, and a processor of which only `max_concurrency` is set.
struct Ours<const PER_LANE: usize> {
    store: PostgresStore,
    handlers: usize,
}

impl<const PER_LANE: usize> Queue for Ours<PER_LANE> {
    type Event = MoodEntry;
    type Handlers = Running;

    fn event(mood: Mood) -> MoodEntry {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let turn = number / (PER_LANE * LANES_AT_A_TIME);
        let lane = turn * LANES_AT_A_TIME + number % LANES_AT_A_TIME;
        let MoodEntry { id, user_id, .. } = MoodEntry::of_lane(number, lane);
        MoodEntry {
            id,
            user_id,
            ..MoodEntry::from(mood)
        }
    }

    async fn open(address: &Path, handlers: usize) -> anyhow::Result<Self> {
        let address = address.to_str().context("an address is text")?;
        let store = PostgresStore::connect(address).await?;
        Ok(Self { store, handlers })
    }

    async fn enqueue(&self, event: MoodEntry) -> anyhow::Result<()> {
        event.enqueue_update().on(&self.store).await?;
        Ok(())
    }

    async fn enqueue_all(&self, events: Vec<MoodEntry>) -> anyhow::Result<()> {
        enqueue_all(&events).on(&self.store).await?;
        Ok(())
    }

    async fn work(
        &self,
        handle: impl Fn(Mood) + Clone + Send + Sync + 'static,
    ) -> anyhow::Result<Running> {
        let processor = Processor::builder(self.store.clone())
            .handle::<MoodEntry>(move |event| {
                if let Some(mood) = mood(&event) {
                    handle(mood);
                }
                std::future::ready(Ok(()))
            })
            .max_concurrency(self.handlers)
            .build()?;
        Ok(processor.start_all_users())
    }

    async fn stop(&self, running: Running) -> anyhow::Result<()> {
        running.stop().await?;
        Ok(())
    }

    async fn left(&self) -> anyhow::Result<usize> {
        let statistics = self.store.statistics(None).await?;
        let left = statistics.total_events - statistics.completed_count;
        Ok(usize::try_from(left)?)
    }

    async fn close(self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// The floor: single inserts on a pool of connections, one for each producer.
struct Bare {
    address: Config,
    idle: std::sync::Mutex<Vec<Client>>,
    batches: Floor,
    handlers: usize,
    committed: Arc<Notify>,
}

/// A worker of the floor's, and what ends it.
struct Working(JoinHandle<anyhow::Result<()>>, Arc<Notify>);

async fn connect(address: &Config) -> anyhow::Result<Client> {
    let (client, connection) = address.connect(NoTls).await?;
    tokio::spawn(async move {
        // An error shows in the statements that it concerns.
        let _ = connection.await;
    });
    Ok(client)
}

impl Queue for Bare {
    type Event = MoodEntry;
    type Handlers = Working;

    fn event(mood: Mood) -> MoodEntry {
        MoodEntry::from(mood)
    }

    async fn open(address: &Path, handlers: usize) -> anyhow::Result<Self> {
        let address: Config = address.to_str().context("an address is text")?.parse()?;
        let client = connect(&address).await?;
        floor::install(&client).await?;
        Ok(Self {
            idle: std::sync::Mutex::default(),
            batches: Floor::on(client).await?,
            address,
            handlers,
            committed: Arc::default(),
        })
    }

    async fn enqueue(&self, event: MoodEntry) -> anyhow::Result<()> {
        let idle = self.idle.lock().ok().and_then(|mut idle| idle.pop());
        let client = match idle {
            Some(client) => client,
            None => connect(&self.address).await?,
        };
        let row = Row::of(&event)?;
        client
            .execute(
                floor::INSERT,
                &[
                    &row.id,
                    &row.lane,
                    &row.user_id,
                    &row.entity_id,
                    &row.metadata,
                ],
            )
            .await?;
        if let Ok(mut idle) = self.idle.lock() {
            idle.push(client);
        }
        self.committed.notify_one();
        Ok(())
    }

    async fn enqueue_all(&self, events: Vec<MoodEntry>) -> anyhow::Result<()> {
        let rows = events
            .iter()
            .map(Row::of)
            .collect::<anyhow::Result<Vec<_>>>()?;
        self.batches.insert_many(&rows).await?;
        self.committed.notify_one();
        Ok(())
    }

    async fn work(
        &self,
        handle: impl Fn(Mood) + Clone + Send + Sync + 'static,
    ) -> anyhow::Result<Working> {
        let worker = Floor::on(connect(&self.address).await?).await?;
        let committed = Arc::clone(&self.committed);
        let (handlers, stops) = (self.handlers, Arc::new(Notify::new()));
        let stopped = Arc::clone(&stops);
        let work = async move {
            let handle = |claim: &Claimed| {
                if let Some(mood) = claim.mood() {
                    handle(mood);
                }
            };
            loop {
                worker.drain(Steps::Pipelined, handlers, &handle).await?;
                tokio::select! {
                    () = committed.notified() => {}
                    () = stopped.notified() => return Ok(()),
                }
            }
        };
        Ok(Working(tokio::spawn(work), stops))
    }

    async fn stop(&self, working: Working) -> anyhow::Result<()> {
        let Working(task, stops) = working;
        stops.notify_one();
        task.await?
    }

    async fn left(&self) -> anyhow::Result<usize> {
        floor::count(self.batches.client(), false).await
    }

    async fn close(self) -> anyhow::Result<()> {
        Ok(())
    }
}
