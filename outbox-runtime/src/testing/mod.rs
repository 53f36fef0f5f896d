//! For tests (feature `testing`): a clock that is moved by hand, a store that fails as it is told to, and the contract of every
//! store as a suite of tests.
//!
//! Not covered by semantic versioning.

#[doc(hidden)]
pub mod cases; // what the conformance suite checks, a function a promise
mod conformance;
mod draw; // chance that repeats itself
mod faults; // a store that fails as it is told to
mod manual_clock;

#[doc(hidden)]
pub use self::conformance::run_case;
pub use self::draw::Draw;
pub use self::faults::{Fault, FaultRates, FaultStore, Injected, StoreCall};
pub use self::manual_clock::ManualClock;
pub use crate::conformance;
