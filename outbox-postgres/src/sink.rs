//! Enqueueing and completing on the caller's own connections, inside the transaction that is open
//! there.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use chrono::{DateTime, Utc};
use outbox_runtime::store::{BatchSink, CancelSink, CompleteFuture, Completion};
use outbox_runtime::{
    Cancel, Canceled, Clock, CompleteError, CompletionSink, EnqueueError, Enqueued, EventSink,
    NewEvent, StoreError, StoreErrorKind, SupersedingSink,
};
use tokio_postgres::GenericClient;

use crate::batch;
use crate::complete;
use crate::fault::callers_fault;
use crate::keyed;
use crate::name::SchemaName;
use crate::on_client::OnClient;
use crate::sql::Sql;
use crate::store::PostgresStore;

/// The future of an enqueueing.
///
/// # Cancel safety
///
/// Once polled, the event may be written even if the future is dropped: on a store for good, in a
/// transaction of the caller if that commits. Enqueueing it again under the same id is harmless.
///
/// # Examples
///
/// ```no_run
/// use outbox_postgres::{EnqueueFuture, PostgresStore};
/// use outbox_runtime::{Enqueue, EnqueueError};
///
/// # async fn save(store: &PostgresStore, change: Enqueue) -> Result<(), EnqueueError> {
/// let writing: EnqueueFuture<'_> = change.on(store); // nothing happens yet
/// println!("enqueued as {}", writing.await?.event_id());
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is enqueued until the future is awaited"]
pub struct EnqueueFuture<'c, T = Enqueued>(
    Pin<Box<dyn Future<Output = Result<T, EnqueueError>> + Send + 'c>>,
);

impl<'c, T> EnqueueFuture<'c, T> {
    pub(crate) fn new(work: impl Future<Output = Result<T, EnqueueError>> + Send + 'c) -> Self {
        Self(Box::pin(work))
    }
}

impl<T> Future for EnqueueFuture<'_, T> {
    type Output = Result<T, EnqueueError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<T> fmt::Debug for EnqueueFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnqueueFuture").finish_non_exhaustive()
    }
}

/// An outbox by the name of its schema, for programs that only enqueue, and for outboxes in a
/// schema other than `outbox`.
///
/// A transaction or connection passed to `.on(..)` by itself means the schema `outbox`.
///
/// # Examples
///
/// ```no_run
/// use outbox_postgres::Outbox;
/// use outbox_runtime::{Enqueued, EventSink, NewEvent, Operation};
///
/// # async fn order(client: &mut tokio_postgres::Client) -> Result<(), Box<dyn std::error::Error>> {
/// let billing = Outbox::in_schema("billing_outbox")?;
/// let tx = client.transaction().await?;
/// tx.execute("INSERT INTO invoice (id) VALUES (7)", &[]).await?;
/// let event = NewEvent::new("invoice", 7, "customer-1", Operation::Create);
/// billing.on(&tx).enqueue(Ok(event)).await?;
/// tx.commit().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Outbox {
    pub(crate) sql: Arc<Sql>,
    /// Of a test; otherwise the server's.
    clock: Option<Arc<dyn Clock>>,
}

impl Outbox {
    /// The outbox in this schema.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` unless the name has 1 to 40 lowercase letters, digits and underscores, and
    /// starts with neither a digit nor `pg_`.
    pub fn in_schema(schema: &str) -> Result<Self, StoreError> {
        let sql = Arc::new(Sql::new(SchemaName::new(schema)?));
        Ok(Self { sql, clock: None })
    }

    pub(crate) fn new(sql: Arc<Sql>, clock: Option<Arc<dyn Clock>>) -> Self {
        Self { sql, clock }
    }

    /// A sink that writes on this connection or transaction.
    pub fn on<'c, C: Connection>(&self, connection: &'c C) -> OutboxOn<'c, C> {
        OutboxOn {
            outbox: self.clone(),
            connection,
        }
    }

    pub(crate) fn now(&self) -> Option<DateTime<Utc>> {
        self.clock.as_ref().map(|clock| clock.now())
    }
}

