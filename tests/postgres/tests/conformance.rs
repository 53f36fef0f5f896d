//! The PostgreSQL store keeps the storage contract.

use outbox_postgres::PostgresStore;
use outbox_testing::{ManualClock, conformance};

async fn make_store(clock: ManualClock) -> (PostgresStore, ()) {
    (
        outbox_postgres_tests::open(|store| store.clock(clock)).await,
        (),
    )
}

conformance!(make_store);
