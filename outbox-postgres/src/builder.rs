//! Opening a store, and its settings.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Pool, QueueMode, RecyclingMethod, Runtime,
};
use outbox_runtime::{Clock, StoreError, StoreErrorKind};
use tokio_postgres::{Config, NoTls};

use crate::connect::{Connector, Durability, settings};
use crate::fault::fault;
use crate::migrate;
use crate::name::SchemaName;
use crate::sequence;
use crate::store::PostgresStore;

/// How long a connection may take, and how long a call waits for a free one.
const PATIENCE: Duration = Duration::from_secs(30);

/// The settings of a [`PostgresStore`]; made by [`PostgresStore::builder`].
///
/// The guide: [the server](https://docs.rs/outbox-guide/latest/outbox_guide/postgresql_server/).
///
/// # Examples
///
/// Every setting that has a value, with its default. (A server is needed, so it is only compiled.)
///
/// ```no_run
/// use outbox_postgres::{Durability, PostgresStore};
///
/// # async fn open() -> Result<(), outbox_runtime::StoreError> {
/// let store = PostgresStore::builder()
///     .schema("outbox")
///     .pool_size(4)
///     .application_name("outbox")
///     .durability(Durability::AsConfigured)
///     .wake_ups(true)
///     .migrate(true)
///     .connect("postgres://app@localhost/shop")
///     .await?;
/// # drop(store);
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is opened until you call `.connect(..)`"]
pub struct PostgresStoreBuilder {
    pub(crate) schema: String,
    pool_size: usize,
    application_name: String,
    durability: Durability,
    connector: Connector,
    wakes: bool,
    migrates: bool,
    pub(crate) keeps_deliveries: bool,
    reads_only: bool,
    pub(crate) clock: Option<Arc<dyn Clock>>,
    pub(crate) listen_on: Option<Config>,
}

impl PostgresStoreBuilder {
    pub(crate) fn new() -> Self {
        Self {
            schema: SchemaName::DEFAULT.to_owned(),
            pool_size: 4,
            application_name: "outbox".to_owned(),
            durability: Durability::default(),
            connector: Connector::new(NoTls),
            wakes: true,
            migrates: true,
            keeps_deliveries: false,
            reads_only: false,
            clock: None,
            listen_on: None,
        }
    }

