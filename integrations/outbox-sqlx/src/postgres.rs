//! Connections and transactions of PostgreSQL.

use std::fmt;

use outbox_postgres::{Outbox, PostgresFailure, PostgresStatement, PostgresStep, PostgresValue};
use outbox_runtime::store::{BatchSink, CancelSink, CompleteFuture, Completion};
use outbox_runtime::{
    Cancel, Canceled, CompleteError, CompletionSink, EnqueueError, Enqueued, EventSink, NewEvent,
    StoreError, SupersedingSink,
};
use sqlx::postgres::PgRow;
use sqlx::{
    AssertSqlSafe, Column as _, Connection as _, PgConnection, Postgres, Row as _, Transaction,
    TypeInfo as _,
};

use crate::{Sqlx, SqlxFuture};

/// A sink for the events of an outbox in a schema other than `outbox`, on one connection or
/// transaction. Made by [`in_outbox`].
///
/// # Examples
///
/// ```
/// use outbox_postgres::Outbox;
/// use outbox_sqlx::{InOutbox, in_outbox};
/// use sqlx::PgConnection;
///
/// /// Each tenant has a schema with an outbox.
/// struct Tenant {
///     outbox: Outbox,
/// }
///
/// impl Tenant {
///     /// For `change.on(tenant.sink(&mut tx)).await?`.
///     fn sink<'c>(&self, conn: &'c mut PgConnection) -> InOutbox<'c> {
///         in_outbox(&self.outbox, conn)
///     }
/// }
/// ```
pub struct InOutbox<'c> {
    outbox: Outbox,
    conn: &'c mut PgConnection,
}

/// A sink that writes to this outbox. A connection or transaction passed to `.on(..)` by itself
/// means the schema `outbox`.
///
/// # Examples
///
/// ```no_run
/// use outbox_postgres::Outbox;
/// use outbox_runtime::Enqueue;
/// use outbox_sqlx::in_outbox;
/// use sqlx::PgPool;
///
/// # async fn bill(pool: &PgPool, change: Enqueue) -> Result<(), Box<dyn std::error::Error>> {
/// let billing = Outbox::in_schema("billing_outbox")?;
/// let mut tx = pool.begin().await?;
/// change.on(in_outbox(&billing, &mut tx)).await?;
/// tx.commit().await?;
/// # Ok(())
/// # }
/// ```
pub fn in_outbox<'c>(outbox: &Outbox, conn: &'c mut PgConnection) -> InOutbox<'c> {
    let outbox = outbox.clone();
    InOutbox { outbox, conn }
}

impl fmt::Debug for InOutbox<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InOutbox")
            .field("outbox", &self.outbox)
            .finish_non_exhaustive()
    }
}

/// The event exists if and only if the transaction that is open on the connection commits; without
/// one, it is committed when the future resolves.
impl<'c> EventSink<Sqlx> for InOutbox<'c> {
    type Output = SqlxFuture<'c, Result<Enqueued, EnqueueError>>;

    fn enqueue(self, event: Result<NewEvent, EnqueueError>) -> Self::Output {
        SqlxFuture::new(async move {
            let Self { outbox, conn } = self;
            let event = event?;
            let is_one_row = !event.may_fold() && event.key().is_none();
            let step = outbox.enqueue_step(event);
            match is_one_row && conn.is_in_transaction() {
                // Only one of its statements writes.
                true => run(conn, step).await,
                false => run_whole(conn, "enqueue", step).await,
            }
        })
    }
}

/// All of the events or none, in the order given; an error leaves the transaction open.
impl<'c> BatchSink<Sqlx> for InOutbox<'c> {
    type Output = SqlxFuture<'c, Result<Vec<Enqueued>, EnqueueError>>;

    fn enqueue_all(
        self,
        events: impl Iterator<Item = Result<NewEvent, EnqueueError>>,
    ) -> Self::Output {
        let step = self.outbox.enqueue_all_step(events);
        SqlxFuture::new(run_whole(self.conn, "enqueue", step))
    }
}

/// The events are canceled if and only if the transaction that is open on the connection commits;
/// without one, when the future resolves.
impl<'c> CancelSink<Sqlx> for InOutbox<'c> {
    type Output = SqlxFuture<'c, Result<Canceled, StoreError>>;

    fn cancel_events(self, cancel: Cancel) -> Self::Output {
        let step = self.outbox.cancel_step(cancel);
        SqlxFuture::new(run_whole(self.conn, "cancel", step))
    }
}

/// The event is completed if and only if the transaction that is open on the connection commits;
/// without one, when the future resolves.
impl<'c> CompletionSink<Sqlx> for InOutbox<'c> {
    type Output = CompleteFuture<'c>;

    fn complete(self, completion: Result<Completion, CompleteError>) -> Self::Output {
        CompleteFuture::new(async move {
            let step = self.outbox.complete_step(completion?);
            run_whole(self.conn, "complete", step).await
        })
    }
}

/// Both take effect if and only if the transaction that is open on the connection commits; without
/// one, when the future resolves.
impl<'c> SupersedingSink<Sqlx> for InOutbox<'c> {
    type Output = CompleteFuture<'c, Enqueued>;

