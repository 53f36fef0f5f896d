//! The command line. Everything is put together here, from what the arguments say, and handed on.

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

/// Whose entries are that were written before anybody signed in. They become the account's that signs in first.
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
    /// Write down some days of a life, to have something to look at
    Seed {
        /// How many days, until now
        #[arg(long, value_name = "N", default_value_t = 30)]
        days: u32,
        /// The same number tells the same life
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Add something
    #[command(subcommand)]
    Add(change::Add),
    /// Change something
    #[command(subcommand)]
    Edit(change::Edit),
    /// Delete something
    Delete(change::Delete),
    /// Sign in; what was written before becomes this account's
    SignIn(SignIn),
    /// Sign out, and say what becomes of what is not delivered
    SignOut(SignOutArguments),
    /// Deliver until Ctrl-C
    Sync(SyncArguments),
    /// Show what is stored, and what is in the outbox
    Status,
    /// Show why an entity is not delivered
    Explain {
        /// Which one
        id: Uuid,
    },
    /// Get back what the service has
    Restore,
    /// Take over the store of the sixth version
    Migrate {
        /// The old store; it is not written to
        #[arg(long, value_name = "STORE", value_parser = PathBufValueParser::new().try_map(existing_file))]
        from: PathBuf,
        /// Show what would be, and leave everything as it is
        #[arg(long)]
        dry_run: bool,
    },
    /// Make a store as the sixth version left it, to try `migrate` on
    MakeV6 {
        /// How many events
        #[arg(long, value_name = "N")]
        rows: usize,
        /// The same number makes the same store
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How many of a hundred events have something wrong with them
        #[arg(long, value_name = "PERCENT", default_value_t = 5, value_parser = clap::value_parser!(u8).range(..=100))]
        adversarial: u8,
        /// Leave the last quarter in the `-wal` file, as an app that is still running does
        #[arg(long)]
        leave_wal: bool,
        /// The new file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

impl Cli {
    /// Does what was asked, and tells whether nothing is left that needs somebody.
    ///
    /// # Errors
    ///
    /// Whatever kept it from it, for people.
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
                    "signed in as {user}; {moved} entities are its now"
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

/// Migrates, and enqueues what the old app lost track of. Whether every row could be taken over.
async fn take_over(app: &App, from: &Path, dry_run: bool) -> anyhow::Result<bool> {
    let report = migrate(app.ground.store(), from, dry_run)
        .await
        .context("the old store was not taken over, and is as it was")?;
    say(&report);
    if !dry_run {
        let untold = app.repository.sweep().await?;
        say(format_args!(
            "{untold} entities that no event told of are told of now"
        ));
    }
    Ok(report.rejected() == 0)
}

/// The app, put together.
#[derive(Debug)]
pub struct App {
    /// The store, the session and the client.
    pub ground: Ground,
    /// What users do.
    pub repository: Repository,
}

impl App {
    /// Opens the database, making it where it is not there.
    ///
    /// # Errors
    ///
    /// Where the database cannot be opened; the text says why.
    pub async fn open(settings: &Settings) -> anyhow::Result<Self> {
        Self::on(settings.open().await?).await
    }

    /// The same, on ground that is there.
    ///
    /// # Errors
    ///
    /// Where the tables cannot be made.
    pub async fn on(ground: Ground) -> anyhow::Result<Self> {
        ground
            .store()
            .transaction(|tx| Ok(create_tables(tx)?))
            .await?;
        let repository = Repository::new(ground.store().clone());
        Ok(Self { ground, repository })
    }

    /// What sends to the service.
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
        // Short, so that what a run that was killed had in hand is taken up again after seconds instead of a minute.
        let builder = self
            .ground
            .processor_builder(handlers)
            .lease(LEASE)
            .timeout(TIMEOUT);
        Ok(builder.build()?)
    }

    /// Who writes: the account that is signed in, or whoever holds the device.
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
