//! Transactions of tokio-postgres keep the promises that `sink_conformance!` lists for sinks.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use outbox_postgres::tokio_postgres::{Client, Transaction};
use outbox_postgres::{Outbox, PostgresStore};
use outbox_postgres_tests::{connect, open};
use outbox_runtime::async_trait;
use outbox_runtime::store::BoxError;
use outbox_testing::{SinkTransaction, SinkUnderTest, sink_conformance, sink_transaction};

struct OnTransaction {
    client: Client,
    outbox: Outbox,
}

struct Open<'c> {
    tx: Transaction<'c>,
    outbox: &'c Outbox,
}

#[async_trait(?Send)]
impl SinkUnderTest for OnTransaction {
    async fn begin<'t>(
        &'t mut self,
        _to_write: bool,
    ) -> Result<Box<dyn SinkTransaction + 't>, BoxError> {
        Ok(Box::new(Open {
            tx: self.client.transaction().await?,
            outbox: &self.outbox,
        }))
    }
}

sink_transaction! { async Open<'_>:
    sink |this| this.outbox.on(&this.tx);
    read |this| drop(this.tx.query("SELECT 1 FROM pg_class LIMIT 1", &[]).await?);
    savepoint |this| Open { tx: this.tx.transaction().await?, outbox: this.outbox };
    end |this, commits| if commits { this.tx.commit().await? } else { this.tx.rollback().await? };
}

async fn make() -> (OnTransaction, PostgresStore, ()) {
    let store = open(|store| store).await;
    let sink = OnTransaction {
        client: connect().await,
        outbox: store.outbox(),
    };
    (sink, store, ())
}

sink_conformance!(make);
