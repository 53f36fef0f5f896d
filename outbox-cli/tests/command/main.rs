//! The command `outbox` as people and scripts run it.

mod acting; // commands that change events
mod answers; // what commands print
mod doctor; // findings and repairs
mod failures; // exit codes and messages
mod live; // beside an application at work
mod many; // a large outbox
mod pipes; // closed pipes, full disks
mod postgres; // on a server
mod scene; // outboxes for the tests
