//! The store: its connections, its clock and its tasks.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::{Object, Pool};
use outbox_runtime::store::kit::Signal;
use outbox_runtime::store::{BatchSink, SystemClock};
use outbox_runtime::{Clock, EnqueueError, Enqueued, EventSink, NewEvent, StoreError};
use tokio_postgres::Statement;

use crate::builder::PostgresStoreBuilder;
use crate::clock::{ServerClock, Shared as SharedClock};
use crate::fault::{fault, pool_fault};
use crate::group::Producers;
use crate::index::Index;
use crate::listen::Wakes;
use crate::migrate;
use crate::name::SchemaName;
use crate::sink::{EnqueueFuture, Outbox, collect};
use crate::sql::Sql;

/// An outbox in a PostgreSQL database, for any number of processes on any number of machines.
///
/// Cloning is cheap; all clones share the connections. The store must be opened in a tokio runtime
/// and ends its tasks when the last clone is dropped.
///
/// See the [crate documentation](crate) for an example and for what is promised.
///
/// # Examples
///
/// ```no_run
/// use outbox_postgres::PostgresStore;
/// use outbox_runtime::{NewEvent, Operation, OutboxRepository};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// // It needs a server, so this is only compiled.
/// let store = PostgresStore::connect("postgres://app@localhost/shop").await?;
/// println!("the outbox in {} at {} connections", store.schema(), store.pool().status().max_size);
///
/// let mut client = store.pool().get().await?; // the same database
/// let tx = client.transaction().await?;
/// tx.execute("INSERT INTO invoice (id) VALUES (7)", &[]).await?;
/// let event = NewEvent::new("invoice", 7, "customer-1", Operation::Create);
/// outbox_runtime::EventSink::enqueue(store.outbox().on(&tx), Ok(event)).await?;
/// tx.commit().await?;
///
/// assert_eq!(store.statistics(None).await?.pending_count, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresStore {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pool: Pool,
    /// Whether the connections have this library's settings.
    owns_pool: bool,
    reads_only: bool,
    pub(crate) sql: Arc<Sql>,
    pub(crate) clock: Arc<dyn Clock>,
    /// `None` with a clock of the caller's.
    server_clock: Option<Arc<ServerClock>>,
    /// When the server was last asked for its time and the version of the schema, on the steady
    /// clock of the store.
    asked_at: Mutex<Option<Duration>>,
    suspended: AtomicBool,
    pub(crate) signal: Arc<Signal>,
    pub(crate) producers: Producers,
    pub(crate) wakes: Wakes,
    pub(crate) notes: crate::notes::Notes,
    pub(crate) cursors: crate::cursor::Cursors,
    pub(crate) tally: crate::tally::Tally,
    pub(crate) user_index: Index,
    pub(crate) destination_index: Index,
    pub(crate) pauses: crate::pauses::Remembered,
    pub(crate) plain: crate::plain::Plain,
    /// Whether the history of an event has its delivery.
    pub(crate) keeps_deliveries: bool,
    pub(crate) held: crate::held::Held,
    pub(crate) locked: crate::locked::Locked,
    /// When to look again for candidates behind events of others that could not be blocked.
    pub(crate) left: crate::back_off::BackOff,
    pub(crate) swept: crate::parents::Swept,
    /// When to look again at overdue events and leases whose rows were locked.
    pub(crate) overdue: crate::back_off::BackOff,
    /// Whether the last claim was filled, so that the next one most likely is, too.
    pub(crate) expects_more: AtomicBool,
    /// Whether the next exchange claims beside its outcomes.
    pub(crate) beside: crate::beside::Beside,
}

impl Shared {
    /// Whether the times of this store are the server's.
    pub(crate) fn has_server_time(&self) -> bool {
        self.server_clock.is_some()
    }
}

/// How long an answer about the time and the version is used while statements run.
const FRESH: Duration = Duration::from_secs(10);

