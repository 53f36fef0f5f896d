//! The base of every command: the app's database, the session, the client.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use outbox_runtime::{BuildError, HandlerSet, Processor, ProcessorBuilder, SqliteStore};

use crate::api::{Api, Pace, Service, ServiceUrl};
use crate::ids::UserId;
use crate::session::Session;

/// Settings of every command.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct Settings {
    /// The app's database: its entities, its outbox and its session
    // Each app has its own default and variable, because two apps on one file would not know each
    // other's events.
    #[arg(long, value_name = "FILE", global = true, default_value = "app.db")]
    pub db: PathBuf,

    /// The address of the service
    #[arg(
        long,
        value_name = "URL",
        global = true,
        default_value = "http://127.0.0.1:8080",
        env = "FITIQ_SERVER"
    )]
    pub server: ServiceUrl,

    /// The API key of the app
    #[arg(
        long,
        value_name = "KEY",
        global = true,
        default_value = "loopback",
        env = "FITIQ_API_KEY",
        hide_env_values = true
    )]
    pub api_key: String,

    /// The most calls per second
    #[arg(long, value_name = "N", global = true)]
    pub pace: Option<NonZeroU32>,

    /// The most calls at the same time
    #[arg(long, value_name = "N", global = true, default_value_t = 3)]
    pub concurrency: usize,
}

/// An app's store, session and client.
#[derive(Debug, Clone)]
pub struct Ground {
    store: SqliteStore,
    session: Arc<Session>,
    api: Arc<Api>,
    concurrency: usize,
}

impl Settings {
    /// Settings of a program without a command line, such as a test.
    #[must_use]
    pub fn new(db: impl Into<PathBuf>, server: ServiceUrl) -> Self {
        Self {
            db: db.into(),
            server,
            api_key: "loopback".to_owned(),
            pace: None,
            concurrency: 3,
        }
    }

    /// Opens the database, and creates it if missing.
    ///
    /// # Errors
    ///
    /// If the database, its session or the client cannot be opened; the message says which.
    pub async fn open(&self) -> anyhow::Result<Ground> {
        let store = SqliteStore::open(&self.db).await?;
        self.open_on(store).await
    }

    /// The same on a store that is already open.
    ///
    /// # Errors
    ///
    /// See [`open`](Self::open).
    pub async fn open_on(&self, store: SqliteStore) -> anyhow::Result<Ground> {
        let service = Service::new(self.server.clone(), &self.api_key)?;
        let session = Arc::new(Session::open(&store, service).await?);
        let api = Api::new(Arc::clone(&session)).with_pace(self.pace.map(Pace::per_second));
        Ok(Ground {
            store,
            session,
            api: Arc::new(api),
            concurrency: self.useful_concurrency(),
        })
    }

    /// Enough concurrent calls for the pace, with calls of a fifth of a second: more would only
    /// compete for turns, and the most urgent event could lose.
    fn useful_concurrency(&self) -> usize {
        let needed = self.pace.map(|pace| pace.get().div_ceil(5));
        let needed = needed.and_then(|needed| usize::try_from(needed).ok());
        needed.map_or(self.concurrency, |needed| needed.min(self.concurrency))
    }
}

impl Ground {
    /// The app's database and its outbox.
    #[must_use]
    pub fn store(&self) -> &SqliteStore {
        &self.store
    }

    /// The signed-in account.
    #[must_use]
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// The client, for the app's handlers.
    #[must_use]
    pub fn api(&self) -> &Arc<Api> {
        &self.api
    }

    /// The signed-in account, for commands that need one.
    ///
    /// # Errors
    ///
    /// If nobody is signed in.
    pub fn user(&self) -> anyhow::Result<UserId> {
        self.session
            .user()
            .context("nobody is signed in; `sign-in --email .. --password ..` first")
    }

    /// A processor of this app's events; the session refreshes refused credentials.
    ///
    /// # Errors
    ///
    /// [`BuildError`], naming the contradiction.
    pub fn processor(&self, handlers: HandlerSet) -> Result<Processor, BuildError> {
        self.processor_builder(handlers).build()
    }

    /// The same, with further settings.
    pub fn processor_builder(&self, handlers: HandlerSet) -> ProcessorBuilder {
        let session = Arc::clone(&self.session);
        Processor::builder(self.store.clone())
            .handlers(handlers)
            .max_concurrency(self.concurrency)
            .on_unauthenticated(move |user| {
                let session = Arc::clone(&session);
                async move { Ok(session.refresh(&user).await?) }
            })
    }
}
