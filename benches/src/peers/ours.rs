//! The store and the floor as contestants.

use std::path::{Path, PathBuf};

use outbox_contest::{Mood, Order, Queue, run};
use outbox_runtime::prelude::*;
use outbox_runtime::{Processor, Running, enqueue_all};

use crate::entity::{MoodEntry, Row, mood};
use crate::floor::{self, Floor};
use crate::scene::counts;

/// A contestant in this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Who {
    Ours,
    Floor,
}

/// Runs an order and prints its figures.
pub(crate) async fn run_contestant(who: Who, order: &Order) -> anyhow::Result<()> {
    let figures = match who {
        Who::Ours => run::<Ours>(order).await?,
        Who::Floor => run::<Bare>(order).await?,
    };
    println!("{}", figures.to_json()?);
    Ok(())
}

/// The store with its default settings, and a processor of which only `max_concurrency` is set.
struct Ours {
    store: SqliteStore,
    handlers: usize,
}

impl Queue for Ours {
    type Event = MoodEntry;
    type Handlers = Running;

    fn event(mood: Mood) -> MoodEntry {
        MoodEntry::from(mood)
    }

    async fn open(folder: &Path, handlers: usize) -> anyhow::Result<Self> {
        let store = SqliteStore::open(folder.join("outbox.db")).await?;
        Ok(Self { store, handlers })
    }

    async fn enqueue(&self, event: MoodEntry) -> anyhow::Result<()> {
        event.enqueue_sync().on(&self.store).await?;
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
        let (pending, _) = counts(&self.store).await?;
        Ok(pending)
    }

    async fn close(self) -> anyhow::Result<()> {
        self.store.close().await;
        Ok(())
    }
}

/// The floor.
struct Bare {
    floor: Floor,
    file: PathBuf,
    handlers: usize,
}

impl Queue for Bare {
    type Event = MoodEntry;
    type Handlers = ();

    fn event(mood: Mood) -> MoodEntry {
        MoodEntry::from(mood)
    }

    async fn open(folder: &Path, handlers: usize) -> anyhow::Result<Self> {
        let file = folder.join("floor.db");
        Ok(Self {
            floor: Floor::open(&file)?,
            file,
            handlers,
        })
    }

    async fn enqueue(&self, event: MoodEntry) -> anyhow::Result<()> {
        self.floor.insert(vec![Row::of(&event)?]).await
    }

    async fn enqueue_all(&self, events: Vec<MoodEntry>) -> anyhow::Result<()> {
        let rows = events.iter().map(Row::of).collect::<anyhow::Result<_>>()?;
        self.floor.insert(rows).await
    }

    async fn work(
        &self,
        handle: impl Fn(Mood) + Clone + Send + Sync + 'static,
    ) -> anyhow::Result<()> {
        self.floor.work(self.handlers, move |event| {
            if let Some(mood) = event.mood() {
                handle(mood);
            }
            std::future::ready(())
        })
    }

    async fn stop(&self, (): ()) -> anyhow::Result<()> {
        self.floor.stop_work().await
    }

    async fn left(&self) -> anyhow::Result<usize> {
        floor::count(&floor::connect(&self.file)?, false)
    }

    async fn close(self) -> anyhow::Result<()> {
        self.floor.close()
    }
}
