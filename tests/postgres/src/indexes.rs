//! The indexes that a store creates when it needs them, and what scans read of any index.
#![allow(clippy::expect_used, reason = "a failed test panics")]

use std::time::Duration;

use outbox_postgres::PostgresStore;
use outbox_postgres::tokio_postgres::Client;
use outbox_runtime::store::SystemClock;
use outbox_runtime::{Clock, OutboxRepository};
use uuid::Uuid;

use crate::{connect, soon};

/// Creates the index by destination, as a store does once claims that leave destinations out have
/// become slow. A store that is to use it must not have made such a claim yet.
///
/// # Panics
///
/// If it cannot be created.
pub async fn index_by_destination(schema: &str) {
    let create = format!(
        "CREATE INDEX events_by_destination ON {schema}.events
             (coalesce(destination, ''), priority DESC, due, seq)
         WHERE slot::text = 'r' AND coalesce(destination, '') >= ''"
    );
    let created = connect().await.batch_execute(&create).await;
    created.expect("the index can be created");
}

/// Waits until a store has created this index in the background.
///
/// # Panics
///
/// If it is not there soon.
pub async fn is_indexed(store: &PostgresStore, client: &Client, index: &str) {
    let sql = "SELECT i.indisvalid FROM pg_index i WHERE i.indexrelid = to_regclass($1)";
    let name = format!("{}.{index}", store.schema());
    let there = async {
        loop {
            let row = client.query_opt(sql, &[&name]).await.expect("an answer");
            if row.is_some_and(|row| row.get(0)) {
                break;
            }
            SystemClock.sleep(Duration::from_millis(20)).await;
        }
    };
    soon(&format!("{index} is there"), there).await;
}

/// The number of entries that scans have read from these indexes, in all. One that is not there
/// counts as none.
///
/// # Panics
///
/// If the server does not answer.
pub async fn entries_read(store: &PostgresStore, client: &Client, indexes: &[&str]) -> i64 {
    let sql = "SELECT coalesce(sum(idx_tup_read), 0)::bigint FROM pg_stat_user_indexes
        WHERE schemaname = $1 AND indexrelname = ANY ($2)";
    // Sessions report what they have read once a second.
    let mut before = -1;
    loop {
        SystemClock.sleep(Duration::from_millis(1_200)).await;
        store.fetch_event(Uuid::nil()).await.expect("an answer");
        let row = client.query_one(sql, &[&store.schema(), &indexes]).await;
        let read = row.expect("an answer").get(0);
        if read == before {
            return read;
        }
        before = read;
    }
}