impl Default for Outbox {
    /// The outbox in the schema `outbox`.
    fn default() -> Self {
        static DEFAULT: LazyLock<Arc<Sql>> =
            LazyLock::new(|| Arc::new(Sql::new(SchemaName::default())));
        Self::new(Arc::clone(&DEFAULT), None)
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("schema", &self.sql.schema.as_str())
            .finish_non_exhaustive()
    }
}

/// A sink for events of one [`Outbox`] on one connection; made by [`Outbox::on`].
///
/// It also completes claimed events. On a transaction, it completes one and enqueues the next in
/// one step; a plain connection may have no transaction open, so that does not compile:
///
/// ```compile_fail
/// # use outbox_runtime::{Enqueue, HandlerError, OutboxEvent};
/// # async fn handle(
/// #     client: &tokio_postgres::Client,
/// #     event: &OutboxEvent,
/// #     next: Enqueue,
/// # ) -> Result<(), HandlerError> {
/// event.complete_on(client).await?;
/// event.supersede_on(client, next).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Examples
///
/// ```no_run
/// use outbox_postgres::{Outbox, OutboxOn, tokio_postgres};
///
/// # fn sink(tx: &tokio_postgres::Transaction<'_>, outbox: &Outbox, change: outbox_runtime::Enqueue) {
/// let sink: OutboxOn<'_, tokio_postgres::Transaction<'_>> = outbox.on(tx);
/// let writing = change.on(sink); // a future
/// # drop(writing);
/// # }
/// ```
#[derive(Debug)]
pub struct OutboxOn<'c, C> {
    outbox: Outbox,
    connection: &'c C,
}

/// A connection or transaction that takes events. Implemented for those of `tokio-postgres` and
/// `deadpool-postgres`; no other crate can implement it.
///
/// # Examples
///
/// ```
/// use outbox_postgres::{Connection, Outbox};
/// use outbox_runtime::{Enqueue, EnqueueError};
///
/// /// Works on a client, a transaction and a savepoint alike.
/// async fn enqueue<C: Connection>(connection: &C, change: Enqueue) -> Result<(), EnqueueError> {
///     change.on(Outbox::default().on(connection)).await?;
///     Ok(())
/// }
/// ```
pub trait Connection: sealed::Connection {}

impl<C: sealed::Connection> Connection for C {}

mod sealed {
    use tokio_postgres::GenericClient;

    pub trait Connection: Sync {
        /// Whether a transaction is open for sure, so that there can be savepoints.
        const IS_TRANSACTION: bool;
        type Client: GenericClient + Sync;

        fn client(&self) -> &Self::Client;
    }

    macro_rules! connections {
        ($($connection:ty: $is_transaction:literal, $client:ty;)+) => {$(
            impl Connection for $connection {
                const IS_TRANSACTION: bool = $is_transaction;
                type Client = $client;

                fn client(&self) -> &Self::Client {
                    self
                }
            }
        )+};
    }

    connections! {
        tokio_postgres::Client: false, tokio_postgres::Client;
        deadpool_postgres::Object: false, tokio_postgres::Client;
    }

    impl<'t> Connection for tokio_postgres::Transaction<'t> {
        const IS_TRANSACTION: bool = true;
        type Client = tokio_postgres::Transaction<'t>;

        fn client(&self) -> &Self::Client {
            self
        }
    }

    impl<'t> Connection for deadpool_postgres::Transaction<'t> {
        const IS_TRANSACTION: bool = true;
        type Client = tokio_postgres::Transaction<'t>;

        fn client(&self) -> &Self::Client {
            self
        }
    }
}

/// The event exists if and only if the transaction that is open on the connection commits; without
/// one, it is committed when the future resolves.
impl<'c, C: Connection> EventSink<PostgresStore> for OutboxOn<'c, C> {
    type Output = EnqueueFuture<'c>;

    fn enqueue(self, event: Result<NewEvent, EnqueueError>) -> Self::Output {
        EnqueueFuture::new(async move {
            let now = self.outbox.now();
            let client = self.connection.client();
            enqueue(client, &self.outbox.sql, C::IS_TRANSACTION, now, event).await
        })
    }
}

