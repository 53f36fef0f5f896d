//! Opening an outbox: a SQLite file, or a schema of a PostgreSQL database.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outbox_operate::Outbox;
use outbox_postgres::tokio_postgres::Config;
use outbox_postgres::tokio_postgres::config::SslMode;
use outbox_postgres::{PostgresStore, PostgresStoreBuilder};
use outbox_runtime::store::BatchSink;
use outbox_runtime::{EnqueueError, NewEvent, OutboxRepository, SqliteStore, StoreError};

use crate::args::Target;
use crate::failure::Failure;

/// The name of the command's connections in `pg_stat_activity`.
const APPLICATION: &str = "outbox command";

/// How much a command may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    ReadOnly,
    Write,
    /// Creates or migrates the tables.
    Migrate,
}

/// Where an outbox is.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    File(PathBuf),
    Server { config: Box<Config>, schema: String },
}

/// An open outbox.
#[derive(Debug, Clone)]
pub(crate) enum Database {
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
}

impl Place {
    pub(crate) fn of(target: &Target) -> Result<Self, Failure> {
        let Some(db) = &target.db else {
            return Err(Failure::new(
                "no outbox is named; use --db FILE or --db URL, or set OUTBOX_DB",
            ));
        };
        let text = db.to_str().unwrap_or_default();
        let is_url = text.starts_with("postgres://") || text.starts_with("postgresql://");
        let is_settings = text.contains("dbname=") || text.contains("host=");
        let is_server = is_url || is_settings && !db.exists();
        // The error quotes no part of the text, which may hold a password.
        let unknown =
            || Failure::new("the address cannot be parsed; use postgres://user@host/database");
        if !is_server {
            return match text.contains("://") && !db.exists() {
                true => Err(unknown()),
                false => Ok(Self::File(db.clone())),
            };
        }
        let config: Config = text.parse().map_err(|_| unknown())?;
        Ok(Self::Server {
            config: Box::new(config),
            schema: target.schema.clone(),
        })
    }

    /// The place in words, without a password.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Server { config, schema } => {
                let database = config.get_dbname().unwrap_or("(default database)");
                format!("{database}, schema {schema}")
            }
        }
    }

    /// The outbox in the commands that mend it.
    pub(crate) fn outbox(&self) -> Outbox {
        match self {
            Self::File(path) => Outbox::File(path.clone()),
            Self::Server { schema, .. } => Outbox::Schema(schema.clone()),
        }
    }

    pub(crate) async fn open(&self, access: Access) -> Result<Database, Failure> {
        Ok(self.try_open(access).await??)
    }

    /// Opens the outbox; an error of the store is told apart from a path that cannot be one.
    pub(crate) async fn try_open(
        &self,
        access: Access,
    ) -> Result<Result<Database, StoreError>, Failure> {
        match self {
            Self::File(path) => {
                check(path, access)?;
                let builder = SqliteStore::builder(path);
                let builder = match access {
                    Access::ReadOnly => builder.read_only(),
                    Access::Write => builder.migrate(false),
                    Access::Migrate => builder,
                };
                Ok(builder.open().await.map(Database::Sqlite))
            }
            Self::Server { config, schema } => {
                let builder = encrypted(builder(schema), config)?;
                let builder = match access {
                    Access::ReadOnly => builder.read_only(),
                    Access::Write => builder.migrate(false),
                    Access::Migrate => builder,
                };
                let store = builder.connect_with((**config).clone()).await;
                Ok(store.map(Database::Postgres))
            }
        }
    }
}

fn check(path: &Path, access: Access) -> Result<(), Failure> {
    let name = path.display();
    match std::fs::metadata(path) {
        Ok(file) if file.is_dir() => Err(Failure::new(format!(
            "{name}: this is a folder, not a file"
        ))),
        Err(error) if error.kind() == ErrorKind::NotFound && access != Access::Migrate => {
            Err(Failure::new(format!("{name}: there is no such file")))
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Err(Failure::new(format!("{name}: permission denied")))
        }
        _ => Ok(()),
    }
}

/// Sets up TLS where the address asks for it. Without `sslmode=require` the connection is plain, as
/// the certificate of a server that merely offers TLS is often one that nobody trusts.
fn encrypted(
    builder: PostgresStoreBuilder,
    config: &Config,
) -> Result<PostgresStoreBuilder, Failure> {
    if config.get_ssl_mode() != SslMode::Require {
        return Ok(builder);
    }
    #[cfg(feature = "tls")]
    return Ok(builder.tls(outbox_postgres::tls::rustls(crate::tls::settings()?)));
    #[cfg(not(feature = "tls"))]
    Err(Failure::new(
        "the address asks for TLS, and this command was built without its feature `tls`",
    ))
}

fn builder(schema: &str) -> PostgresStoreBuilder {
    PostgresStore::builder()
        .schema(schema)
        .pool_size(2)
        .application_name(APPLICATION)
        .wake_ups(false)
}

impl Database {
    pub(crate) fn store(&self) -> Arc<dyn OutboxRepository> {
        match self {
            Self::Sqlite(store) => Arc::new(store.clone()),
            Self::Postgres(store) => Arc::new(store.clone()),
        }
    }

    /// Enqueues all of these events or none, and returns how many of them were new.
    pub(crate) async fn enqueue(&self, events: Vec<NewEvent>) -> Result<u64, EnqueueError> {
        let events = events.into_iter().map(Ok);
        let enqueued = match self {
            Self::Sqlite(store) => store.enqueue_all(events).await?,
            Self::Postgres(store) => store.enqueue_all(events).await?,
        };
        let is_new = |one: &&outbox_runtime::Enqueued| {
            !matches!(one, outbox_runtime::Enqueued::AlreadyThere(_))
        };
        Ok(enqueued.iter().filter(is_new).count() as u64)
    }

    /// Closes the files. Does nothing for a server.
    pub(crate) async fn close(&self) {
        if let Self::Sqlite(store) = self {
            store.close().await;
        }
    }
}
