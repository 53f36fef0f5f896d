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

/// A store with faults keeps the contract as long as none comes.
mod behind_a_fault_store {
    use outbox_testing::{FaultStore, ManualClock, conformance};

    async fn make_store(clock: ManualClock) -> (FaultStore, ()) {
        let (store, ()) = super::make_store(clock).await;
        (FaultStore::new(store), ())
    }

    conformance!(make_store);
}
