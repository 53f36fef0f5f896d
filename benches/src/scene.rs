//! Databases to measure on. Each is a file in its own directory, and is removed with it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::Connection;
use outbox_runtime::{Durability, OutboxRepository};
use tempfile::TempDir;

use crate::drain::drain;
use crate::entity::MoodEntry;
use crate::floor;

/// The directory of all databases of a run.
#[derive(Debug)]
pub(crate) struct Scenes {
    folder: TempDir,
    made: AtomicUsize,
}

/// One database.
#[derive(Debug)]
pub(crate) struct Scene(PathBuf);

/// Content of a database before the measurement.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Content {
    pub(crate) pending: usize,
    pub(crate) completed: usize,
    /// Pending events per entity; 0 counts as 1.
    pub(crate) per_entity: usize,
}

impl Content {
    /// This many pending events, each of its own entity, and nothing else.
    pub(crate) fn pending(pending: usize) -> Self {
        Self {
            pending,
            completed: 0,
            per_entity: 1,
        }
    }
}

/// Handlers that complete events in preparation.
const HANDLERS: usize = 16;
/// Events per transaction when filling a database.
const FILLED_AT_ONCE: usize = 20_000;

impl Scenes {
    pub(crate) fn new(folder: Option<&Path>) -> anyhow::Result<Self> {
        let folder = match folder {
            Some(folder) => tempfile::tempdir_in(folder),
            None => tempfile::tempdir(),
        };
        Ok(Self {
            folder: folder.context("cannot create the directory for the databases")?,
            made: AtomicUsize::new(0),
        })
    }

    fn place(&self) -> anyhow::Result<Scene> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.path().join(number.to_string());
        std::fs::create_dir(&folder)?;
        Ok(Scene(folder.join("outbox.db")))
    }

    /// A database with the outbox tables and no rows.
    pub(crate) async fn empty(&self) -> anyhow::Result<Scene> {
        let scene = self.place()?;
        SqliteStore::open(scene.path()).await?.close().await;
        Ok(scene)
    }

    /// A database with rows that were enqueued and delivered as an application does it.
    pub(crate) async fn with(&self, content: Content) -> anyhow::Result<Scene> {
        let scene = self.empty().await?;
        if content.completed > 0 {
            fill(&scene, content.completed, 1)?;
            // Setup is not measured, and its data can be made again.
            let store = SqliteStore::builder(scene.path()).durability(Durability::Normal);
            let store = store.open().await?;
            drain(&store, content.completed, HANDLERS).await?;
            store.close().await;
        }
        fill(&scene, content.pending, content.per_entity.max(1))?;
        scene.synchronise()?;
        Ok(scene)
    }

    /// A file of the floor's with as many rows.
    pub(crate) fn floor_with(&self, content: Content) -> anyhow::Result<Scene> {
        let scene = self.place()?;
        floor::fill(scene.path(), content.completed, content.pending)?;
        scene.synchronise()?;
        Ok(scene)
    }

    /// An empty file of the floor's.
    pub(crate) fn floor_empty(&self) -> anyhow::Result<Scene> {
        self.floor_with(Content::default())
    }

    /// A copy of the database, to be used up.
    pub(crate) fn copy(&self, template: &Scene) -> anyhow::Result<Scene> {
        let scene = self.place()?;
        std::fs::copy(template.path(), scene.path())?;
        scene.synchronise()?;
        Ok(scene)
    }
}

fn fill(scene: &Scene, count: usize, per_entity: usize) -> anyhow::Result<()> {
    let mut conn = scene.connect()?;
    conn.execute_batch("PRAGMA synchronous = OFF")?;
    let mut number = 0;
    while number < count {
        let tx = conn.transaction()?;
        for _ in 0..(FILLED_AT_ONCE / per_entity).max(1) {
            let mood = MoodEntry::new(number);
            for _ in 0..per_entity.min(count - number) {
                mood.enqueue_sync().on(&tx)?;
                number += 1;
            }
        }
        tx.commit()?;
    }
    conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok(())
}

impl Scene {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A connection of the application.
    pub(crate) fn connect(&self) -> anyhow::Result<Connection> {
        Ok(Connection::open(&self.0)?)
    }

    /// Writes everything back, so that no measurement pays for the setup.
    fn synchronise(&self) -> anyhow::Result<()> {
        std::fs::File::open(&self.0)?.sync_all()?;
        Ok(())
    }
}

/// Numbers of undelivered and of completed events in a store: measurements check with it that their
/// work was done.
pub(crate) async fn counts(store: &SqliteStore) -> anyhow::Result<(usize, usize)> {
    let statistics = store.statistics(None).await?;
    let (total, completed) = (statistics.total_events, statistics.completed_count);
    Ok((
        usize::try_from(total.saturating_sub(completed))?,
        usize::try_from(completed)?,
    ))
}

impl Drop for Scene {
    fn drop(&mut self) {
        // Leftovers are removed with the surrounding directory.
        if let Some(folder) = self.0.parent() {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}
