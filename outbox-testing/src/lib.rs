//! The test kit of [`outbox_runtime`]: a dev-dependency for applications, and for authors of stores.
//!
//! | to | use |
//! |---|---|
//! | move time by hand | [`ManualClock`] |
//! | notice that the wire format changed without its version | [`assert_wire_lock`], [`wire_lock`] |
//! | try handlers and settings under faults that repeat themselves | [`simulate`], [`Simulation`] |
//! | make a store fail | [`FaultStore`] |
//! | hold a store to its contract | [`conformance!`] |
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
//! clock.advance(Duration::from_secs(60)); // whatever is due within a minute is due now
//! assert_eq!((clock.now() - before).num_seconds(), 60);
//! # drop(store);
//! ```
//!
//! # Versions
//!
//! Semantic versioning covers everything but the names of the conformance cases and what only authors of stores need:
//! a new case is added whenever a store is found to break a promise that no case holds yet.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[doc(hidden)]
pub use outbox_runtime as __runtime;

#[doc(hidden)]
pub mod cases; // what the conformance suite checks, a function a promise
mod conformance;
mod faults; // a store that fails as it is told to
mod manual_clock;
mod seeded_rng; // randomness that repeats itself
mod simulation; // the real processor under faults that repeat themselves
pub mod wire_lock; // what metadata looks like changes only with its version

#[doc(hidden)]
pub use self::conformance::run_case;
pub use self::faults::{Fault, FaultRates, FaultStore, Injected, StoreCall};
pub use self::manual_clock::ManualClock;
pub use self::seeded_rng::SeededRng;
pub use self::simulation::{
    Invariant, Remote, RemoteError, Report, Simulation, SimulationFailure, simulate,
};
pub use self::wire_lock::assert_wire_lock;

/// The README's code compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