async fn enqueue<C: GenericClient + Sync>(
    client: &C,
    sql: &Sql,
    is_transaction: bool,
    now: Option<DateTime<Utc>>,
    event: Result<NewEvent, EnqueueError>,
) -> Result<Enqueued, EnqueueError> {
    let event = event?;
    event.validate()?;
    batch::one(client, sql, is_transaction, now, &event).await
}

/// All of the events or none, in the order given. Events that [coalesce](outbox_runtime::Coalesce)
/// or expire need a transaction: on a plain connection they are refused, unless there is only one
/// event. Those with a [key](outbox_runtime::Enqueue::key) always need one.
impl<'c, C: Connection> BatchSink<PostgresStore> for OutboxOn<'c, C> {
    type Output = EnqueueFuture<'c, Vec<Enqueued>>;

    fn enqueue_all(
        self,
        events: impl Iterator<Item = Result<NewEvent, EnqueueError>>,
    ) -> Self::Output {
        let events = collect(events);
        EnqueueFuture::new(async move {
            let now = self.outbox.now();
            let client = self.connection.client();
            batch::all(client, &self.outbox.sql, C::IS_TRANSACTION, now, &events?).await
        })
    }
}

/// The events are canceled if and only if the transaction that is open on the connection commits;
/// without one, the connection is refused.
impl<'c, C: Connection> CancelSink<PostgresStore> for OutboxOn<'c, C> {
    type Output = CancelFuture<'c>;

    fn cancel_events(self, cancel: Cancel) -> Self::Output {
        CancelFuture(Box::pin(async move {
            if !C::IS_TRANSACTION {
                let message = "events are canceled in a transaction only; begin one";
                return Err(StoreError::new(
                    StoreErrorKind::NotAllowedHere,
                    "cancel",
                    message,
                ));
            }
            let session = OnClient {
                client: self.connection.client(),
                sql: &self.outbox.sql,
                now: self.outbox.now(),
                operation: "cancel",
                fault: callers_fault,
            };
            keyed::cancel_for_caller(&session, &cancel).await
        }))
    }
}

/// Resolves once the cancellation is committed, in a transaction of the store's own.
impl CancelSink<PostgresStore> for &PostgresStore {
    type Output = CancelFuture<'static>;

    fn cancel_events(self, cancel: Cancel) -> Self::Output {
        let store = self.clone();
        CancelFuture(Box::pin(async move { store.cancel_waiting(&cancel).await }))
    }
}

/// The future of a cancellation.
///
/// # Cancel safety
///
/// Once polled, the events may be canceled even if the future is dropped: on a store for good, in a
/// transaction of the caller if that commits. Canceling them again is harmless.
///
/// # Examples
///
/// ```no_run
/// use outbox_postgres::{CancelFuture, PostgresStore};
/// use outbox_runtime::{Cancel, StoreError};
///
/// # async fn undo(store: &PostgresStore) -> Result<(), StoreError> {
/// let canceling: CancelFuture<'_> = Cancel::key("user-1", "reminder-7").on(store);
/// println!("{} taken back", canceling.await?.canceled.len());
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is canceled until the future is awaited"]
pub struct CancelFuture<'c>(
    Pin<Box<dyn Future<Output = Result<Canceled, StoreError>> + Send + 'c>>,
);

impl Future for CancelFuture<'_> {
    type Output = Result<Canceled, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for CancelFuture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelFuture").finish_non_exhaustive()
    }
}

/// The events, or the first error with its index.
pub(crate) fn collect(
    events: impl Iterator<Item = Result<NewEvent, EnqueueError>>,
) -> Result<Vec<NewEvent>, EnqueueError> {
    let events = events.enumerate().map(|(index, event)| {
        let valid = event.and_then(|event| event.validate().map(|()| event));
        valid.map_err(|error| error.at(index))
    });
    events.collect()
}

