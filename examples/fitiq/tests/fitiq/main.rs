//! What the app promises, against the service in this process. A file a theme; failures are those of the apps that it is for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests, too"
)]

mod scene; // the app, signed in, and the service

mod criteria; // the success criteria of the plan, measured
mod delivery; // from saving to the service
mod kills; // processes that die
mod migration; // from the older version
mod old_store; // makes stores of the older version
mod outcomes; // what an answer means
mod repository; // what is saved, once
mod session; // who is signed in
