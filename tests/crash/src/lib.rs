//! Real processes under real faults: killed at any moment and at any system call, frozen, out of disk, on a damaged file, with a
//! clock that jumps.
//!
//! A [`worker`] is a process that enqueues and delivers, and writes what it does to a [`ledger`] of its own. A test is its
//! [`supervisor`]: it starts workers, does them harm, lets a last one drain what is left, and asks the [`verdict`] whether
//! anything was lost, invented, sent out of order or left behind. Nothing is mocked: the harm is done by signals, `strace`,
//! `mount`, `ulimit` and `libfaketime`.
//!
//! Where a tool is missing, a test says so in one line and is over; with `OUTBOX_CRASH_REQUIRE_TOOLS` set (as `.ci/run` does)
//! a missing tool is a failure.

pub mod ledger; // append-only log of what workers did
pub mod plan; // a worker's instructions
pub mod rows; // final content of the database
pub mod supervisor; // starts workers and injects faults
pub mod task; // the entity and its handler's behavior
pub mod tools; // whether strace, faketime and mount are available
pub mod verdict; // compares the ledger with the database
pub mod worker; // the process under test
