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

pub use outbox_postgres_tests::aside::on_each_store;
pub use shared_tests::*;

#[path = "../../promises/ahead.rs"]
mod ahead;
#[path = "../../promises/answered.rs"]
mod answered;
#[path = "../../promises/batch_handlers/main.rs"]
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
#[path = "../../promises/limits/main.rs"]
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
