//! The console, as a browser and a program ask it.
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod closed; // what nobody may do
mod scene; // outboxes and visitors
