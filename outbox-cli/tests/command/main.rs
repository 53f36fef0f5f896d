//! The command `outbox` as people and scripts run it.
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod acting; // commands that change events
mod answers; // what commands print
mod doctor; // findings and repairs
mod failures; // exit codes and messages
mod importing; // the outbox of another program
mod live; // beside an application at work
mod many; // a large outbox
mod pipes; // closed pipes, full disks
mod postgres; // on a server
mod recipes; // recipes of the guide
mod scene; // outboxes for the tests
#[cfg(target_os = "linux")]
mod script; // the command on a terminal
#[cfg(target_os = "linux")]
mod serve; // the web console
mod steering; // pauses and processes
#[cfg(target_os = "linux")]
mod terminal; // the live view on a terminal
