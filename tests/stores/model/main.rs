//! Each store against a reference model: the same random steps, with answers and content compared
//! after each step.

use std::any::Any;
use std::sync::Arc;

use outbox_runtime::{Durability, MemoryStore, OutboxRepository};
use outbox_testing::ManualClock;
use outbox_tests::{Broken, Flaw, Temporary};

use self::harness::{MakeStore, meet, passes, run};

mod harness;

struct Memory;

impl MakeStore for Memory {
    async fn make(clock: ManualClock) -> (Arc<dyn OutboxRepository>, Box<dyn Any>) {
        (Arc::new(MemoryStore::with_clock(clock)), Box::new(()))
    }
}

struct Sqlite;

impl MakeStore for Sqlite {
    async fn make(clock: ManualClock) -> (Arc<dyn OutboxRepository>, Box<dyn Any>) {
        let made =
            Temporary::open_with(|builder| builder.clock(clock).durability(Durability::Normal));
        let made = made.await;
        (Arc::new(made.store.clone()), Box::new(made))
    }
}

/// The same on a file in which events are hundreds of rows apart, as if others had been between
/// them: statistics come from counts of many blocks.
struct Spread;

impl MakeStore for Spread {
    async fn make(clock: ManualClock) -> (Arc<dyn OutboxRepository>, Box<dyn Any>) {
        let made =
            Temporary::open_with(|builder| builder.clock(clock).durability(Durability::Normal));
        let made = made.await;
        let spread = "CREATE TRIGGER spread AFTER INSERT ON outbox_events BEGIN
             UPDATE outbox_events SET seq = seq + 300 WHERE seq = new.seq;
         END";
        made.connect().execute_batch(spread).unwrap();
        (Arc::new(made.store.clone()), Box::new(Counted(made)))
    }
}

/// Records on drop whether blocks were counted.
struct Counted(Temporary);

impl Drop for Counted {
    fn drop(&mut self) {
        let sql = "SELECT EXISTS (SELECT 1 FROM outbox_tally WHERE fresh + retrying + completed + dead > 0)";
        let is_counted = self.0.connect().query_row(sql, [], |row| row.get(0));
        if is_counted == Ok(true) {
            meet("counted");
        }
    }
}

#[test]
fn the_memory_store_equals_the_reference_after_every_step() {
    passes::<Memory>(400, 1);
}

#[test]
fn the_sqlite_store_equals_the_reference_after_every_step() {
    passes::<Sqlite>(100, 2);
}

#[test]
fn a_sqlite_store_of_many_blocks_equals_the_reference_after_every_step() {
    let met = passes::<Spread>(100, 4);
    assert!(met.contains("counted"), "no block was counted");
}

/// Stores with a flaw, one type each.
macro_rules! flaws {
    ($($flaw:ident,)+) => {
        $(
            struct $flaw;

            impl MakeStore for $flaw {
                async fn make(clock: ManualClock) -> (Arc<dyn OutboxRepository>, Box<dyn Any>) {
                    (Arc::new(Broken::new(Flaw::$flaw, clock)), Box::new(()))
                }
            }
        )+

        #[test]
        fn a_store_that_differs_from_the_reference_is_caught() {
            $(
                let found = run::<$flaw>(100, 3);
                let error = found.expect_err(stringify!($flaw)).to_string();
                println!("{}: {error}", stringify!($flaw));
            )+
        }
    };
}

flaws! {
    IgnoresTheToken,
    ForgetsToCount,
    HandsOutTwice,
    ForgetsAnOutcome,
    CompletesFailures,
    IgnoresOrder,
    LosesAnEvent,
    NeverRescues,
    ForgetsDueTimes,
    IgnoresUsers,
    Miscounts,
}
