//! The test kit of [`outbox_runtime`]: a dev-dependency for applications and for authors of stores.
//!
//! | to | use |
//! |---|---|
//! | test what the application enqueues | [`assert_enqueued!`], [`refute_enqueued!`], [`enqueued`] |
//! | test a handler alone | [`perform`], [`perform_batch`] |
//! | test that everything is delivered | [`drain`], [`run_until_failed`], [`Inline`] |
//! | answer as the remote service | [`FakeService`], [`Reply`] |
//! | move time manually | [`ManualClock`] |
//! | detect a wire format that changed without its version | [`assert_wire_lock`], [`wire_lock`] |
//! | test handlers and settings under reproducible faults | [`simulate`], [`Simulation`] |
//! | make a store fail | [`FaultStore`] |
//! | hold a store to its contract | [`conformance!`] |
//! | hold a sink for the connections of a driver to its promises | [`sink_conformance!`] |
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//!
//! use outbox_runtime::{Clock, MemoryStore};
//! use outbox_testing::ManualClock;
//!
//! let clock = ManualClock::new();
//! let store = MemoryStore::with_clock(clock.clone());
//! let before = clock.now();
//! clock.advance(Duration::from_secs(60)); // events that fall due within a minute are due now
//! assert_eq!((clock.now() - before).num_seconds(), 60);
//! # drop(store);
//! ```
//!
//! # Versions
//!
//! Semantic versioning covers everything except the names of the conformance cases and the items
//! that only authors of stores need. When a store turns out to break a promise that no case tests
//! yet, a new case is added.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[doc(hidden)]
pub use outbox_runtime as __runtime;

/// What the macros use.
#[doc(hidden)]
pub mod __kit {
    pub use crate::kit::{Search, Wanted};
}

#[doc(hidden)]
pub mod cases; // the cases of the conformance suite, one function per promise
mod conformance;
mod fake_service; // a remote service on loopback
mod faults; // a store with injected faults
mod kit; // what an application enqueues, and what its handlers do with it
mod manual_clock;
mod seeded_rng; // reproducible randomness
mod simulation; // the real processor under reproducible faults
mod sink; // what a sink of a driver promises
pub mod wire_lock; // the shape of metadata changes only with its version

#[doc(hidden)]
pub use self::conformance::run_case;
pub use self::fake_service::{FakeService, Received, Reply};
pub use self::faults::{Fault, FaultRates, FaultStore, Injected, StoreCall};
pub use self::kit::{
    Change, Drained, HandlerAnswer, Inline, KitError, Performed, Waiting, drain, enqueued, perform,
    perform_batch, perform_batch_with, perform_with, run_until_failed,
};
pub use self::manual_clock::ManualClock;
pub use self::seeded_rng::SeededRng;
pub use self::simulation::{
    Invariant, Remote, RemoteError, Report, Simulation, SimulationFailure, simulate,
};
pub use self::sink::{SinkTransaction, SinkUnderTest};
#[doc(hidden)]
pub use self::sink::{cases as sink_cases, run_sink_case};
pub use self::wire_lock::assert_wire_lock;

/// The README's code compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
