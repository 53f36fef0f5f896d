//! The command line: assembles the app from the arguments and runs a command.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Parser, Subcommand};
use fitiq_core::cli::{
    Ground, Settings, SignIn, SignOutArguments, SyncArguments, Synced, existing_file, explain, say,
    sign_in, sign_out, status, sync,
};
use outbox_runtime::store::SystemClock;
use outbox_runtime::{Clock as _, Processor};
use uuid::Uuid;

use crate::db::{Repository, count, create_tables};
use crate::entities::{Kind, LumeEvent};
use crate::migrate::migrate;
use crate::sync::{LumeSync, restore};
use crate::{V6Options, make_v6, seed};

mod change; // add, edit, delete

/// The owner of entries written before the first sign-in. They then go to the first account.
pub const BEFORE_AN_ACCOUNT: &str = "this-device";

const LEASE: Duration = Duration::from_secs(6);
const TIMEOUT: Duration = Duration::from_secs(5);

/// A mood journal that works offline.
#[derive(Debug, Parser)]
#[command(name = "lume", version, mut_arg("db", |db| db.default_value("lume.db").env("LUME_DB")))]
pub struct Cli {
    #[command(flatten)]
    settings: Settings,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write generated data
    Seed {
        /// The number of days, until now
        #[arg(long, value_name = "N", default_value_t = 30)]
        days: u32,
        /// The seed; the same number makes the same data
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Add an entity
    #[command(subcommand)]
    Add(change::Add),
    /// Change an entity
    #[command(subcommand)]
    Edit(change::Edit),
    /// Delete an entity
    Delete(change::Delete),
    /// Sign in; earlier entries go to this account
    SignIn(SignIn),
    /// Sign out, and decide about undelivered events
    SignOut(SignOutArguments),
    /// Deliver until Ctrl-C
    Sync(SyncArguments),
    /// Show what is stored and the status of the outbox
    Status,
    /// Show why an entity is not delivered
    Explain {
        /// The id
        id: Uuid,
    },
    /// Restore from the service
    Restore,
    /// Import the store of version 6
    Migrate {
        /// The old store, which is not changed
        #[arg(long, value_name = "STORE", value_parser = PathBufValueParser::new().try_map(existing_file))]
        from: PathBuf,
        /// Run and verify the import, then roll it back
        #[arg(long)]
        dry_run: bool,
    },
    /// Make a version 6 store, to try `migrate` on
    MakeV6 {
        /// The number of events
        #[arg(long, value_name = "N")]
        rows: usize,
        /// The seed; the same number makes the same store
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// The percentage of flawed events
        #[arg(long, value_name = "PERCENT", default_value_t = 5, value_parser = clap::value_parser!(u8).range(..=100))]
        adversarial: u8,
        /// Leave the last quarter in the `-wal` file, like a running app
        #[arg(long)]
        leave_wal: bool,
        /// The new file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

impl Cli {
    /// Runs the command, and returns whether nothing is left that needs attention.
    ///
    /// # Errors
    ///
    /// A message about the failure.
    pub async fn run(self) -> anyhow::Result<bool> {
        self.command.run(&self.settings).await
    }
}

impl Command {
    async fn run(self, settings: &Settings) -> anyhow::Result<bool> {
        match self {
            Self::MakeV6 {
                rows,
                seed,
                adversarial,
                leave_wal,
                out,
            } => {
                let options = V6Options {
                    adversarial_percent: adversarial,
                    leave_wal,
                    ..V6Options::new(rows, seed)
                };
                let made = tokio::task::spawn_blocking(move || make_v6(&out, &options)).await??;
                say(made);
                Ok(true)
            }
            Self::Migrate { from, dry_run } => {
                let app = App::open(settings).await?;
                let done = take_over(&app, &from, dry_run).await;
                app.ground.store().close().await;
                done
            }
            command => {
                let app = App::open(settings).await?;
                let done = command.run_on(&app).await;
                app.ground.store().close().await;
                done
            }
        }
    }

    async fn run_on(self, app: &App) -> anyhow::Result<bool> {
        let ground = &app.ground;
        match self {
            Self::Seed { days, seed: number } => {
                let user = app.user_id();
                let now = SystemClock.now();
                let seeded = seed::seed(&app.repository, &user, days, number, now).await?;
                say(format_args!(
                    "{} moods, {} journal entries, {} goals, {} messages",
                    seeded.moods, seeded.journals, seeded.goals, seeded.messages
                ));
            }
            Self::Add(add) => say(add.run(&app.repository, &app.user_id()).await?),
            Self::Edit(edit) => edit.run(&app.repository).await?,
            Self::Delete(delete) => delete.run(&app.repository, &app.user_id()).await?,
            Self::SignIn(arguments) => {
                let user = sign_in(ground, &arguments).await?;
                let moved = app
                    .repository
                    .reassign(BEFORE_AN_ACCOUNT, user.as_str())
                    .await?;
                say(format_args!(
                    "signed in as {user}; {moved} entities moved to it"
                ));
            }
            Self::SignOut(arguments) => {
                let left = sign_out(ground, &app.processor()?, &arguments).await?;
                say(format_args!(
                    "signed out; {} undelivered, {} dead, {} exported, {} deleted",
                    left.undelivered, left.dead, left.exported, left.deleted
                ));
            }
            Self::Sync(arguments) => {
                let synced = sync(ground, &app.processor()?, &arguments).await?;
                say(&synced);
                return Ok(!matches!(synced, Synced::Left(_)));
            }
            Self::Status => {
                say(app.stored().await?);
                say(status(ground.store(), None).await?);
            }
            Self::Explain { id } => say(explain(ground.store(), &id.into(), None).await?),
            Self::Restore => {
                let restored = restore(ground.api(), ground.store(), &ground.user()?).await?;
                say(format_args!(
                    "{} added, {} updated, {} kept as changed here, {} left deleted",
                    restored.added, restored.updated, restored.kept, restored.deleted
                ));
            }
            Self::MakeV6 { .. } | Self::Migrate { .. } => {}
        }
        Ok(true)
    }
}

/// Migrates, and enqueues entities that the old app lost track of. Returns whether every row was
/// imported.
async fn take_over(app: &App, from: &Path, dry_run: bool) -> anyhow::Result<bool> {
    let report = migrate(app.ground.store(), from, dry_run)
        .await
        .context("the old store was not imported, and is unchanged")?;
    say(&report);
    if !dry_run {
        let swept = app.repository.sweep().await?;
        say(format_args!(
            "{swept} entities without an event were enqueued"
        ));
    }
    Ok(report.rejected() == 0)
}

/// The assembled app.
#[derive(Debug)]
pub struct App {
    /// The store, the session and the client.
    pub ground: Ground,
    /// The operations of users.
    pub repository: Repository,
}

impl App {
    /// Opens the database, and creates it if missing.
    ///
    /// # Errors
    ///
    /// If the database cannot be opened; the message says why.
    pub async fn open(settings: &Settings) -> anyhow::Result<Self> {
        Self::on(settings.open().await?).await
    }

    /// The same on an existing base.
    ///
    /// # Errors
    ///
    /// If the tables cannot be created.
    pub async fn on(ground: Ground) -> anyhow::Result<Self> {
        ground
            .store()
            .transaction(|tx| Ok(create_tables(tx)?))
            .await?;
        let repository = Repository::new(ground.store().clone());
        Ok(Self { ground, repository })
    }

    /// The handlers.
    #[must_use]
    pub fn sync(&self) -> LumeSync {
        LumeSync::new(self.ground.api().clone(), self.ground.store().clone())
    }

    /// The processor of all of this app's events.
    ///
    /// # Errors
    ///
    /// [`outbox_runtime::BuildError`].
    pub fn processor(&self) -> anyhow::Result<Processor> {
        let handlers = LumeEvent::handled_by(self.sync());
        // A short lease, so that the events of a killed run are claimed again after seconds instead
        // of a minute.
        let builder = self
            .ground
            .processor_builder(handlers)
            .lease(LEASE)
            .timeout(TIMEOUT);
        Ok(builder.build()?)
    }

    /// The writer: the signed-in account, or the owner of the device.
    #[must_use]
    pub fn user_id(&self) -> String {
        let user = self.ground.session().user();
        user.map_or_else(|| BEFORE_AN_ACCOUNT.to_owned(), String::from)
    }

    async fn stored(&self) -> anyhow::Result<String> {
        let counts = self.ground.store().transaction(|tx| {
            let counts = Kind::ALL
                .map(|kind| count(tx, kind).map(|count| format!("{count} {}", kind.as_str())));
            Ok(counts.into_iter().collect::<Result<Vec<_>, _>>()?)
        });
        Ok(format!("stored: {}", counts.await?.join(", ")))
    }
}
