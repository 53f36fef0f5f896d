//! Wake-ups: how a sleeping worker learns of commits of other processes, without a statement while
//! nothing happens.
//!
//! All stores LISTEN on a connection of their own. A store whose worker has nothing to do takes
//! sixteen advisory locks in share mode: it sleeps. A producer tries one of these locks
//! exclusively, in the statement that inserts. It gets the lock as long as nobody sleeps; otherwise
//! it sends a notification. So a notification, which makes commits wait for each other, is sent
//! only if it is needed.
//!
//! A transaction that tried the lock before the store fell asleep, and commits afterward, tells
//! nobody. It held a lock on the table by then, which `pg_locks` shows. As long as there is such a
//! transaction, the store looks again after 5, 10, 20 … 500 ms.
//!
//! A store that hears a [storm](crate::storm) looks for itself for a while before it sleeps again.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool_postgres::Pool;
use outbox_runtime::Clock;
use outbox_runtime::store::SystemClock;
use outbox_runtime::store::kit::Signal;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config};
use tracing::{debug, warn};

use crate::connect::Connector;
use crate::lifeline::hold_lock;
use crate::sql::Sql;
use crate::storm::Storms;

/// How long a worker must have had nothing to do before its store falls asleep.
const QUIET: Duration = Duration::from_millis(1);

/// The first and the longest pause between two looks.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// How long a store looks for itself after a storm, instead of sleeping. Twice as long after each
/// further one.
const FIRST_WATCH: Duration = Duration::from_millis(100);
const LONGEST_WATCH: Duration = Duration::from_secs(1);

/// The longest pause between two looks meanwhile.
const LONGEST_WATCH_PAUSE: Duration = Duration::from_millis(80);

/// How long workers may be busy before the store stops asking for notifications.
const NOBODY_WAITS: Duration = Duration::from_secs(1);

/// How long a notification may take.
const TEST_TIME: Duration = Duration::from_secs(5);

/// The pause after a lost connection.
const RECONNECT: Duration = Duration::from_secs(1);

/// What the workers of a store are doing, for the task that listens.
#[derive(Debug, Default)]
struct Attention {
    /// The number of workers that wait for a change.
    waiting: AtomicUsize,
    /// When the store was last asked for work, on the steady clock.
    active_at: Mutex<Duration>,
    /// Whether a claim found work since the task last looked.
    has_work: AtomicBool,
    /// Wakes the task after a change of the above.
    changed: Notify,
    /// The number of notifications.
    heard: AtomicU64,
    storms: Storms,
    was_heard: Notify,
}

impl Attention {
    fn waits(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// The time until the workers count as quiet; `None` if they do.
    fn until_quiet(&self) -> Option<Duration> {
        let active_at = *self
            .active_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let quiet = SystemClock.uptime().saturating_sub(active_at);
        let left = QUIET.saturating_sub(quiet);
        (!left.is_zero()).then_some(left)
    }
}

/// The handle on the task that listens, which ends with it.
#[derive(Debug)]
pub(crate) struct Wakes {
    attention: Arc<Attention>,
    listens: bool,
    task: JoinHandle<()>,
}

impl Drop for Wakes {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A worker that waits for a change.
#[derive(Debug)]
pub(crate) struct Waiter(Arc<Attention>);

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
        self.0.changed.notify_one();
    }
}

impl Wakes {
    /// Starts to listen, and finds out whether notifications arrive. Without an address, the store
    /// looks regularly while a worker waits.
    pub(crate) async fn start(
        listen: Option<(Connector, Config)>,
        pool: Pool,
        sql: Arc<Sql>,
        signal: Arc<Signal>,
    ) -> Self {
        let attention = Arc::new(Attention::default());
        let mut listener = Listener {
            attention: Arc::clone(&attention),
            pool,
            sql,
            signal,
        };
        let first = match &listen {
            Some((connector, config)) => listener.open(connector, config).await,
            None => None,
        };
        let listens = first.is_some();
        let task = tokio::spawn(async move {
            match (listen, first) {
                (Some((connector, config)), Some(connection)) => {
                    listener.listen(&connector, &config, connection).await;
                }
                _ => listener.poll().await,
            }
        });
        Self {
            attention,
            listens,
            task,
        }
    }

