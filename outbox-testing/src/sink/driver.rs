//! A driver under test, and its transactions.

use async_trait::async_trait;
use outbox_runtime::store::BoxError;
use outbox_runtime::{
    Cancel, Canceled, CompleteError, Enqueue, EnqueueError, Enqueued, NewEvent, OutboxEvent,
    StoreError,
};

/// A driver whose connections take events, as [`sink_conformance!`](crate::sink_conformance) sees
/// it: something that begins transactions.
///
/// # Examples
///
/// A connection of rusqlite, with the statements for transactions written out:
///
/// ```
/// use async_trait::async_trait;
/// use outbox_runtime::store::BoxError;
/// use outbox_runtime::{SqliteStore, rusqlite::Connection};
/// use outbox_testing::{SinkTransaction, SinkUnderTest, sink_transaction};
///
/// struct ByHand(Connection);
///
/// #[async_trait(?Send)]
/// impl SinkUnderTest for ByHand {
///     async fn begin<'t>(
///         &'t mut self,
///         to_write: bool,
///     ) -> Result<Box<dyn SinkTransaction + 't>, BoxError> {
///         let conn = &self.0;
///         conn.execute_batch(if to_write { "BEGIN IMMEDIATE" } else { "BEGIN" })?;
///         Ok(Box::new(Open { conn, keep: "COMMIT", undo: "ROLLBACK" }))
///     }
///
///     fn can_become_stale(&self) -> bool {
///         true
///     }
/// }
///
/// /// A transaction or a savepoint, and how each ends.
/// struct Open<'c> {
///     conn: &'c Connection,
///     keep: &'static str,
///     undo: &'static str,
/// }
///
/// sink_transaction! { sync Open<'_>:
///     sink |this| this.conn;
///     read |this| this.conn.query_row("SELECT count(*) FROM outbox_events", [], |_| Ok(()))?;
///     savepoint |this| {
///         this.conn.execute_batch("SAVEPOINT mine")?;
///         Open { conn: this.conn, keep: "RELEASE mine", undo: "ROLLBACK TO mine; RELEASE mine" }
///     };
///     end |this, commits| {
///         this.conn.execute_batch(if commits { this.keep } else { this.undo })?;
///     };
/// }
///
/// async fn make() -> (ByHand, SqliteStore, tempfile::TempDir) {
///     let folder = tempfile::tempdir().unwrap();
///     let path = folder.path().join("app.db");
///     let store = SqliteStore::builder(&path).single_process().open().await.unwrap();
///     (ByHand(Connection::open(&path).unwrap()), store, folder)
/// }
///
/// mod by_hand {
///     outbox_testing::sink_conformance!(super::make);
/// }
/// # fn main() {}
/// ```
#[async_trait(?Send)]
pub trait SinkUnderTest {
    /// Begins a transaction. With `to_write`, it begins with a lock for writing, where the database
    /// has such transactions: `BEGIN IMMEDIATE` in SQLite.
    ///
    /// # Errors
    ///
    /// Whatever fails.
    async fn begin<'t>(
        &'t mut self,
        to_write: bool,
    ) -> Result<Box<dyn SinkTransaction + 't>, BoxError>;

    /// Whether a transaction that reads first can no longer write after another one has committed,
    /// as in SQLite. Default: false.
    fn can_become_stale(&self) -> bool {
        false
    }
}

/// A transaction of a [`SinkUnderTest`], or a savepoint in one.
/// [`sink_transaction!`](crate::sink_transaction) implements it by the sinks of the driver.
///
/// # Examples
///
/// ```
/// use outbox_runtime::store::BoxError;
/// use outbox_runtime::{Cancel, Enqueue, NewEvent, OutboxEvent};
/// use outbox_testing::SinkTransaction;
///
/// /// Completes one of two events, and leaves no trace of what it does besides.
/// async fn complete(
///     mut tx: Box<dyn SinkTransaction + '_>,
///     [first, second]: [&OutboxEvent; 2],
///     (new, next): (NewEvent, Enqueue),
/// ) -> Result<(), BoxError> {
///     tx.read().await?;
///     tx.complete(first).await?;
///     let mut savepoint = tx.savepoint().await?;
///     savepoint.supersede(second, next).await?;
///     savepoint.enqueue(new.clone()).await?;
///     savepoint.enqueue_all(vec![new]).await?;
///     savepoint.cancel(Cancel::entity("user-1", 7)).await?;
///     savepoint.end(false).await?;
///     tx.end(true).await
/// }
/// ```
#[async_trait(?Send)]
pub trait SinkTransaction {
    /// Enqueues one event, by `EventSink`.
    async fn enqueue(&mut self, event: NewEvent) -> Result<Enqueued, EnqueueError>;

    /// Enqueues these events together, by `BatchSink`.
    async fn enqueue_all(&mut self, events: Vec<NewEvent>) -> Result<Vec<Enqueued>, EnqueueError>;

    /// Cancels events, by `CancelSink`.
    async fn cancel(&mut self, cancel: Cancel) -> Result<Canceled, StoreError>;

    /// Completes a claimed event, by `CompletionSink`: calls `event.complete_on(..)`.
    async fn complete(&mut self, event: &OutboxEvent) -> Result<(), CompleteError>;

    /// Completes a claimed event and enqueues the next, by `SupersedingSink`: calls
    /// `event.supersede_on(.., next)`.
    async fn supersede(
        &mut self,
        event: &OutboxEvent,
        next: Enqueue,
    ) -> Result<Enqueued, CompleteError>;

