//! The connections of rusqlite keep the promises that `sink_conformance!` lists for sinks.

use async_trait::async_trait;
use outbox_runtime::SqliteStore;
use outbox_runtime::rusqlite::{Connection, Savepoint, Transaction, TransactionBehavior};
use outbox_runtime::store::BoxError;
use outbox_testing::{SinkTransaction, SinkUnderTest, sink_conformance, sink_transaction};
use outbox_tests::{Temporary, sink_by_statements};

async fn connection() -> (Connection, SqliteStore, Temporary) {
    let temporary =
        Temporary::open_with(outbox_runtime::store::SqliteStoreBuilder::single_process).await;
    (temporary.connect(), temporary.store.clone(), temporary)
}

sink_by_statements!(OnConnection(Connection));

/// The types of rusqlite for transactions and savepoints.
struct OnTransaction(Connection);

struct Outer<'c>(Transaction<'c>);

struct Inner<'c>(Savepoint<'c>);

#[async_trait(?Send)]
impl SinkUnderTest for OnTransaction {
    async fn begin<'t>(
        &'t mut self,
        to_write: bool,
    ) -> Result<Box<dyn SinkTransaction + 't>, BoxError> {
        let behavior = match to_write {
            true => TransactionBehavior::Immediate,
            false => TransactionBehavior::Deferred,
        };
        let tx = self.0.transaction_with_behavior(behavior)?;
        Ok(Box::new(Outer(tx)))
    }

    fn can_become_stale(&self) -> bool {
        true
    }
}

sink_transaction! { sync Outer<'_>:
    sink |this| &this.0;
    read |this| this.0.query_row("SELECT count(*) FROM outbox_events", [], |_| Ok(()))?;
    savepoint |this| Inner(this.0.savepoint()?);
    end |this, commits| if commits { this.0.commit()? } else { this.0.rollback()? };
}

sink_transaction! { sync Inner<'_>:
    sink |this| &this.0;
    read |this| this.0.query_row("SELECT count(*) FROM outbox_events", [], |_| Ok(()))?;
    savepoint |this| Inner(this.0.savepoint()?);
    end |this, commits| if commits { this.0.commit()? } else { drop(this.0) };
}

mod on_a_connection {
    use super::*;

    async fn make() -> (OnConnection, SqliteStore, Temporary) {
        let (conn, store, temporary) = connection().await;
        (OnConnection(conn), store, temporary)
    }

    sink_conformance!(make);
}

mod on_a_transaction {
    use super::*;

    async fn make() -> (OnTransaction, SqliteStore, Temporary) {
        let (conn, store, temporary) = connection().await;
        (OnTransaction(conn), store, temporary)
    }

    sink_conformance!(make);
}
