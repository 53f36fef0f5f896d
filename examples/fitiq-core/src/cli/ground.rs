//! What every command stands on: the app's database, the session, the client.

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
    // Each app names its own default and variable: two apps in one file would not know each other's events.
    #[arg(long, value_name = "FILE", global = true, default_value = "app.db")]
    pub db: PathBuf,

    /// Where the service is
    #[arg(
        long,
        value_name = "URL",
        global = true,
        default_value = "http://127.0.0.1:8080",
        env = "FITIQ_SERVER"
    )]
    pub server: ServiceUrl,

    /// The key that the service knows the app by
    #[arg(
        long,
        value_name = "KEY",
        global = true,
        default_value = "loopback",
        env = "FITIQ_API_KEY",
        hide_env_values = true
    )]
    pub api_key: String,

    /// Make no more calls a second than this, of our own accord
    #[arg(long, value_name = "N", global = true)]
    pub pace: Option<NonZeroU32>,

    /// How many calls may be under way at the same time
    #[arg(long, value_name = "N", global = true, default_value_t = 3)]
    pub concurrency: usize,
}

/// An app's store, session and client, put together once and passed on.
#[derive(Debug, Clone)]
pub struct Ground {
    store: SqliteStore,
    session: Arc<Session>,
    api: Arc<Api>,
    concurrency: usize,
}

impl Settings {
    /// Settings of a program that is no command line, such as a test.
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

    /// Opens the database, making it where it is not there.
    ///
    /// # Errors
    ///
    /// Where the database, the session in it or the client cannot be opened; the text says which.
    pub async fn open(&self) -> anyhow::Result<Ground> {
        let store = SqliteStore::open(&self.db).await?;
        self.open_on(store).await
    }

    /// The same on a store that was opened with settings of its own.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
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

    /// No more calls under way than the pace needs, with calls of a fifth of a second: the others would only compete for turns,
    /// and the most urgent one could lose.
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

    /// Who is signed in.
    #[must_use]
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// The client, for the app's handlers.
    #[must_use]
    pub fn api(&self) -> &Arc<Api> {
        &self.api
    }

    /// Who is signed in, for commands that are about somebody.
    ///
    /// # Errors
    ///
    /// Where nobody is.
    pub fn user(&self) -> anyhow::Result<UserId> {
        self.session
            .user()
            .context("nobody is signed in; `sign-in --email .. --password ..` first")
    }

    /// A processor of this app's events, whose refused credentials the session refreshes.
    ///
    /// # Errors
    ///
    /// [`BuildError`], naming what contradicts what.
    pub fn processor(&self, handlers: HandlerSet) -> Result<Processor, BuildError> {
        self.processor_builder(handlers).build()
    }

    /// The same, with more to be said about it.
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
