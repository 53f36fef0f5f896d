//! The app as a whole, against the service. Numbers refer to the known failures of the old app.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests, which wait for a service and for processes on the machine's own time"
)]

mod scene; // the app, signed in to a service, on a manual clock

mod changes; // creates, updates and deletes
mod chats;
mod delivery; // order, retries, offline, statistics
mod killed; // killed processes
mod mapper; // arbitrary rows
mod migration;
mod restores;
mod users;
