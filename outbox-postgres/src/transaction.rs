//! Transactions of the store's own, and savepoints in those of callers.

use deadpool_postgres::{Object, Transaction};
use tokio_postgres::{GenericClient, IsolationLevel};

/// Begins a transaction in which each statement sees what was committed before it, whatever the
/// default of the role is.
pub(crate) async fn read_committed(
    client: &mut Object,
) -> Result<Transaction<'_>, tokio_postgres::Error> {
    let begin = client.build_transaction();
    let begin = begin.isolation_level(IsolationLevel::ReadCommitted);
    begin.start().await
}

/// Ends a transaction whose change is refused, before the caller hears of it. If it were merely
/// dropped, its locks would last until the server gets to know, and a claim on another connection
/// would step over the events meanwhile.
pub(crate) async fn roll_back(transaction: Transaction<'_>) {
    if let Err(error) = transaction.rollback().await {
        // The connection is gone, and its locks with it.
        tracing::debug!(%error, "a refused change was not rolled back");
    }
}

/// Begins a savepoint of the caller's transaction.
pub(crate) async fn begin_savepoint(
    client: &(impl GenericClient + Sync),
    name: &str,
) -> Result<(), tokio_postgres::Error> {
    client.batch_execute(&format!("SAVEPOINT {name}")).await
}

/// Ends a savepoint: what was done since is kept, or undone together with its locks.
pub(crate) async fn end_savepoint(
    client: &(impl GenericClient + Sync),
    name: &str,
    is_kept: bool,
) -> Result<(), tokio_postgres::Error> {
    let end = match is_kept {
        true => format!("RELEASE SAVEPOINT {name}"),
        false => format!("ROLLBACK TO SAVEPOINT {name}; RELEASE SAVEPOINT {name}"),
    };
    client.batch_execute(&end).await
}
