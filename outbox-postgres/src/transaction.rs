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