    /// Sets the schema that holds the outbox: 1 to 40 lowercase letters, digits and underscores.
    /// Default: `outbox`.
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = schema.into();
        self
    }

    /// Sets the number of connections, besides one to listen on. Default: 4, of which a processor
    /// uses one or two and the producers of the store one.
    pub fn pool_size(mut self, connections: usize) -> Self {
        self.pool_size = connections.max(1);
        self
    }

    /// Sets the name under which the connections appear in `pg_stat_activity`. Default: `outbox`.
    pub fn application_name(mut self, name: impl Into<String>) -> Self {
        self.application_name = name.into();
        self
    }

    /// Sets whether the store's own commits wait for the disk. Default: as the server is
    /// configured.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Connects with this TLS connector, such as `postgres_native_tls::MakeTlsConnector` or, with
    /// the feature `rustls`, [`tls::rustls`](fn@crate::tls::rustls). Default: without TLS.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use outbox_postgres::{PostgresStore, tokio_postgres};
    ///
    /// # async fn open() -> Result<(), outbox_runtime::StoreError> {
    /// let store = PostgresStore::builder()
    ///     .tls(tokio_postgres::NoTls) // or a connector with the certificates that you trust
    ///     .connect("postgres://app@localhost/shop")
    ///     .await?;
    /// # drop(store);
    /// # Ok(())
    /// # }
    /// ```
    pub fn tls<T>(mut self, connector: T) -> Self
    where
        T: tokio_postgres::tls::MakeTlsConnect<tokio_postgres::Socket>
            + Clone
            + Send
            + Sync
            + 'static,
        T::Stream: Send + Sync,
        T::TlsConnect: Send + Sync,
        <T::TlsConnect as tokio_postgres::tls::TlsConnect<tokio_postgres::Socket>>::Future: Send,
    {
        self.connector = Connector::new(connector);
        self
    }

    /// Keeps deliveries in the [history](outbox_runtime::OutboxRepository::attempts) of events,
    /// too. Default: only attempts that were not delivered.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_postgres::PostgresStore;
    /// let builder = PostgresStore::builder().history_of_deliveries();
    /// # drop(builder);
    /// ```
    pub fn history_of_deliveries(mut self) -> Self {
        self.keeps_deliveries = true;
        self
    }

    /// Uses another clock than the server's. For tests: the times in rows are then its times.
    /// Default: the server's clock.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_postgres::PostgresStore;
    /// use outbox_runtime::store::SystemClock;
    ///
    /// let builder = PostgresStore::builder().clock(SystemClock); // a test has a clock of its own
    /// # drop(builder);
    /// ```
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Sets whether a sleeping worker is woken by commits of other processes. Without it, the store
    /// asks every half second while a worker waits. Default: true.
    pub fn wake_ups(mut self, wakes: bool) -> Self {
        self.wakes = wakes;
        self
    }

    /// Listens for wake-ups on a connection with these settings: an address that leads to the
    /// server itself, or to a PgBouncer in session mode. Default: the settings of the store; a
    /// store [with a pool](PostgresStore::with_pool) of the caller has none and asks every half
    /// second.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use outbox_postgres::PostgresStore;
    /// use outbox_postgres::tokio_postgres::Config;
    ///
    /// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
    /// let direct: Config = "postgres://app@db.internal:5432/shop".parse()?;
    /// let store = PostgresStore::builder()
    ///     .listen_on(direct) // PgBouncer in transaction mode passes on no notifications
    ///     .connect("postgres://app@pgbouncer.internal:6432/shop")
    ///     .await?;
    /// # drop(store);
    /// # Ok(())
    /// # }
    /// ```
    pub fn listen_on(mut self, config: Config) -> Self {
        self.listen_on = Some(config);
        self
    }

    /// Sets whether connecting brings the schema to this library's version. A role without the
    /// privileges for that needs none if the schema has that version. Default: true.
    pub fn migrate(mut self, migrates: bool) -> Self {
        self.migrates = migrates;
        self
    }

    /// Opens the outbox for reading only, without migrating it and without listening: calls that
    /// write fail with `ReadOnly`. Default: reading and writing.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use outbox_postgres::PostgresStore;
    /// # async fn open() -> Result<(), outbox_runtime::StoreError> {
    /// // For a tool with a role that may only read.
    /// let store = PostgresStore::builder().read_only().connect("postgres://viewer@localhost/shop").await?;
    /// # drop(store);
    /// # Ok(())
    /// # }
    /// ```
    pub fn read_only(mut self) -> Self {
        self.reads_only = true;
        self.migrates = false;
        self.wakes = false;
        self
    }

    /// Connects to `postgres://user:password@host/database`, or to the settings of such a text in
    /// the form `host=.. dbname=..`.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` if the text cannot be parsed; `CannotOpen` or `Unavailable` if the server
    /// cannot be reached; `SchemaTooNew`, or `NotInstalled` without [migrations](Self::migrate).
    pub async fn connect(self, url: &str) -> Result<PostgresStore, StoreError> {
        let config = url.parse::<Config>().map_err(|error| {
            let message =
                "the connection settings cannot be parsed; use postgres://user@host/database";
            StoreError::new(StoreErrorKind::InvalidArgument, "open", message).with_source(error)
        })?;
        self.connect_with(config).await
    }

    /// Connects with these settings.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use outbox_postgres::PostgresStore;
    /// use outbox_postgres::tokio_postgres::Config;
    ///
    /// # async fn open(password: &str) -> Result<(), outbox_runtime::StoreError> {
    /// let mut config = Config::new();
    /// config.host("localhost").user("app").dbname("shop").password(password);
    /// let store = PostgresStore::builder().connect_with(config).await?;
    /// # drop(store);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn connect_with(mut self, mut config: Config) -> Result<PostgresStore, StoreError> {
        config.application_name(&self.application_name);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(PATIENCE);
        }
        notice_silence(&mut config);
        if self.wakes && self.listen_on.is_none() {
            self.listen_on = Some(config.clone());
        }
        let mut on_create = settings(self.durability);
        if self.reads_only {
            on_create.push_str("SET default_transaction_read_only = on;");
        }
        let settings = Hook::async_fn(move |client: &mut deadpool_postgres::ClientWrapper, _| {
            let settings = on_create.clone();
            Box::pin(async move {
                let done = client.batch_execute(&settings).await;
                done.map_err(HookError::Backend)
            })
        });
        let recycling = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = Manager::from_connect(config, self.connector.clone(), recycling);
        let pool = Pool::builder(manager)
            .max_size(self.pool_size)
            // The session that was used last has its plans, and its memory in the caches.
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(PATIENCE))
            .create_timeout(Some(PATIENCE))
            .post_create(settings)
            .build()
            .map_err(|error| StoreError::new(StoreErrorKind::Other, "open", error.to_string()))?;
        self.open(pool, true).await
    }

    /// Opens a store on a pool of the caller's.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use outbox_postgres::PostgresStore;
    /// use outbox_postgres::deadpool_postgres::Pool;
    ///
    /// # async fn open(pool: Pool) -> Result<(), outbox_runtime::StoreError> {
    /// let store = PostgresStore::builder().schema("billing_outbox").with_pool(pool).await?;
    /// # drop(store);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn with_pool(self, pool: Pool) -> Result<PostgresStore, StoreError> {
        self.open(pool, false).await
    }

    async fn open(self, pool: Pool, owns_pool: bool) -> Result<PostgresStore, StoreError> {
        let schema = Arc::new(SchemaName::new(&self.schema)?);
        let mut client = pool
            .get()
            .await
            .map_err(|error| crate::fault::pool_fault("open", error))?;
        if self.migrates {
            migrate::run(&mut client, &schema).await?;
        }
        let version = migrate::version(&**client, &schema).await;
        let version = version.map_err(|error| fault("open", error))?;
        migrate::check("open", &schema, version)?;
        if !self.reads_only {
            sequence::mend(&mut client, &schema).await?;
        }
        drop(client);
        PostgresStore::open(self, pool, owns_pool, (*schema).clone()).await
    }

    pub(crate) fn reads_only(&self) -> bool {
        self.reads_only
    }

    pub(crate) fn connector(&self) -> Connector {
        self.connector.clone()
    }
}

/// Gives connections time limits for a server that vanishes without a word, with its machine or its
/// network, unless they have some: otherwise a worker waits for a quarter of an hour for an answer,
/// and a listener for two hours.
fn notice_silence(config: &mut Config) {
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(PATIENCE);
    }
    config.keepalives_idle(config.get_keepalives_idle().min(PATIENCE));
}

impl std::fmt::Debug for PostgresStoreBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStoreBuilder")
            .field("schema", &self.schema)
            .field("pool_size", &self.pool_size)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}