/// The event is completed if and only if the transaction that is open on the connection commits;
/// without one, when the future resolves.
impl<'c, C: Connection> CompletionSink<PostgresStore> for OutboxOn<'c, C> {
    type Output = CompleteFuture<'c>;

    fn complete(self, completion: Result<Completion, CompleteError>) -> Self::Output {
        CompleteFuture::new(async move {
            let completion = completion?;
            let now = self.outbox.now();
            let client = self.connection.client();
            let sql = &self.outbox.sql;
            complete::complete(client, sql, C::IS_TRANSACTION, now, &completion).await
        })
    }
}

/// Implements superseding for transactions: a plain connection may have none open, and could then
/// do one without the other.
macro_rules! superseding {
    ($($transaction:ty;)+) => {$(
        /// Both take effect if and only if the transaction commits.
        impl<'c> SupersedingSink<PostgresStore> for OutboxOn<'c, $transaction> {
            type Output = CompleteFuture<'c, Enqueued>;

            fn supersede(self, step: Result<(Completion, NewEvent), CompleteError>) -> Self::Output {
                CompleteFuture::new(async move {
                    let (completion, next) = step?;
                    let now = self.outbox.now();
                    let client = self.connection.client();
                    complete::supersede(client, &self.outbox.sql, now, &completion, &next).await
                })
            }
        }

        /// Both take effect if and only if the transaction commits.
        impl<'c> SupersedingSink<PostgresStore> for &'c $transaction {
            type Output = CompleteFuture<'c, Enqueued>;

            fn supersede(self, step: Result<(Completion, NewEvent), CompleteError>) -> Self::Output {
                Outbox::default().on(self).supersede(step)
            }
        }
    )+};
}

superseding! {
    tokio_postgres::Transaction<'_>;
    deadpool_postgres::Transaction<'_>;
}

/// Implements the sinks for references to connections, which mean the schema `outbox`.
macro_rules! sinks {
    ($($connection:ty: $doc:literal;)+) => {$(
        #[doc = $doc]
        impl<'c> EventSink<PostgresStore> for &'c $connection {
            type Output = EnqueueFuture<'c>;

            fn enqueue(self, event: Result<NewEvent, EnqueueError>) -> Self::Output {
                Outbox::default().on(self).enqueue(event)
            }
        }

        /// The event is completed if and only if the transaction that is open on the connection
        /// commits; without one, when the future resolves.
        impl<'c> CompletionSink<PostgresStore> for &'c $connection {
            type Output = CompleteFuture<'c>;

            fn complete(self, completion: Result<Completion, CompleteError>) -> Self::Output {
                Outbox::default().on(self).complete(completion)
            }
        }

        /// All of the events or none, in the order given.
        impl<'c> BatchSink<PostgresStore> for &'c $connection {
            type Output = EnqueueFuture<'c, Vec<Enqueued>>;

            fn enqueue_all(
                self,
                events: impl Iterator<Item = Result<NewEvent, EnqueueError>>,
            ) -> Self::Output {
                Outbox::default().on(self).enqueue_all(events)
            }
        }

        /// In a transaction only; the events are canceled if and only if it commits.
        impl<'c> CancelSink<PostgresStore> for &'c $connection {
            type Output = CancelFuture<'c>;

            fn cancel_events(self, cancel: Cancel) -> Self::Output {
                Outbox::default().on(self).cancel_events(cancel)
            }
        }
    )+};
}

sinks! {
    tokio_postgres::Transaction<'_>:
        "The event exists if and only if the transaction commits. At every isolation level; an event \
         that coalesces is folded inside a savepoint.";
    deadpool_postgres::Transaction<'_>:
        "The event exists if and only if the transaction commits, as for a transaction of \
         `tokio-postgres`.";
    tokio_postgres::Client:
        "The event exists if and only if the transaction that is open on the connection commits; \
         without one, it is committed when the future resolves. Prefer a `Transaction`, which has \
         savepoints.";
    deadpool_postgres::Object:
        "The event exists if and only if the transaction that is open on the connection commits; \
         without one, it is committed when the future resolves.";
}
