//! A PostgreSQL server for tests, started from what is installed, and stores on it.
//!
//! Each test binary starts one server, with its files in a temporary folder, and ends it; each test
//! has a schema of its own.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use outbox_postgres::tokio_postgres::{Client, Config, NoTls};
use outbox_postgres::{PostgresStore, PostgresStoreBuilder};

pub mod aside; // stores for runtimes without sockets
pub mod chaos; // processes, servers and networks that fail
mod indexes; // which there are, and what scans read of them
mod installation; // where PostgreSQL is
mod server; // the server

pub use self::indexes::{entries_read, index_by_destination, is_indexed};
pub use self::server::{Server, Stop, give_to_server};

/// The settings of connections to the server of this binary.
///
/// Where PostgreSQL is not installed, this prints one line and ends the binary successfully; with
/// `OUTBOX_POSTGRES_REQUIRED` in the environment, it panics instead.
#[must_use]
pub fn config() -> Config {
    Server::shared().config()
}

/// A schema name that no other test has.
#[must_use]
pub fn new_schema() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("t{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// How many random cases a test tries: `OUTBOX_POSTGRES_CASES`, or as many as usual.
#[must_use]
pub fn cases(usual: u32) -> u32 {
    let given = std::env::var("OUTBOX_POSTGRES_CASES").ok();
    given.and_then(|count| count.parse().ok()).unwrap_or(usual)
}

/// A store in a new schema, with its other settings.
///
/// # Panics
///
/// If it cannot be opened.
#[allow(clippy::expect_used, reason = "a failed test panics")]
pub async fn open(
    settings: impl FnOnce(PostgresStoreBuilder) -> PostgresStoreBuilder,
) -> PostgresStore {
    let builder = settings(PostgresStore::builder().schema(new_schema()).pool_size(3));
    let store = builder.connect_with(config()).await;
    store.expect("the test server takes connections")
}

/// A store in this schema, like one of several processes on it.
///
/// # Panics
///
/// If it cannot be opened.
pub async fn open_in(schema: &str) -> PostgresStore {
    open(|builder| builder.schema(schema)).await
}

/// A connection of an application.
///
/// # Panics
///
/// If the server does not take it.
#[allow(clippy::expect_used, reason = "a failed test panics")]
pub async fn connect() -> Client {
    connect_with(&config()).await
}

/// A connection of an application with these settings.
///
/// # Panics
///
/// If the server does not take it.
#[allow(clippy::expect_used, reason = "a failed test panics")]
pub async fn connect_with(config: &Config) -> Client {
    let connected = config.connect(NoTls).await;
    let (client, connection) = connected.expect("the test server takes connections");
    tokio::spawn(async move {
        // An error shows in the statements that it concerns.
        let _ = connection.await;
    });
    client
}

/// Waits for something that must happen, for thirty seconds.
///
/// # Panics
///
/// If it does not happen.
#[allow(
    clippy::disallowed_methods,
    reason = "the bound of a test is in real time"
)]
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(30), future).await {
        Ok(value) => value,
        Err(_) => panic!("not within 30 seconds: {what}"),
    }
}