    fn supersede(self, step: Result<(Completion, NewEvent), CompleteError>) -> Self::Output {
        CompleteFuture::new(async move {
            let (completion, next) = step?;
            let step = self.outbox.supersede_step(completion, next);
            run_whole(self.conn, "complete", step).await
        })
    }
}

/// Runs work in a savepoint of sqlx, or in a transaction where none is open. If this future is
/// dropped half-way, sqlx rolls it back before the connection does anything else.
async fn run_whole<T, E: From<StoreError>>(
    conn: &mut PgConnection,
    operation: &'static str,
    step: PostgresStep<Result<T, E>>,
) -> Result<T, E> {
    let in_transaction = conn.is_in_transaction();
    let fails = |error| failure(error).into_store_error(operation);
    let mut whole = conn.begin().await.map_err(fails)?;
    let done = match run(&mut whole, step).await {
        Ok(done) => done,
        Err(error) => {
            // The first error is the one to report; a connection that is gone is rolled back.
            let _ = whole.rollback().await;
            return Err(error);
        }
    };
    whole.commit().await.map_err(|error| match in_transaction {
        true => fails(error),
        false => fails(error).with_unknown_outcome(),
    })?;
    Ok(done)
}

async fn run<T>(conn: &mut PgConnection, step: PostgresStep<T>) -> T {
    let mut step = step;
    loop {
        match step {
            PostgresStep::Run(statement, work) => {
                let rows = run_statement(conn, &statement).await;
                step = work.answer(rows.map_err(failure));
            }
            PostgresStep::Done(done) => return done,
        }
    }
}

async fn run_statement(
    conn: &mut PgConnection,
    statement: &PostgresStatement,
) -> Result<Vec<Vec<PostgresValue>>, sqlx::Error> {
    let mut query = sqlx::query::<Postgres>(AssertSqlSafe(statement.sql().to_owned()));
    for value in statement.params() {
        query = match value.clone() {
            PostgresValue::Integer(number) => query.bind(number),
            PostgresValue::Text(text) => query.bind(text),
        };
    }
    if !statement.returns_rows() {
        query.persistent(false).execute(conn).await?;
        return Ok(Vec::new());
    }
    let rows = query.fetch_all(conn).await?;
    rows.iter().map(values).collect()
}

fn values(row: &PgRow) -> Result<Vec<PostgresValue>, sqlx::Error> {
    let value = |column: &sqlx::postgres::PgColumn| {
        let at = column.ordinal();
        Ok(match column.type_info().name() {
            "INT8" => PostgresValue::Integer(row.try_get(at)?),
            _ => PostgresValue::Text(row.try_get(at)?),
        })
    };
    row.columns().iter().map(value).collect()
}

fn failure(error: sqlx::Error) -> PostgresFailure {
    let state = error
        .as_database_error()
        .and_then(|error| error.code().map(std::borrow::Cow::into_owned));
    let failure = PostgresFailure::new(error);
    match state {
        Some(state) => failure.with_sqlstate(&state),
        None => failure,
    }
}

macro_rules! sinks {
    ($($sink:ty: $doc:literal;)+) => {$(
        #[doc = $doc]
        impl<'c> EventSink<Sqlx> for &'c mut $sink {
            type Output = SqlxFuture<'c, Result<Enqueued, EnqueueError>>;

            fn enqueue(self, event: Result<NewEvent, EnqueueError>) -> Self::Output {
                in_outbox(&Outbox::default(), self).enqueue(event)
            }
        }

        #[doc = $doc]
        ///
        /// All of the events or none, in the order given; an error leaves the transaction open.
        impl<'c> BatchSink<Sqlx> for &'c mut $sink {
            type Output = SqlxFuture<'c, Result<Vec<Enqueued>, EnqueueError>>;

            fn enqueue_all(
                self,
                events: impl Iterator<Item = Result<NewEvent, EnqueueError>>,
            ) -> Self::Output {
                in_outbox(&Outbox::default(), self).enqueue_all(events)
            }
        }

        #[doc = $doc]
        impl<'c> CancelSink<Sqlx> for &'c mut $sink {
            type Output = SqlxFuture<'c, Result<Canceled, StoreError>>;

            fn cancel_events(self, cancel: Cancel) -> Self::Output {
                in_outbox(&Outbox::default(), self).cancel_events(cancel)
            }
        }

        #[doc = $doc]
        impl<'c> CompletionSink<Sqlx> for &'c mut $sink {
            type Output = CompleteFuture<'c>;

            fn complete(self, completion: Result<Completion, CompleteError>) -> Self::Output {
                in_outbox(&Outbox::default(), self).complete(completion)
            }
        }

        #[doc = $doc]
        impl<'c> SupersedingSink<Sqlx> for &'c mut $sink {
            type Output = CompleteFuture<'c, Enqueued>;

            fn supersede(self, step: Result<(Completion, NewEvent), CompleteError>) -> Self::Output {
                in_outbox(&Outbox::default(), self).supersede(step)
            }
        }
    )+};
}

sinks! {
    PgConnection:
        "Takes effect if and only if the transaction that is open on the connection commits; \
         without one, it is committed when the future resolves.";
    Transaction<'_, Postgres>: "Takes effect if and only if the transaction commits.";
}
