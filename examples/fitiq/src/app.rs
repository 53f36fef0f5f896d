//! The app, assembled: its parts are passed in, and its operations are here.

use std::path::Path;

use fitiq_core::cli::Ground;
use fitiq_core::{LocalId, UserId};
use outbox_import::ImportReport;
use outbox_runtime::rusqlite::Connection;
use outbox_runtime::store::BoxError;
use outbox_runtime::{BuildError, OutboxRepository, Processor, SqliteStore, TransactionError};

use crate::entities::Record;
use crate::events::FitiqEvent;
use crate::migrate;
use crate::repository::{self, Saved};
use crate::restore::{self, Restored};
use crate::seed::{Seed, Seeded};
use crate::sync::FitiqSync;

/// The app on its database.
#[derive(Debug, Clone)]
pub struct App {
    ground: Ground,
}

impl App {
    /// Builds on the base of every command, and creates the app's table if missing.
    ///
    /// # Errors
    ///
    /// Database errors.
    pub async fn open(ground: Ground) -> Result<Self, TransactionError> {
        let made = ground
            .store()
            .transaction(|tx| Ok(repository::create_table(tx)?));
        made.await?;
        Ok(Self { ground })
    }

    /// The base.
    #[must_use]
    pub fn ground(&self) -> &Ground {
        &self.ground
    }

    /// The database.
    #[must_use]
    pub fn store(&self) -> &SqliteStore {
        self.ground.store()
    }

    /// The processor of its events.
    ///
    /// # Errors
    ///
    /// [`BuildError`], naming the contradiction.
    pub fn processor(&self) -> Result<Processor, BuildError> {
        let handlers = FitiqEvent::handled_by(FitiqSync::new(&self.ground));
        self.ground.processor(handlers)
    }

    /// Saves an entity and enqueues its event in one transaction.
    ///
    /// # Errors
    ///
    /// Database errors.
    pub async fn save<E: Record>(&self, entity: E) -> Result<Saved, TransactionError> {
        self.write(move |conn| repository::save(conn, &entity))
            .await
    }

    /// Changes an entity likewise.
    ///
    /// # Errors
    ///
    /// [`ChangeError`](repository::ChangeError), and database errors.
    pub async fn edit<E: Record>(&self, entity: E) -> Result<(), TransactionError> {
        self.write(move |conn| repository::edit(conn, &entity))
            .await
    }

    /// Deletes an entity likewise.
    ///
    /// # Errors
    ///
    /// [`ChangeError`](repository::ChangeError), and database errors.
    pub async fn delete<E: Record>(&self, id: LocalId) -> Result<E, TransactionError> {
        self.write(move |conn| repository::delete::<E>(conn, id))
            .await
    }

    /// Reads an entity.
    ///
    /// # Errors
    ///
    /// Database errors.
    pub async fn load<E: Record>(&self, id: LocalId) -> Result<Option<E>, TransactionError> {
        self.write(move |conn| repository::load(conn, id)).await
    }

    /// Writes the seed data with all events in one transaction.
    ///
    /// # Errors
    ///
    /// Database errors, such as the data existing already.
    pub async fn seed(&self, seed: Seed) -> Result<Seeded, TransactionError> {
        self.write(move |conn| seed.write(conn)).await
    }

    /// Imports the outbox of the app's older version.
    ///
    /// # Errors
    ///
    /// [`ImportError`](outbox_import::ImportError). Then nothing was written.
    pub async fn migrate(
        &self,
        store: &Path,
        dry_run: bool,
    ) -> Result<ImportReport, outbox_import::ImportError> {
        migrate::run(self.store(), store, dry_run).await
    }

    /// Restores the entities that the service has and this device lacks.
    ///
    /// # Errors
    ///
    /// Errors of the service and the database.
    pub async fn restore(&self, user: &UserId) -> anyhow::Result<Restored> {
        restore::run(self, user).await
    }

    /// Gives everything of one user, including events, to another: to an account, for a user who
    /// began without one.
    ///
    /// # Errors
    ///
    /// Database errors, and a conflict if a handler has one of the events; call it again then.
    pub async fn reassign(&self, from: &UserId, to: &UserId) -> anyhow::Result<u64> {
        let (rows_of, rows_to) = (from.clone(), to.clone());
        // First, because this may fail: the account may have the same entities already.
        self.write(move |conn| Ok(repository::reassign(conn, &rows_of, &rows_to)?))
            .await?;
        let store = self.store();
        let events = store.reassign_user(from.as_str(), to.as_str()).await?;
        Ok(events)
    }

    /// Runs `work` in one transaction of the app's database.
    ///
    /// # Errors
    ///
    /// The error of `work`, or database errors.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, BoxError> + Send + 'static,
    ) -> Result<T, TransactionError> {
        self.store().transaction(move |tx| work(tx)).await
    }
}
