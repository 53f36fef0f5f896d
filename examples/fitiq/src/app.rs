//! The app, put together: what it is made of is passed in, and what it can do is here.

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
    /// On what every command stands on; makes the app's table where it is not there.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn open(ground: Ground) -> Result<Self, TransactionError> {
        let made = ground
            .store()
            .transaction(|tx| Ok(repository::create_table(tx)?));
        made.await?;
        Ok(Self { ground })
    }

    /// What it stands on.
    #[must_use]
    pub fn ground(&self) -> &Ground {
        &self.ground
    }

    /// Its database.
    #[must_use]
    pub fn store(&self) -> &SqliteStore {
        self.ground.store()
    }

    /// What delivers its events.
    ///
    /// # Errors
    ///
    /// [`BuildError`], naming what contradicts what.
    pub fn processor(&self) -> Result<Processor, BuildError> {
        let handlers = FitiqEvent::handled_by(FitiqSync::new(&self.ground));
        self.ground.processor(handlers)
    }

    /// Saves something, and enqueues what that means for the service, in one transaction.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn save<E: Record>(&self, entity: E) -> Result<Saved, TransactionError> {
        self.write(move |conn| repository::save(conn, &entity))
            .await
    }

    /// Changes something, likewise.
    ///
    /// # Errors
    ///
    /// [`ChangeError`](repository::ChangeError), and those of the database.
    pub async fn edit<E: Record>(&self, entity: E) -> Result<(), TransactionError> {
        self.write(move |conn| repository::edit(conn, &entity))
            .await
    }

    /// Deletes something, likewise.
    ///
    /// # Errors
    ///
    /// [`ChangeError`](repository::ChangeError), and those of the database.
    pub async fn delete<E: Record>(&self, id: LocalId) -> Result<E, TransactionError> {
        self.write(move |conn| repository::delete::<E>(conn, id))
            .await
    }

    /// What is there.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn load<E: Record>(&self, id: LocalId) -> Result<Option<E>, TransactionError> {
        self.write(move |conn| repository::load(conn, id)).await
    }

    /// Writes the data of so many days, with all events, in one transaction.
    ///
    /// # Errors
    ///
    /// Those of the database, one of which is that the data is there already.
    pub async fn seed(&self, seed: Seed) -> Result<Seeded, TransactionError> {
        self.write(move |conn| seed.write(conn)).await
    }

    /// Takes over the outbox of the app's older version.
    ///
    /// # Errors
    ///
    /// [`ImportError`](outbox_import::ImportError). Nothing was written then.
    pub async fn migrate(
        &self,
        store: &Path,
        dry_run: bool,
    ) -> Result<ImportReport, outbox_import::ImportError> {
        migrate::run(self.store(), store, dry_run).await
    }

    /// Brings in what the service has and this device does not.
    ///
    /// # Errors
    ///
    /// Those of the service and of the database.
    pub async fn restore(&self, user: &UserId) -> anyhow::Result<Restored> {
        restore::run(self, user).await
    }

    /// Makes everything of one user, events included, that of another: of an account, for one who began without.
    ///
    /// # Errors
    ///
    /// Those of the database, and a conflict where a handler has one of the events; call it again then.
    pub async fn reassign(&self, from: &UserId, to: &UserId) -> anyhow::Result<u64> {
        let (rows_of, rows_to) = (from.clone(), to.clone());
        // First, as this is what may be refused: the account may have the same things already.
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
    /// That of `work`, or those of the database.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, BoxError> + Send + 'static,
    ) -> Result<T, TransactionError> {
        self.store().transaction(move |tx| work(tx)).await
    }
}
