//! The app as a whole, beside the service: what it promises, and that what once went wrong does not any more. Numbers are those of
//! the failures that were known of the old app.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests, which wait for a service and for processes on the machine's own time"
)]

mod scene; // the app, signed in at a service, on a clock that is moved by hand

mod changes; // creates, updates and deletes, by what the service knows
mod chats;
mod delivery; // order, retries, offline, statistics
mod killed; // a process that is killed, migrating and syncing
mod mapper; // any rows whatever
mod migration;
mod restores;
mod users;
