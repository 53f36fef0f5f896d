//! The PostgreSQL store against the reference model of all stores.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests, too"
)]

use std::any::Any;
use std::sync::Arc;

use outbox_postgres_tests::Aside;
use outbox_runtime::OutboxRepository;
use outbox_testing::ManualClock;

use self::harness::{MakeStore, passes};

#[path = "../../stores/model/harness/mod.rs"]
mod harness;

struct Postgres;

impl MakeStore for Postgres {
    const MOST_SHRINKS: u32 = 200;

    async fn make(clock: ManualClock) -> (Arc<dyn OutboxRepository>, Box<dyn Any>) {
        (Arc::new(Aside::open(clock).await), Box::new(()))
    }
}

#[test]
fn the_postgres_store_equals_the_reference_after_every_step() {
    passes::<Postgres>(60, 5);
}
