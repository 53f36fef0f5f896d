//! The promises of the app, against the service in this process, one file per theme. Failures are
//! those of the original apps.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests, too"
)]

mod scene; // the app, signed in, and the service

mod accounts; // accounts
mod batches; // many entries in one call
mod commands; // the program itself
mod criteria; // the success criteria, measured
mod delivery; // delivery from a save to the service
mod kills; // killed processes
mod migration; // from the older version
mod old_store; // makes stores of the older version
mod outcomes; // the meaning of responses
mod repository; // saving exactly once
mod session; // the session
