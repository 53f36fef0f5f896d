//! The promises that hold on each store, on PostgreSQL: the tests of `tests/promises` themselves,
//! with another store.
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

use std::future::Future;
use std::sync::Arc;

use outbox_postgres_tests::aside::Aside;
use outbox_runtime::OutboxRepository;
use outbox_testing::ManualClock;
pub use shared_tests::*;

/// Runs a case on a PostgreSQL store, with a manual clock.
pub fn on_each_store<F>(case: impl Fn(Arc<dyn OutboxRepository>, ManualClock) -> F)
where
    F: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let clock = ManualClock::new();
        let store = Aside::open(clock.clone()).await;
        case(Arc::new(store), clock).await;
    });
}

#[path = "../../promises/ahead.rs"]
mod ahead;
#[path = "../../promises/answered.rs"]
mod answered;
#[path = "../../promises/batch_handlers.rs"]
mod batch_handlers;
#[path = "../../promises/batches_in_order.rs"]
mod batches_in_order;
#[path = "../../promises/cancellation.rs"]
mod cancellation;
#[path = "../../promises/coalescing.rs"]
mod coalescing;
#[path = "../../promises/completing.rs"]
mod completing;
#[path = "../../promises/dead_letters.rs"]
mod dead_letters;
#[path = "../../promises/evidence.rs"]
mod evidence;
#[path = "../../promises/evidence_places.rs"]
mod evidence_places;
#[path = "../../promises/expiry.rs"]
mod expiry;
#[path = "../../promises/faults.rs"]
mod faults;
#[path = "../../promises/flush.rs"]
mod flush;
#[path = "../../promises/health.rs"]
mod health;
#[path = "../../stores/hostile_strings.rs"]
mod hostile_strings;
#[path = "../../promises/ids.rs"]
mod ids;
#[path = "../../promises/keys.rs"]
mod keys;
#[path = "../../promises/layers.rs"]
mod layers;
#[path = "../../promises/leases.rs"]
mod leases;
#[path = "../../promises/limits.rs"]
mod limits;
#[path = "../../promises/ordering.rs"]
mod ordering;
#[path = "../../promises/outcomes.rs"]
mod outcomes;
#[path = "../../promises/rate_limits.rs"]
mod rate_limits;
#[path = "../../promises/remembered.rs"]
mod remembered;
#[path = "../../promises/renames.rs"]
mod renames;
#[path = "../../promises/retry.rs"]
mod retry;
#[path = "../../promises/sign_out.rs"]
mod sign_out;
#[path = "../../stores/statistics.rs"]
mod statistics;
#[path = "../../promises/stop.rs"]
mod stop;
