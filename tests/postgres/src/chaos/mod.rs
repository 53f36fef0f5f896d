//! Faults of processes, servers and networks under load, each with a count of how often it struck.
//!
//! A [`worker`] is a process that delivers and records in a [`ledger`] what it does. [`producers`]
//! enqueue in the supervisor, and repeat under the same ids what was not acknowledged. A
//! [`campaign`] does harm meanwhile, lets the workers deliver the rest, and asks the [`verdict`]
//! whether anything was lost, delivered again without need, out of order, or left behind.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test harness panics on failure"
)]

use std::time::Duration;

use outbox_runtime::Clock;
use outbox_runtime::store::SystemClock;

pub mod arena; // a schema, its workers and its producers
pub mod campaign; // one fault each
pub mod completing; // handlers that complete their events
pub mod ledger; // append-only log of what happened
pub mod producers; // enqueueing until it is acknowledged
pub mod proxy; // a network that fails
pub mod rows; // final content of the database
pub mod verdict; // compares the ledger with the database
pub mod watched; // a store that records its answers
pub mod worker; // the process under test

/// Waits in real time, which the faults take place in.
pub async fn pause(millis: u64) {
    SystemClock.sleep(Duration::from_millis(millis)).await;
}