    /// Reads any table, so that the transaction has a snapshot.
    ///
    /// # Errors
    ///
    /// Whatever fails.
    async fn read(&mut self) -> Result<(), BoxError>;

    /// Begins a savepoint.
    ///
    /// # Errors
    ///
    /// Whatever fails.
    async fn savepoint<'t>(&'t mut self) -> Result<Box<dyn SinkTransaction + 't>, BoxError>;

    /// Commits or rolls back.
    ///
    /// # Errors
    ///
    /// Whatever fails.
    async fn end(self: Box<Self>, commits: bool) -> Result<(), BoxError>;
}

/// Implements [`SinkTransaction`] for a type by the sinks of its driver.
///
/// The word before the type tells whether the sinks are `sync`, and return results, or `async`, and
/// return futures. Then come the sink of a transaction, which is a reference or a value for one
/// call; how it reads any table; how it begins a savepoint, which must be of a type that implements
/// the trait, too; and how it commits or rolls back. All of these may use `?`, and `await`.
///
/// # Examples
///
/// ```
/// use outbox_runtime::rusqlite::{Savepoint, Transaction};
/// use outbox_testing::sink_transaction;
///
/// struct Outer<'c>(Transaction<'c>);
/// struct Inner<'c>(Savepoint<'c>);
///
/// sink_transaction! { sync Outer<'_>:
///     sink |this| &this.0;
///     read |this| this.0.query_row("SELECT count(*) FROM outbox_events", [], |_| Ok(()))?;
///     savepoint |this| Inner(this.0.savepoint()?);
///     end |this, commits| if commits { this.0.commit()? } else { this.0.rollback()? };
/// }
///
/// sink_transaction! { sync Inner<'_>:
///     sink |this| &this.0;
///     read |this| this.0.query_row("SELECT count(*) FROM outbox_events", [], |_| Ok(()))?;
///     savepoint |this| Inner(this.0.savepoint()?);
///     end |this, commits| if commits { this.0.commit()? } else { drop(this.0) };
/// }
/// ```
#[macro_export]
macro_rules! sink_transaction {
    (sync $($rest:tt)+) => {
        $crate::sink_transaction! { @impl [] $($rest)+ }
    };
    (async $($rest:tt)+) => {
        $crate::sink_transaction! { @impl [.await] $($rest)+ }
    };
    (@impl [$($await:tt)*] $transaction:ty:
        sink |$of:ident| $sink:expr;
        read |$reader:ident| $read:expr;
        savepoint |$outer:ident| $savepoint:expr;
        end |$ended:ident, $commits:ident| $end:expr;
    ) => {
        #[$crate::__runtime::async_trait(?Send)]
        impl $crate::SinkTransaction for $transaction {
            async fn enqueue(
                &mut self,
                event: $crate::__runtime::NewEvent,
            ) -> ::std::result::Result<
                $crate::__runtime::Enqueued,
                $crate::__runtime::EnqueueError,
            > {
                let $of = self;
                $crate::__runtime::EventSink::enqueue($sink, ::std::result::Result::Ok(event)) $($await)*
            }

            async fn enqueue_all(
                &mut self,
                events: ::std::vec::Vec<$crate::__runtime::NewEvent>,
            ) -> ::std::result::Result<
                ::std::vec::Vec<$crate::__runtime::Enqueued>,
                $crate::__runtime::EnqueueError,
            > {
                let $of = self;
                let events = events.into_iter().map(::std::result::Result::Ok);
                $crate::__runtime::store::BatchSink::enqueue_all($sink, events) $($await)*
            }

            async fn cancel(
                &mut self,
                cancel: $crate::__runtime::Cancel,
            ) -> ::std::result::Result<
                $crate::__runtime::Canceled,
                $crate::__runtime::StoreError,
            > {
                let $of = self;
                cancel.on($sink) $($await)*
            }

            async fn complete(
                &mut self,
                event: &$crate::__runtime::OutboxEvent,
            ) -> ::std::result::Result<(), $crate::__runtime::CompleteError> {
                let $of = self;
                event.complete_on($sink) $($await)*
            }

            async fn supersede(
                &mut self,
                event: &$crate::__runtime::OutboxEvent,
                next: $crate::__runtime::Enqueue,
            ) -> ::std::result::Result<
                $crate::__runtime::Enqueued,
                $crate::__runtime::CompleteError,
            > {
                let $of = self;
                event.supersede_on($sink, next) $($await)*
            }

            async fn read(
                &mut self,
            ) -> ::std::result::Result<(), $crate::__runtime::store::BoxError> {
                let $reader = self;
                $read;
                ::std::result::Result::Ok(())
            }

            async fn savepoint<'t>(
                &'t mut self,
            ) -> ::std::result::Result<
                ::std::boxed::Box<dyn $crate::SinkTransaction + 't>,
                $crate::__runtime::store::BoxError,
            > {
                let $outer = self;
                ::std::result::Result::Ok(::std::boxed::Box::new($savepoint))
            }

            async fn end(
                self: ::std::boxed::Box<Self>,
                $commits: bool,
            ) -> ::std::result::Result<(), $crate::__runtime::store::BoxError> {
                let $ended = *self;
                $end;
                ::std::result::Result::Ok(())
            }
        }
    };
}
