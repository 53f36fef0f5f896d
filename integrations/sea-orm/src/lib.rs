//! Transactions of sea-orm 2 take events: this file is all that an application needs.
//!
//! `tx.begin()` of sea-orm is a savepoint of sqlx inside, so a future that is dropped half-way
//! leaves all of a change or nothing.

use std::pin::Pin;

use outbox_runtime::store::{
    BatchSink, CancelSink, CompleteFuture, Completion, SqlValue, SqliteFailure, SqliteReply,
    SqliteStatement, SqliteStep,
};
use outbox_runtime::{
    Cancel, Canceled, CompleteError, CompletionSink, EnqueueError, Enqueued, EventSink, NewEvent,
    StoreError, SupersedingSink,
};
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement, TransactionTrait, Value,
};

/// The marker of the sinks below.
#[derive(Debug)]
pub enum SeaOrm {}

/// What the sinks return.
pub type Working<'c, T, E = EnqueueError> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>;

/// The event exists if and only if the transaction commits.
impl<'c> EventSink<SeaOrm> for &'c DatabaseTransaction {
    type Output = Working<'c, Enqueued>;

    fn enqueue(self, event: Result<NewEvent, EnqueueError>) -> Self::Output {
        Box::pin(async move { run(self, "enqueue", SqliteStep::enqueue(event?)).await })
    }
}

/// All of the events or none; an error leaves the transaction open.
impl<'c> BatchSink<SeaOrm> for &'c DatabaseTransaction {
    type Output = Working<'c, Vec<Enqueued>>;

    fn enqueue_all(
        self,
        events: impl Iterator<Item = Result<NewEvent, EnqueueError>>,
    ) -> Self::Output {
        Box::pin(run(self, "enqueue", SqliteStep::enqueue_all(events)))
    }
}

/// The events are canceled if and only if the transaction commits.
impl<'c> CancelSink<SeaOrm> for &'c DatabaseTransaction {
    type Output = Working<'c, Canceled, StoreError>;

    fn cancel_events(self, cancel: Cancel) -> Self::Output {
        Box::pin(run(self, "cancel", SqliteStep::cancel(cancel)))
    }
}

/// The event is completed if and only if the transaction commits.
impl<'c> CompletionSink<SeaOrm> for &'c DatabaseTransaction {
    type Output = CompleteFuture<'c>;

    fn complete(self, completion: Result<Completion, CompleteError>) -> Self::Output {
        CompleteFuture::new(async move {
            run(self, "complete", SqliteStep::complete(completion?)).await
        })
    }
}

/// Both take effect if and only if the transaction commits.
impl<'c> SupersedingSink<SeaOrm> for &'c DatabaseTransaction {
    type Output = CompleteFuture<'c, Enqueued>;

    fn supersede(self, step: Result<(Completion, NewEvent), CompleteError>) -> Self::Output {
        CompleteFuture::new(async move {
            let (completion, next) = step?;
            run(self, "complete", SqliteStep::supersede(completion, next)).await
        })
    }
}

async fn run<T, E: From<StoreError>>(
    tx: &DatabaseTransaction,
    operation: &'static str,
    mut step: SqliteStep<Result<T, E>>,
) -> Result<T, E> {
    let fault = |error| failure(error).into_store_error(operation);
    let whole = tx.begin().await.map_err(fault)?;
    let done = loop {
        match step {
            SqliteStep::Run(statement, work) => {
                let reply = run_statement(&whole, &statement).await;
                step = work.answer(reply.map_err(failure));
            }
            SqliteStep::Done(done) => break done,
        }
    }?;
    whole.commit().await.map_err(fault)?;
    Ok(done)
}

async fn run_statement(
    tx: &DatabaseTransaction,
    statement: &SqliteStatement,
) -> Result<SqliteReply, DbErr> {
    let values = statement.params().iter().map(|value| match value {
        SqlValue::Integer(number) => Value::from(*number),
        SqlValue::Real(number) => Value::from(*number),
        SqlValue::Text(text) => Value::from(text.clone()),
        SqlValue::Blob(bytes) => Value::from(bytes.clone()),
        _ => Value::from(None::<i64>),
    });
    let query = Statement::from_sql_and_values(DbBackend::Sqlite, statement.sql(), values);
    if !statement.returns_rows() {
        let done = tx.execute_raw(query).await?;
        return Ok(SqliteReply::Changed(done.rows_affected()));
    }
    let rows = tx.query_all_raw(query).await?;
    let rows = rows.iter().filter_map(|row| row.try_as_sqlite_row());
    let rows: Result<Vec<_>, _> = rows.map(outbox_sqlx::row_values).collect();
    let rows = rows.map_err(|error| DbErr::Custom(error.to_string()))?;
    Ok(SqliteReply::Rows(rows))
}

/// The text of the error has SQLite's message, which tells its kind.
fn failure(error: DbErr) -> SqliteFailure {
    SqliteFailure::new(error).in_transaction(true)
}
