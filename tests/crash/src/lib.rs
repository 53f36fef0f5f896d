//! Tests with real processes and real faults: kills at any moment and at any system call, freezes,
//! a full disk, a damaged file, a clock that jumps.
//!
//! A [`worker`] is a process that enqueues and delivers, and records each action in a [`ledger`]. A
//! test is its [`supervisor`]: it starts workers, injects faults, lets a last worker drain the
//! rest, and asks the [`verdict`] whether anything was lost, invented, sent out of order or left
//! behind. Nothing is mocked: the faults come from signals, `strace`, `mount`, `ulimit` and
//! `libfaketime`.
//!
//! Where a tool is missing, a test prints one line and returns; with `OUTBOX_CRASH_REQUIRE_TOOLS`
//! set (as in `.ci/run`) a missing tool is a failure.

pub mod appended; // a file that many processes append records to
pub mod ledger; // append-only log of what workers did
pub mod plan; // a worker's instructions
pub mod rows; // final content of the database
pub mod supervisor; // starts workers and injects faults
pub mod task; // the entity and its handler's behavior
pub mod tools; // whether strace, faketime and mount are available
pub mod verdict; // compares the ledger with the database
pub mod worker; // the process under test
