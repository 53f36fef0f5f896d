//! Every store of ours keeps the storage contract.

mod memory {
    use outbox_runtime::MemoryStore;
    use outbox_runtime::testing::{ManualClock, conformance};

    async fn make_store(clock: ManualClock) -> (MemoryStore, ()) {
        (MemoryStore::with_clock(clock), ())
    }

    conformance!(make_store);
}

mod sqlite {
    use outbox_runtime::SqliteStore;
    use outbox_runtime::testing::{ManualClock, conformance};
    use tempfile::TempDir;

    async fn make_store(clock: ManualClock) -> (SqliteStore, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::builder(folder.path().join("outbox.db"))
            .clock(clock)
            .open()
            .await
            .unwrap();
        (store, folder)
    }

    conformance!(make_store);
}
