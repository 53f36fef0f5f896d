//! Transactions of the store's own.

use deadpool_postgres::{Object, Transaction};
use tokio_postgres::IsolationLevel;

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
