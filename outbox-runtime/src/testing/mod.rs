//! For tests (feature `testing`): a clock that is moved by hand, a store that fails as it is told to, the contract of every
//! store as a suite of tests, and a simulation of the whole under faults.
//!
//! Not covered by semantic versioning.

#[doc(hidden)]
pub mod cases; // what the conformance suite checks, a function a promise
mod conformance;
mod draw; // chance that repeats itself
mod faults; // a store that fails as it is told to
mod manual_clock;
mod simulation; // the real processor under faults that repeat themselves

#[doc(hidden)]
pub use self::conformance::run_case;
pub use self::draw::Draw;
pub use self::faults::{Fault, FaultRates, FaultStore, Injected, StoreCall};
pub use self::manual_clock::ManualClock;
pub use self::simulation::{
    Invariant, Remote, RemoteError, Report, Simulation, SimulationFailure, simulate,
};
pub use crate::conformance;
