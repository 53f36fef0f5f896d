//! The PostgreSQL store against the reference model of all stores.
//!
//! `OUTBOX_POSTGRES_CASES` is the number of random sequences of steps.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests, too"
)]

use std::any::Any;
use std::sync::Arc;

use outbox_postgres_tests::aside::{self, Aside};
use outbox_postgres_tests::{cases, connect, index_by_destination};
use outbox_runtime::OutboxRepository;
use outbox_testing::ManualClock;

use self::harness::{MakeStore, meet, passes};

#[allow(
    unreachable_pub,
    clippy::missing_panics_doc,
    clippy::needless_pass_by_value,
    clippy::option_option,
    reason = "a part of the tests of the other stores, which have other lints"
)]
#[path = "../../stores/model/harness/mod.rs"]
mod harness;

/// A step takes milliseconds.
const MOST_SHRINKS: u32 = 200;

/// A create that was cancelled leaves a note, which the next claim takes up.
struct Postgres;

impl MakeStore for Postgres {
    const MOST_SHRINKS: u32 = MOST_SHRINKS;
    const CANCELS_BESIDE_A_LEASE: bool = false;
    const MAY_LOOK_AGAIN: bool = true;

    async fn make(clock: ManualClock) -> (Arc<dyn OutboxRepository>, Box<dyn Any>) {
        (Arc::new(Aside::open(clock).await), Box::new(()))
    }
}

/// The same in a table in which events are hundreds of rows apart, as if others had been between
/// them: statistics come from counts of many blocks.
struct Spread;

impl MakeStore for Spread {
    const MOST_SHRINKS: u32 = MOST_SHRINKS;
    const CANCELS_BESIDE_A_LEASE: bool = false;
    const MAY_LOOK_AGAIN: bool = true;

    async fn make(clock: ManualClock) -> (Arc<dyn OutboxRepository>, Box<dyn Any>) {
        let store = Aside::open(clock).await;
        let schema = store.store().schema().to_owned();
        let spread = format!("ALTER TABLE {schema}.events ALTER COLUMN seq SET INCREMENT BY 300");
        let done = aside::run(async { connect().await.batch_execute(&spread).await });
        done.await.unwrap();
        (Arc::new(store), Box::new(Counted(schema)))
    }
}

/// The same with an index by destination: claims for some destinations look at each of them.
struct ByDestination;

impl MakeStore for ByDestination {
    const MOST_SHRINKS: u32 = MOST_SHRINKS;
    const CANCELS_BESIDE_A_LEASE: bool = false;
    const MAY_LOOK_AGAIN: bool = true;

    async fn make(clock: ManualClock) -> (Arc<dyn OutboxRepository>, Box<dyn Any>) {
        let store = Aside::open(clock).await;
        let schema = store.store().schema().to_owned();
        aside::run(async { index_by_destination(&schema).await }).await;
        (Arc::new(store), Box::new(()))
    }
}

/// Records on drop whether blocks of this schema were counted.
struct Counted(String);

impl Drop for Counted {
    fn drop(&mut self) {
        let sql = format!(
            "SELECT EXISTS (SELECT 1 FROM {}.tally WHERE fresh + retrying + completed + dead > 0)",
            self.0
        );
        let answer = aside::block_on(async { connect().await.query_one(&sql, &[]).await });
        if answer.is_ok_and(|row| row.get(0)) {
            meet("counted");
        }
    }
}

#[test]
fn the_postgres_store_equals_the_reference_after_every_step() {
    passes::<Postgres>(cases(50), 5);
}

#[test]
fn a_postgres_store_of_many_blocks_equals_the_reference_after_every_step() {
    let met = passes::<Spread>(cases(40), 7);
    assert!(met.contains("counted"), "no block was counted");
}

#[test]
fn a_postgres_store_that_looks_at_each_destination_equals_the_reference_after_every_step() {
    passes::<ByDestination>(cases(40), 9);
}