    /// Whether the store has a session that listens, apart from interruptions.
    pub(crate) fn listens(&self) -> bool {
        self.listens
    }

    /// Counts a worker as waiting until the result is dropped.
    pub(crate) fn wait(&self) -> Waiter {
        self.attention.waiting.fetch_add(1, Ordering::SeqCst);
        self.attention.changed.notify_one();
        Waiter(Arc::clone(&self.attention))
    }

    /// A worker asks for work, or reports some.
    pub(crate) fn on_activity(&self) {
        let lock = self.attention.active_at.lock();
        *lock.unwrap_or_else(PoisonError::into_inner) = SystemClock.uptime();
    }

    /// A claim found work.
    pub(crate) fn on_work(&self) {
        self.attention.has_work.store(true, Ordering::SeqCst);
        self.attention.changed.notify_one();
    }
}

/// The connection that listens.
struct Ear {
    client: Client,
    task: JoinHandle<()>,
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Listener {
    attention: Arc<Attention>,
    pool: Pool,
    sql: Arc<Sql>,
    signal: Arc<Signal>,
}

impl Listener {
    /// Connects, and sends itself a notification over another session. `None` if it does not
    /// arrive: a pooler between here and the server swallows it without an error.
    async fn open(&mut self, connector: &Connector, config: &Config) -> Option<Ear> {
        match self.connect(connector, config).await {
            Ok(ear) => match self.is_heard().await {
                Ok(true) => Some(ear),
                Ok(false) => {
                    warn!(
                        "no notification arrives on this address, so the store asks for new events \
                         regularly; give it a direct address with `listen_on`"
                    );
                    None
                }
                Err(error) => {
                    warn!(%error, "wake-ups could not be tested, so the store asks for new events regularly");
                    None
                }
            },
            Err(error) => {
                warn!(%error, "the store cannot listen, so it asks for new events regularly");
                None
            }
        }
    }

    async fn connect(
        &self,
        connector: &Connector,
        config: &Config,
    ) -> Result<Ear, tokio_postgres::Error> {
        let mut config = config.clone();
        // A silent connection must not die unnoticed.
        config.keepalives_idle(Duration::from_secs(30));
        let (signal, attention) = (Arc::clone(&self.signal), Arc::clone(&self.attention));
        let heard = Arc::new(move |session: Option<i32>| {
            attention.heard.fetch_add(1, Ordering::SeqCst);
            if let Some(session) = session {
                attention.storms.heard(session, SystemClock.uptime());
            }
            attention.was_heard.notify_one();
            attention.changed.notify_one();
            signal.raise();
        });
        let (client, task) = connector.listen(config, heard).await?;
        let ear = Ear { client, task };
        let channel = Sql::channel(&self.sql.schema);
        let sql = format!(
            "SELECT set_config('idle_session_timeout', '0', false) FROM pg_settings WHERE name = 'idle_session_timeout';
            LISTEN {channel};
            {}",
            hold_lock()
        );
        ear.client.batch_execute(&sql).await?;
        Ok(ear)
    }

    async fn is_heard(&self) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
        let before = self.attention.heard.load(Ordering::SeqCst);
        let client = self.pool.get().await?;
        let channel = Sql::channel(&self.sql.schema);
        client
            .query_typed(&format!("SELECT pg_notify('{channel}', '')"), &[])
            .await?;
        let deadline = SystemClock.uptime() + TEST_TIME;
        while self.attention.heard.load(Ordering::SeqCst) == before {
            let left = deadline.saturating_sub(SystemClock.uptime());
            if left.is_zero() {
                return Ok(false);
            }
            tokio::select! {
                () = self.attention.was_heard.notified() => {}
                () = SystemClock.sleep(left) => {}
            }
        }
        Ok(true)
    }

    /// Sleeps and wakes, on one connection after the other.
    async fn listen(&mut self, connector: &Connector, config: &Config, first: Ear) {
        let mut ear = Some(first);
        loop {
            let connected = match ear.take() {
                Some(ear) => Ok(ear),
                None => self.connect(connector, config).await,
            };
            let error = match connected {
                Ok(ear) => match self.listen_on(&ear).await {
                    Ok(never) => match never {},
                    Err(error) => error,
                },
                Err(error) => error,
            };
            debug!(%error, "the connection that listens was lost");
            // Meanwhile nobody is told, so workers look for themselves.
            self.signal.raise();
            SystemClock.sleep(RECONNECT).await;
            self.signal.raise();
        }
    }

