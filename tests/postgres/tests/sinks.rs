//! Transactions of tokio-postgres and deadpool-postgres keep the promises that `sink_conformance!`
//! lists for sinks.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use outbox_postgres::tokio_postgres::NoTls;
use outbox_postgres::{Outbox, PostgresStore, deadpool_postgres, tokio_postgres};
use outbox_postgres_tests::{config, connect, open};
use outbox_runtime::async_trait;
use outbox_runtime::store::BoxError;
use outbox_testing::{SinkTransaction, SinkUnderTest, sink_conformance, sink_transaction};

/// A client, and the outbox that its transactions write to.
struct Sink<C> {
    client: C,
    outbox: Outbox,
}

/// A transaction or a savepoint of either library.
struct Open<'c, T> {
    tx: T,
    outbox: &'c Outbox,
}

macro_rules! transactions {
    ($($client:ty, $tx:ty;)+) => {$(
        #[async_trait(?Send)]
        impl SinkUnderTest for Sink<$client> {
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

        sink_transaction! { async Open<'_, $tx>:
            sink |this| this.outbox.on(&this.tx);
            read |this| drop(this.tx.query("SELECT 1 FROM pg_class LIMIT 1", &[]).await?);
            savepoint |this| Open { tx: this.tx.transaction().await?, outbox: this.outbox };
            end |this, commits| if commits { this.tx.commit().await? } else { this.tx.rollback().await? };
        }
    )+};
}

transactions! {
    tokio_postgres::Client, tokio_postgres::Transaction<'_>;
    deadpool_postgres::Object, deadpool_postgres::Transaction<'_>;
}

mod on_tokio_postgres {
    use super::*;

    async fn make() -> (Sink<tokio_postgres::Client>, PostgresStore, ()) {
        let store = open(|store| store).await;
        let sink = Sink {
            client: connect().await,
            outbox: store.outbox(),
        };
        (sink, store, ())
    }

    sink_conformance!(make);
}

mod on_deadpool_postgres {
    use super::*;
    use deadpool_postgres::{Manager, Object, Pool};

    async fn make() -> (Sink<Object>, PostgresStore, Pool) {
        let store = open(|store| store).await;
        let pool = Pool::builder(Manager::new(config(), NoTls)).max_size(1);
        let pool = pool.build().unwrap();
        let sink = Sink {
            client: pool.get().await.unwrap(),
            outbox: store.outbox(),
        };
        (sink, store, pool)
    }

    sink_conformance!(make);
}
