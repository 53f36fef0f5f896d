//! The command line.

use std::path::PathBuf;

use anyhow::{Context, bail};
use chrono::NaiveDate;
use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Parser, Subcommand};
use fitiq_core::cli::{self, Settings, SignIn, SignOutArguments, SyncArguments, Synced, say};
use fitiq_core::{LocalId, UserId};
use outbox_runtime::EntityId;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::App;
use crate::entities::{Kind, Record, Visitor};
use crate::repository::{self, Saved};
use crate::seed::Seed;

/// A fitness app on the command line.
#[derive(Debug, Parser)]
#[command(version, mut_arg("db", |db| db.default_value("fitiq.db").env("FITIQ_DB")))]
pub struct Arguments {
    /// The settings.
    #[command(flatten)]
    pub settings: Settings,

    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The command.
#[derive(Debug, Subcommand)]
#[non_exhaustive]
pub enum Command {
    /// Sign in to an account
    SignIn(SignIn),
    /// Sign out, and decide about undelivered events
    SignOut(SignOutArguments),
    /// Write generated data, with all its events, in one transaction
    Seed {
        /// The number of days
        #[arg(long, default_value_t = 365)]
        days: u16,
        /// The last of them
        #[arg(long, default_value = "2025-11-17")]
        until: NaiveDate,
        /// The seed; the same number makes the same data
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Save an entity: `add workout activity_type=running started_at=2025-11-17T18:00:00Z`
    Add {
        /// progress, attribute, activity, profile, physique, sleep, meal, workout or template
        kind: Kind,
        /// Its fields, as FIELD=VALUE; JSON values are recognized
        #[arg(value_parser = field)]
        fields: Vec<(String, Value)>,
    },
    /// Change an entity
    Edit {
        /// The id that `add` printed
        id: Uuid,
        /// The fields that change
        #[arg(required = true, value_parser = field)]
        fields: Vec<(String, Value)>,
    },
    /// Delete an entity
    Delete {
        /// The id that `add` printed
        id: Uuid,
    },
    /// Deliver, until Ctrl-C or once
    Sync(SyncArguments),
    /// Restore the entities that the service has and this device lacks
    Restore,
    /// Show the status of the outbox
    Status,
    /// Show why an entity is not delivered
    Explain {
        /// The id
        id: Uuid,
    },
    /// Import the outbox of the app's older version
    Migrate {
        /// The Core Data store
        #[arg(long, value_name = "STORE", value_parser = PathBufValueParser::new().try_map(cli::existing_file))]
        from: PathBuf,
        /// Run and verify the import, then roll it back
        #[arg(long)]
        dry_run: bool,
    },
}

/// `FIELD=VALUE`.
fn field(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("write FIELD=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((name.to_owned(), value))
}

/// Whether the command is fully done.
///
/// # Errors
///
/// A message about the failure.
pub async fn run(arguments: Arguments) -> anyhow::Result<bool> {
    let app = App::open(arguments.settings.open().await?).await?;
    let done = command(&app, arguments.command).await;
    app.store().close().await;
    done
}

async fn command(app: &App, command: Command) -> anyhow::Result<bool> {
    let ground = app.ground();
    match command {
        Command::SignIn(arguments) => {
            let user = cli::sign_in(ground, &arguments).await?;
            say(format_args!("signed in as {user}"));
        }
        Command::SignOut(arguments) => {
            let left = cli::sign_out(ground, &app.processor()?, &arguments).await?;
            say(format_args!(
                "signed out; {} undelivered and {} dead stay, {} exported, {} deleted",
                left.undelivered, left.dead, left.exported, left.deleted
            ));
        }
        Command::Seed {
            days,
            until,
            seed: number,
        } => {
            let seed = Seed {
                user: ground.user()?,
                days,
                until,
                number,
            };
            say(app.seed(seed).await?);
        }
        Command::Add { kind, fields } => {
            let saved = kind.visit(Add {
                user: ground.user()?,
                fields,
            })?;
            say(app.write(move |conn| saved(conn)).await?);
        }
        Command::Edit { id, fields } => {
            let id = LocalId::from_uuid(id);
            let edit = kind_of(app, id).await?.visit(Change { id, fields });
            app.write(move |conn| edit(conn)).await?;
            say(format_args!("{id} is changed"));
        }
        Command::Delete { id } => {
            let id = LocalId::from_uuid(id);
            let delete = kind_of(app, id).await?.visit(Remove { id });
            app.write(move |conn| delete(conn)).await?;
            say(format_args!("{id} is deleted"));
        }
        Command::Sync(arguments) => {
            let ended = cli::sync(ground, &app.processor()?, &arguments).await?;
            say(&ended);
            return Ok(!matches!(ended, Synced::Left(_)));
        }
        Command::Restore => {
            let restored = app.restore(&ground.user()?).await?;
            say(format_args!(
                "{} restored, {} were here, {} are deleted here",
                restored.restored, restored.known, restored.deleted
            ));
        }
        Command::Status => {
            let user = ground.session().user();
            let user = user.as_ref().map(UserId::as_str);
            say(cli::status(app.store(), user).await?);
        }
        Command::Explain { id } => {
            let id = EntityId::from(id);
            say(cli::explain(app.store(), &id, None).await?);
        }
        Command::Migrate { from, dry_run } => {
            let report = app.migrate(&from, dry_run).await?;
            say(&report);
            return Ok(report.rejected() == 0);
        }
    }
    Ok(true)
}

async fn kind_of(app: &App, id: LocalId) -> anyhow::Result<Kind> {
    let standing = app
        .write(move |conn| Ok(repository::standing(conn, id)?))
        .await?;
    let standing = standing.filter(|standing| !standing.deleted);
    let standing = standing.with_context(|| format!("{id} does not exist"))?;
    Ok(standing.kind.parse()?)
}

/// Work inside a transaction.
type Work<T> = Box<
    dyn FnOnce(&outbox_runtime::rusqlite::Connection) -> Result<T, outbox_runtime::store::BoxError>
        + Send,
>;

/// Saves an entity of the kind from its fields.
struct Add {
    user: UserId,
    fields: Vec<(String, Value)>,
}

impl Visitor for Add {
    type Output = anyhow::Result<Work<String>>;

    fn visit<E: Record>(self) -> Self::Output {
        let mut value: Map<String, Value> = self.fields.into_iter().collect();
        value.insert("id".to_owned(), LocalId::new().to_string().into());
        value.insert("user".to_owned(), self.user.as_str().into());
        let entity: E = record(value)?;
        Ok(Box::new(move |conn| {
            Ok(match repository::save(conn, &entity)? {
                Saved::Created(id) => format!("{id} is saved"),
                Saved::Updated(id) => format!("{id} was there, and is changed"),
                Saved::Unchanged(id) => format!("{id} was there just like that"),
            })
        }))
    }
}

/// Changes fields of an entity of the kind.
struct Change {
    id: LocalId,
    fields: Vec<(String, Value)>,
}

impl Visitor for Change {
    type Output = Work<()>;

    fn visit<E: Record>(self) -> Self::Output {
        Box::new(move |conn| {
            let entity: Option<E> = repository::load(conn, self.id)?;
            let Some(entity) = entity else {
                return Err(repository::ChangeError::Missing {
                    kind: E::KIND,
                    id: self.id,
                }
                .into());
            };
            let Value::Object(mut value) = serde_json::to_value(&entity)? else {
                return Err("an entity must be an object".into());
            };
            value.extend(self.fields);
            repository::edit(conn, &record::<E>(value)?)
        })
    }
}

/// Deletes an entity of the kind.
struct Remove {
    id: LocalId,
}

impl Visitor for Remove {
    type Output = Work<()>;

    fn visit<E: Record>(self) -> Self::Output {
        Box::new(move |conn| repository::delete::<E>(conn, self.id).map(drop))
    }
}

/// Deserializes an entity from typed fields; an unknown field is an error.
fn record<E: Record>(value: Map<String, Value>) -> anyhow::Result<E> {
    let names: Vec<String> = value.keys().cloned().collect();
    let kind = E::KIND.display_name();
    let entity: E = serde_json::from_value(Value::Object(value))
        .with_context(|| format!("not a valid {kind}"))?;
    if let Value::Object(known) = serde_json::to_value(&entity)?
        && let Some(unknown) = names.iter().find(|name| !known.contains_key(*name))
    {
        let known: Vec<&str> = known
            .keys()
            .map(String::as_str)
            .filter(|name| !["id", "user"].contains(name))
            .collect();
        bail!("a {kind} has no {unknown:?}; it has: {}", known.join(", "));
    }
    Ok(entity)
}