impl PostgresStore {
    /// Opens the outbox in the schema `outbox` of this database, and creates it if it is not there.
    ///
    /// # Errors
    ///
    /// As [`PostgresStoreBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Self::builder().connect(url).await
    }

    /// Opens the outbox in the schema `outbox` on the connections of an existing pool, whose
    /// settings remain those of the application. Nothing tells this store of commits of other
    /// processes, unless the [builder](PostgresStoreBuilder::listen_on) has an address to listen
    /// on.
    ///
    /// # Errors
    ///
    /// As [`PostgresStoreBuilder::connect`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use outbox_postgres::PostgresStore;
    /// use outbox_postgres::deadpool_postgres::Pool;
    ///
    /// # async fn open(pool: Pool) -> Result<(), outbox_runtime::StoreError> {
    /// let store = PostgresStore::with_pool(pool).await?; // that of the application
    /// # drop(store);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn with_pool(pool: Pool) -> Result<Self, StoreError> {
        Self::builder().with_pool(pool).await
    }

    /// Settings other than the usual ones.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn open() -> Result<(), outbox_runtime::StoreError> {
    /// use outbox_postgres::PostgresStore;
    ///
    /// let store = PostgresStore::builder()
    ///     .schema("billing_outbox")
    ///     .connect("postgres://app@localhost/shop")
    ///     .await?;
    /// # drop(store);
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder() -> PostgresStoreBuilder {
        PostgresStoreBuilder::new()
    }

    /// The statements that create the outbox in this schema, for a migration tool of the
    /// application's. A store finds the result as if it had made it itself.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` if the name is not [valid](PostgresStoreBuilder::schema).
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_postgres::PostgresStore;
    ///
    /// let sql = PostgresStore::migration_sql("billing_outbox")?;
    /// assert!(sql.contains("billing_outbox"));
    /// assert!(PostgresStore::migration_sql("Billing!").is_err());
    /// # Ok::<(), outbox_runtime::StoreError>(())
    /// ```
    pub fn migration_sql(schema: &str) -> Result<String, StoreError> {
        Ok(migrate::script(&SchemaName::new(schema)?))
    }

    /// The version of the schema that this library writes.
    pub const SCHEMA_VERSION: i32 = migrate::VERSION;

    pub(crate) async fn open(
        builder: PostgresStoreBuilder,
        pool: Pool,
        owns_pool: bool,
        schema: SchemaName,
    ) -> Result<Self, StoreError> {
        let sql = Arc::new(Sql::new(schema));
        let server_clock = match builder.clock {
            Some(_) => None,
            None => Some(Arc::new(ServerClock::default())),
        };
        let clock: Arc<dyn Clock> = match (&builder.clock, &server_clock) {
            (Some(clock), _) => Arc::clone(clock),
            (None, Some(server)) => Arc::new(SharedClock(Arc::clone(server))),
            (None, None) => Arc::new(SystemClock),
        };
        let signal = Arc::new(Signal::new());
        let producers = Producers::start(
            pool.clone(),
            Arc::clone(&sql),
            builder.clock.clone(),
            Arc::clone(&signal),
        );
        let listen = builder.listen_on.clone();
        let listen = listen.map(|config| (builder.connector(), config));
        let wakes = Wakes::start(listen, pool.clone(), Arc::clone(&sql), Arc::clone(&signal)).await;
        let store = Self {
            shared: Arc::new(Shared {
                pool,
                owns_pool,
                reads_only: builder.reads_only(),
                sql,
                clock,
                server_clock,
                asked_at: Mutex::default(),
                suspended: AtomicBool::new(false),
                signal,
                producers,
                wakes,
                notes: crate::notes::Notes::default(),
                cursors: crate::cursor::Cursors::default(),
                tally: crate::tally::Tally::default(),
                user_index: Index::for_turns(),
                destination_index: Index::by_destination(),
                pauses: crate::pauses::Remembered::default(),
                plain: crate::plain::Plain::default(),
                keeps_deliveries: builder.keeps_deliveries,
                held: crate::held::Held::default(),
                locked: crate::locked::Locked::default(),
                left: crate::back_off::BackOff::default(),
                swept: crate::parents::Swept::default(),
                overdue: crate::back_off::BackOff::default(),
                expects_more: AtomicBool::new(true),
                beside: crate::beside::Beside::default(),
            }),
        };
        // Sets the clock before anybody reads it.
        drop(store.connection("open").await?);
        Ok(store)
    }

    /// A sink factory for this outbox, for transactions of the caller: `store.outbox().on(&tx)`. A
    /// transaction passed to `.on(..)` by itself means the outbox in the schema `outbox`.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use outbox_postgres::{PostgresStore, tokio_postgres};
    /// use outbox_runtime::Enqueue;
    ///
    /// # async fn save(store: &PostgresStore, tx: &tokio_postgres::Transaction<'_>, change: Enqueue) -> Result<(), outbox_runtime::EnqueueError> {
    /// let outbox = store.outbox(); // in whatever schema the store has
    /// change.on(outbox.on(tx)).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn outbox(&self) -> Outbox {
        let clock = match self.shared.server_clock {
            Some(_) => None,
            None => Some(Arc::clone(&self.shared.clock)),
        };
        Outbox::new(Arc::clone(&self.shared.sql), clock)
    }

    /// The schema that holds the outbox.
    #[must_use]
    pub fn schema(&self) -> &str {
        self.shared.sql.schema.as_str()
    }

    /// The pool of connections, for transactions of the caller in the same database.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.shared.pool
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.shared.clock.now()
    }

    /// # Errors
    ///
    /// `Suspended` while the store is suspended.
    pub(crate) fn awake(&self, operation: &'static str) -> Result<(), StoreError> {
        if self.shared.suspended.load(Ordering::SeqCst) {
            return Err(StoreError::suspended(operation));
        }
        Ok(())
    }

    /// Sets whether calls are refused; returns whether they were.
    pub(crate) fn set_suspended(&self, suspended: bool) -> bool {
        self.shared.suspended.swap(suspended, Ordering::SeqCst)
    }

    /// A free connection. Every ten seconds it is asked for the time of the server and the version
    /// of the schema first, which a newer program may have changed.
    pub(crate) async fn connection(&self, operation: &'static str) -> Result<Object, StoreError> {
        self.awake(operation)?;
        let client = self.shared.pool.get().await;
        let client = client.map_err(|error| pool_fault(operation, error))?;
        if self.is_fresh() {
            return Ok(client);
        }
        let (asked_at, sent_at) = (self.shared.clock.uptime(), SystemClock.uptime());
        let schema = &self.shared.sql.schema;
        let sql = format!("SELECT version, clock_timestamp() FROM {schema}.schema_version");
        let rows = client.query_typed(&sql, &[]).await;
        let rows = rows.map_err(|error| fault(operation, error))?;
        let row = rows.first();
        let version = row.map(|row| row.try_get(0)).transpose();
        migrate::check(
            operation,
            schema,
            version.map_err(|error| fault(operation, error))?,
        )?;
        if let (Some(clock), Some(row)) = (&self.shared.server_clock, row) {
            let now = row.try_get(1).map_err(|error| fault(operation, error))?;
            clock.set(now, sent_at);
        }
        let mut last = self.asked_at();
        *last = Some(asked_at);
        drop(last);
        Ok(client)
    }

    fn asked_at(&self) -> std::sync::MutexGuard<'_, Option<Duration>> {
        let lock = self.shared.asked_at.lock();
        lock.unwrap_or_else(PoisonError::into_inner)
    }

    fn is_fresh(&self) -> bool {
        let is_recent = |at: Duration| self.shared.clock.uptime().abs_diff(at) < FRESH;
        let clock = self.shared.server_clock.as_ref();
        self.asked_at().is_some_and(is_recent) && clock.is_none_or(|clock| !clock.is_stale())
    }

    /// Whether the sessions may read only.
    pub(crate) fn reads_only(&self) -> bool {
        self.shared.reads_only
    }

    /// Tells everybody of events that became candidates, at whatever place.
    pub(crate) fn events_changed(&self) {
        self.shared.cursors.look_again();
        self.shared.signal.raise();
    }

    /// As [`events_changed`](Self::events_changed), also for the workers of other processes that
    /// sleep: only an insert wakes those by itself.
    pub(crate) async fn events_changed_for_all(&self, client: &Object) {
        self.events_changed();
        wake(&self.shared.sql, client).await;
    }

    /// Wakes the workers of other processes for events that outcomes have made candidates, which
    /// may be of types that only they handle. Beside the caller, who does not wait for it.
    pub(crate) fn wake_others(&self, client: Object) {
        let sql = Arc::clone(&self.shared.sql);
        tokio::spawn(async move { wake(&sql, &client).await });
    }

    /// As [`connection`](Self::connection) checks, for calls that use the connection of the
    /// producers.
    async fn is_usable(&self, operation: &'static str) -> Result<(), StoreError> {
        self.awake(operation)?;
        if !self.is_fresh() {
            drop(self.connection(operation).await?);
        }
        Ok(())
    }

    /// The statement that begins a transaction; on a pool of the caller's, with this library's
    /// plans. Leases of the length `lease` must not run out while a worker that was stopped between
    /// a change and its commit still has rows locked.
    pub(crate) fn begin(&self, lease: Option<Duration>) -> String {
        let access = if self.reads_only() { "ONLY" } else { "WRITE" };
        let mut begin = format!("BEGIN ISOLATION LEVEL READ COMMITTED READ {access};");
        let usual = crate::connect::LONGEST_IDLE;
        let longest = lease.map_or(usual, |lease| (lease / 2).min(usual));
        if !self.shared.owns_pool {
            begin.push_str(&crate::connect::PLANS.replace("SET ", "SET LOCAL "));
        }
        if !self.shared.owns_pool || longest < usual {
            let millis = longest.as_millis().max(1);
            begin.push_str(&format!(
                "SET LOCAL idle_in_transaction_session_timeout = {millis};"
            ));
        }
        begin
    }
}

