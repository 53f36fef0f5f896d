//! The cases of the suite for sinks. Each tests one promise and is named after it.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "a failed test panics, and the name of a case is its documentation"
)]
#![deny(dead_code, reason = "a case that `sink_conformance!` does not list")]

use self::completing::*;
use self::folding::*;
use self::identity::*;
use self::keys::*;
use self::lanes::*;
use self::storing::*;
use self::waking::*;

mod completing; // handlers complete their events
mod folding; // newer events replace waiting ones
mod identity; // ids and content
mod keys; // events with a key, and cancellations
mod lanes; // events that wait for others
mod steps; // transactions in steps, and what the cases share
mod storing; // commits and rollbacks
mod waking; // processors of this process

/// Every case, for the tests that `sink_conformance!` emits.
pub mod all {
    crate::sink_conformance! { @list @export () }
}
