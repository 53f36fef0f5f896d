//! The server of a run, and databases on it that are copied and dropped.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use outbox_postgres::tokio_postgres::config::Host;
use outbox_postgres::tokio_postgres::{Client, Config, NoTls};
use outbox_postgres_tests::Server;

/// A server of this run. It ends with this process.
#[derive(Debug)]
pub(crate) struct Databases {
    server: Server,
    admin: Client,
    made: AtomicUsize,
    /// What makes copies by the file, which is how older versions make all of them.
    strategy: &'static str,
    pub(crate) version: String,
}

/// A database of this run.
#[derive(Debug)]
pub(crate) struct Database {
    name: String,
    config: Config,
}

impl Databases {
    /// Starts a server with these settings beside PostgreSQL's own; `None`, after a line that says
    /// so, where there is no PostgreSQL.
    pub(crate) async fn start(settings: &[&str]) -> anyhow::Result<Option<Self>> {
        let Some(server) = Server::start_with(settings) else {
            eprintln!("skipped: PostgreSQL is not installed (Debian: apt-get install postgresql)");
            return Ok(None);
        };
        let admin = connect(&server.config()).await?;
        let row = admin
            .query_one(
                "SELECT current_setting('server_version_num')::int, current_setting('server_version')",
                &[],
            )
            .await?;
        let number: i32 = row.try_get(0)?;
        let strategy = if number >= 150_000 {
            "STRATEGY file_copy"
        } else {
            ""
        };
        Ok(Some(Self {
            server,
            admin,
            made: AtomicUsize::new(0),
            strategy,
            version: row.try_get(1)?,
        }))
    }

    fn named(&self, name: String) -> Database {
        let mut config = self.server.config();
        config.dbname(&name);
        Database { name, config }
    }

    fn new_name(&self) -> String {
        format!("d{}", self.made.fetch_add(1, Ordering::Relaxed))
    }

    /// An empty database.
    pub(crate) async fn create(&self) -> anyhow::Result<Database> {
        let name = self.new_name();
        let create = format!("CREATE DATABASE {name}");
        self.admin.batch_execute(&create).await?;
        Ok(self.named(name))
    }

    /// A copy of a database that nobody is connected to. Everything is on disk afterward, so no
    /// measurement pays for what came before.
    pub(crate) async fn copy(&self, template: &Database) -> anyhow::Result<Database> {
        let name = self.new_name();
        let create = format!(
            "CREATE DATABASE {name} TEMPLATE {} {}",
            template.name, self.strategy
        );
        self.admin.batch_execute(&create).await?;
        self.admin.batch_execute("CHECKPOINT").await?;
        Ok(self.named(name))
    }

    /// Drops the database, with whoever is still connected.
    pub(crate) async fn drop(&self, database: Database) -> anyhow::Result<()> {
        let drop = format!("DROP DATABASE {} WITH (FORCE)", database.name);
        self.admin.batch_execute(&drop).await?;
        Ok(())
    }
}

/// A connection with these settings.
async fn connect(config: &Config) -> anyhow::Result<Client> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(async move {
        // An error shows in the statements that it concerns.
        let _ = connection.await;
    });
    client
        .batch_execute("SET client_min_messages = warning")
        .await?;
    Ok(client)
}

impl Database {
    /// The settings of connections to it.
    pub(crate) fn config(&self) -> Config {
        self.config.clone()
    }

    /// A connection of an application.
    pub(crate) async fn connect(&self) -> anyhow::Result<Client> {
        connect(&self.config).await
    }

    /// The processor time that the sessions of this database have taken so far, whatever else the
    /// machine does meanwhile. Zero where the system does not tell.
    pub(crate) async fn cpu_time(&self) -> anyhow::Result<Duration> {
        let sql = "SELECT pid FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()
                AND backend_type = 'client backend'";
        let rows = self.connect().await?.query(sql, &[]).await?;
        let mut total = 0;
        for row in &rows {
            let pid: i32 = row.try_get(0)?;
            let told = std::fs::read_to_string(format!("/proc/{pid}/schedstat"));
            let told = told.unwrap_or_default();
            let first = told.split_whitespace().next().unwrap_or_default();
            total += first.parse::<u64>().unwrap_or_default();
        }
        Ok(Duration::from_nanos(total))
    }

    /// Its address, for other processes.
    pub(crate) fn url(&self) -> anyhow::Result<String> {
        let mut url = "postgres://tester@".to_owned();
        let host = self.config.get_hosts().first();
        let Some(Host::Unix(folder)) = host else {
            anyhow::bail!("the server has no socket");
        };
        let folder = folder.to_str().context("its folder is no text")?;
        for byte in folder.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                    url.push(char::from(byte));
                }
                other => write!(url, "%{other:02X}")?,
            }
        }
        let port = self.config.get_ports().first().context("it has no port")?;
        write!(url, ":{port}/{}", self.name)?;
        Ok(url)
    }
}
