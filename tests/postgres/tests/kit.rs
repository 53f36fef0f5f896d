//! The test kit for applications on PostgreSQL: the tests of `tests/promises/kit` themselves, with
//! another store, and what applications do in transactions of their own.
//!
//! This crate stands in for the library of those tests, `outbox_tests`. It has everything that the
//! library has, and its own [`on_each_store`].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::needless_pass_by_value,
    reason = "helpers of tests are tests, too, and the tests are those of a package with other lints"
)]

extern crate self as outbox_tests;

use std::sync::Arc;
use std::time::Duration;

pub use outbox_postgres_tests::aside::on_each_store;
use outbox_postgres_tests::{connect, open};
use outbox_runtime::{DeadReason, HandlerSet, WaitsFor, prelude::*};
use outbox_testing::{Inline, assert_enqueued, drain, enqueued, refute_enqueued, run_until_failed};
pub use shared_tests::*;

use crate::entities::{Goal, MoodEntry, SOON, goal, message_of, mood};

#[path = "../../promises/kit/enqueued.rs"]
mod assertions;
#[path = "../../promises/kit/delivering.rs"]
mod delivering;
#[path = "../../promises/kit/entities.rs"]
mod entities;

/// A PostgreSQL store on the server's clock.
async fn stores() -> [Arc<dyn OutboxRepository>; 1] {
    [Arc::new(open(|store| store).await)]
}

/// Delivers goals with an odd id and rejects those with an even one.
fn odd() -> HandlerSet {
    HandlerSet::new().with(|event: Event<Goal>| async move {
        match event.entity_id.as_integer() {
            Some(id) if id % 2 == 1 => Ok(()),
            _ => Err(HandlerError::permanent("even")),
        }
    })
}

#[tokio::test]
async fn an_assertion_sees_what_a_transaction_enqueued_once_that_is_committed() {
    let store = open(|store| store).await;
    let outbox = store.outbox();
    let mut client = connect().await;
    for commits in [false, true] {
        let tx = client.transaction().await.unwrap();
        let change = mood(7, 0.5).enqueue_update();
        change.on(outbox.on(&tx)).await.unwrap();
        refute_enqueued!(store, MoodEntry);
        match commits {
            true => tx.commit().await.unwrap(),
            false => tx.rollback().await.unwrap(),
        }
        assert_eq!(
            enqueued::<MoodEntry>(&store).await.unwrap().len(),
            usize::from(commits)
        );
    }
    assert_enqueued!(
        store,
        MoodEntry { valence: 0.5, .. },
        operation = Update,
        count = 1
    );
}

#[tokio::test]
async fn what_a_transaction_enqueues_is_settled_inline_after_its_commit() {
    let store = open(|store| store).await;
    let outbox = store.outbox();
    let inline = Inline::start(store.clone(), odd()).unwrap();
    let mut client = connect().await;
    for id in 1..=6 {
        let tx = client.transaction().await.unwrap();
        goal(id).enqueue_create().on(outbox.on(&tx)).await.unwrap();
        tx.commit().await.unwrap();
        let report = within(inline.settled()).await.unwrap();
        let dead = usize::try_from(id / 2).unwrap();
        assert_eq!((report.dead.len(), report.waiting.len()), (dead, 0));
        let event = match id % 2 {
            1 => assert_enqueued!(store, Goal, entity_id = id, status = Completed),
            _ => assert_enqueued!(store, Goal, entity_id = id, status = Dead),
        };
        assert_eq!(event.attempt_count, 1);
    }
}

#[tokio::test]
async fn a_drain_and_a_run_until_the_first_failure_work_on_the_clock_of_the_server() {
    let store = open(|store| store).await;
    let processor = Processor::builder(store.clone()).handlers(odd());
    let processor = processor.build().unwrap();
    for id in [1, 3, 5] {
        goal(id).enqueue_create().on(&store).await.unwrap();
    }
    let later = goal(7).enqueue_create().delay(Duration::from_secs(3_600));
    later.on(&store).await.unwrap();
    let report = within(drain(&processor, SOON)).await.unwrap();
    assert_eq!((report.delivered.len(), report.dead.len()), (3, 0));
    let waits_for = &report.waiting_for(7).unwrap().waits_for;
    assert!(matches!(waits_for, WaitsFor::DueTime { .. }), "{report}");
    goal(2).enqueue_create().on(&store).await.unwrap();
    let failed = within(run_until_failed(&processor, SOON)).await.unwrap();
    let failed = failed.unwrap();
    assert_eq!(failed.entity_id, EntityId::from(2));
    assert_eq!(failed.dead_reason, Some(DeadReason::Rejected));
}
