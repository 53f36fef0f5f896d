//! For tests (feature `testing`): a clock that is moved by hand, and the contract of every store as a suite of tests.
//!
//! Not covered by semantic versioning.

#[doc(hidden)]
pub mod cases; // what the conformance suite checks, a function a promise
mod conformance;
mod manual_clock;

#[doc(hidden)]
pub use self::conformance::run_case;
pub use self::manual_clock::ManualClock;
pub use crate::conformance;
