//! The console, as a browser and a program ask it.
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod acting; // changes
mod closed; // what nobody may do
mod hostile; // strings of others
mod large; // many events
mod live; // server-sent events
mod nesting; // prefixes
mod scene; // outboxes and visitors
mod screens; // what the pages show