    async fn listen_on(
        &self,
        ear: &Ear,
    ) -> Result<std::convert::Infallible, tokio_postgres::Error> {
        let class = self.sql.schema.lock_class();
        let schema = self.sql.schema.as_str();
        let fall_asleep = format!(
            "SELECT count(pg_advisory_lock_shared({class}, k)) FROM generate_series(0, 15) k"
        );
        // The session has another lock, which tells that the process lives.
        let wake = format!(
            "SELECT count(pg_advisory_unlock_shared({class}, k)) FROM generate_series(0, 15) k"
        );
        let writers = format!(
            "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE relation = '{schema}.events'::regclass
                AND mode = 'RowExclusiveLock' AND granted AND pid IS DISTINCT FROM pg_backend_pid())"
        );
        let mut watch = Duration::ZERO;
        let mut storms = self.storms();
        loop {
            self.until_idle().await;
            watch = match self.storms() > storms {
                true => (watch * 2).clamp(FIRST_WATCH, LONGEST_WATCH),
                false if watch > FIRST_WATCH => watch / 2,
                false => Duration::ZERO,
            };
            self.watch(watch).await;
            storms = self.storms();
            self.attention.has_work.store(false, Ordering::SeqCst);
            ear.client.query_typed(&fall_asleep, &[]).await?;
            let mut pause = FIRST_PAUSE;
            loop {
                let row = ear.client.query_typed_one(&writers, &[]).await?;
                let has_writers: bool = row.try_get(0)?;
                self.signal.raise();
                if !has_writers || self.attention.has_work.load(Ordering::SeqCst) {
                    break;
                }
                SystemClock.sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            self.until_awake(ear, storms).await;
            ear.client.query_typed(&wake, &[]).await?;
        }
    }

    /// Resolves once a worker waits and has had nothing to do for a while.
    async fn until_idle(&self) {
        loop {
            if !self.attention.waits() {
                self.attention.changed.notified().await;
                continue;
            }
            match self.attention.until_quiet() {
                None => break,
                Some(left) => SystemClock.sleep(left).await,
            }
        }
    }

    fn storms(&self) -> u64 {
        self.attention.storms.count()
    }

    /// Looks regularly, more often while there is work, until there has been none for that long.
    async fn watch(&self, length: Duration) {
        let mut since = SystemClock.uptime();
        let mut pause = FIRST_PAUSE;
        while SystemClock.uptime().saturating_sub(since) < length {
            SystemClock.sleep(pause).await;
            pause = (pause * 2).min(LONGEST_WATCH_PAUSE);
            if self.attention.has_work.swap(false, Ordering::SeqCst) {
                since = SystemClock.uptime();
                pause = FIRST_PAUSE;
            }
            if self.attention.waits() {
                self.signal.raise();
            }
        }
    }

    /// Resolves once there was a storm, all workers have been busy for a while, or the connection
    /// is gone. A worker that finds work now and then stays asleep: single producers notify, which
    /// is the fastest way to learn of an event.
    async fn until_awake(&self, ear: &Ear, storms: u64) {
        let mut busy_since = None;
        while !ear.task.is_finished() && self.storms() == storms {
            let changed = self.attention.changed.notified();
            if self.attention.waits() {
                busy_since = None;
                changed.await;
                continue;
            }
            let now = SystemClock.uptime();
            let since = *busy_since.get_or_insert(now);
            let left = NOBODY_WAITS.saturating_sub(now.saturating_sub(since));
            if left.is_zero() {
                break;
            }
            tokio::select! {
                () = changed => {}
                () = SystemClock.sleep(left) => {}
            }
        }
    }

    /// Looks regularly while a worker waits, more often after it had something to do.
    async fn poll(&self) {
        let mut pause = FIRST_PAUSE;
        loop {
            self.until_idle().await;
            if self.attention.has_work.swap(false, Ordering::SeqCst) {
                pause = FIRST_PAUSE;
            }
            SystemClock.sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            self.signal.raise();
        }
    }
}