/// Wakes the workers of other processes that sleep. The change that they are woken for is committed
/// by then, so a failure only delays them.
async fn wake(sql: &Sql, client: &Object) {
    if let Err(error) = client.batch_execute(&sql.text("SELECT {s}.wake()")).await {
        tracing::debug!(%error, "the workers of other processes were not woken");
    }
}

/// Prepares a statement, once per connection.
pub(crate) async fn prepared(
    client: &Object,
    operation: &'static str,
    sql: &str,
) -> Result<Statement, StoreError> {
    let prepared = client.prepare_cached(sql).await;
    prepared.map_err(|error| fault(operation, error))
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("schema", &self.shared.sql.schema.as_str())
            .finish_non_exhaustive()
    }
}

/// Resolves once the event is committed. Events of concurrent producers share commits.
impl EventSink<PostgresStore> for &PostgresStore {
    type Output = EnqueueFuture<'static>;

    fn enqueue(self, event: Result<NewEvent, EnqueueError>) -> Self::Output {
        let store = self.clone();
        EnqueueFuture::new(async move {
            let event = event?;
            event.validate()?;
            store.is_usable("enqueue").await?;
            let enqueued = store.shared.producers.enqueue(vec![event]).await;
            match enqueued {
                Ok(enqueued) => enqueued
                    .first()
                    .copied()
                    .ok_or_else(|| crate::group::ended().into()),
                // A single event is not one of a batch.
                Err(EnqueueError::InBatch { source, .. }) => Err(*source),
                Err(error) => Err(error),
            }
        })
    }
}

/// Resolves once all events are committed in one transaction, which may include those of others.
impl BatchSink<PostgresStore> for &PostgresStore {
    type Output = EnqueueFuture<'static, Vec<Enqueued>>;

    fn enqueue_all(
        self,
        events: impl Iterator<Item = Result<NewEvent, EnqueueError>>,
    ) -> Self::Output {
        let events = collect(events);
        let store = self.clone();
        EnqueueFuture::new(async move {
            let events = events?;
            store.is_usable("enqueue").await?;
            store.shared.producers.enqueue(events).await
        })
    }
}
