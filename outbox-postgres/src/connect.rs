//! Connections: how they are made, and their settings.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{ConfigConnectImpl, Connect};
use tokio::task::JoinHandle;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{AsyncMessage, Client, Config, Socket};

/// Whether a commit of the store waits until it is on disk.
///
/// # Examples
///
/// ```
/// use outbox_postgres::{Durability, PostgresStore};
///
/// // Whatever `synchronous_commit` of the server says, an acknowledged event is on disk.
/// let builder = PostgresStore::builder().durability(Durability::Synchronous);
/// # drop(builder);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Durability {
    /// As the server, the database or the role sets `synchronous_commit`.
    #[default]
    AsConfigured,
    /// `synchronous_commit = on`: acknowledged events survive a crash of the server, and of its
    /// synchronous standbys.
    Synchronous,
    /// `synchronous_commit = off`: a crash of the server may lose the last commits of the store.
    /// Lost outcomes are delivered again; lost events that the store itself enqueued are gone.
    /// Transactions of the caller are not affected.
    Asynchronous,
}

type Connecting<'c> = Pin<
    Box<dyn Future<Output = Result<(Client, JoinHandle<()>), tokio_postgres::Error>> + Send + 'c>,
>;

/// The receiver of the notifications of a connection, each with the process id of the session that
/// sent it.
type Heard = Arc<dyn Fn(Option<i32>) + Send + Sync>;

type Listening = dyn Fn(Config, Heard) -> Connecting<'static> + Send + Sync;

/// Makes connections with one TLS connector, of whatever type.
#[derive(Clone)]
pub(crate) struct Connector {
    plain: Arc<dyn Connect>,
    listening: Arc<Listening>,
}

impl Connector {
    pub(crate) fn new<T>(tls: T) -> Self
    where
        T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
        T::Stream: Send + Sync,
        T::TlsConnect: Send + Sync,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        let plain = Arc::new(ConfigConnectImpl { tls: tls.clone() });
        let listening = move |config: Config, heard: Heard| -> Connecting<'static> {
            let tls = tls.clone();
            Box::pin(async move {
                let (client, mut connection) = config.connect(tls).await?;
                let task = tokio::spawn(async move {
                    let next = |cx: &mut std::task::Context<'_>| connection.poll_message(cx);
                    let mut messages = futures_util::stream::poll_fn(next);
                    while let Some(Ok(message)) = futures_util::StreamExt::next(&mut messages).await
                    {
                        if let AsyncMessage::Notification(notification) = message {
                            heard(Some(notification.process_id()));
                        }
                    }
                    // The end of the connection may have swallowed a notification.
                    heard(None);
                });
                Ok((client, task))
            })
        };
        Self {
            plain,
            listening: Arc::new(listening),
        }
    }

    /// Makes a connection that calls `heard` for each notification, and once when it ends.
    pub(crate) async fn listen(
        &self,
        config: Config,
        heard: Heard,
    ) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
        (self.listening)(config, heard).await
    }
}

impl Connect for Connector {
    fn connect(&self, config: &Config) -> Connecting<'_> {
        self.plain.connect(config)
    }
}

/// How long a transaction of the store may be idle. A worker that is stopped between a change and
/// its commit must not block others for long. Shorter in a claim with leases shorter than twice
/// this.
pub(crate) const LONGEST_IDLE: Duration = Duration::from_secs(10);

/// The settings of all connections of the store, besides [`LONGEST_IDLE`].
const COMMON: &str = "
    SET default_transaction_isolation = 'read committed';
    SELECT set_config('transaction_timeout', '0', false) FROM pg_settings WHERE name = 'transaction_timeout';";

/// The plans of the store's statements are the same whatever the values are. Planning each again
/// costs a fifth, and statistics of a table that is mostly empty mislead.
pub(crate) const PLANS: &str = "
    SET plan_cache_mode = force_generic_plan;
    SET enable_seqscan = off;
    SET enable_bitmapscan = off;
    SET enable_hashjoin = off;
    SET enable_mergejoin = off;
    SET jit = off;";

/// The plans of a transaction that reads ranges of `seq`, whose index is read as a bitmap only. To
/// start workers for a few blocks takes longer than to read them.
pub(crate) const RANGE_PLANS: &str =
    "SET LOCAL enable_bitmapscan = on; SET LOCAL enable_seqscan = off; SET LOCAL jit = off;
    SET LOCAL max_parallel_workers_per_gather = 0";

/// The settings of the store's connections.
pub(crate) fn settings(durability: Durability) -> String {
    let durability = match durability {
        Durability::AsConfigured => "",
        Durability::Synchronous => "SET synchronous_commit = on;",
        Durability::Asynchronous => "SET synchronous_commit = off;",
    };
    let idle = LONGEST_IDLE.as_millis();
    format!("{COMMON}SET idle_in_transaction_session_timeout = {idle};{PLANS}{durability}")
}
