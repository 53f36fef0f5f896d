//! Another crate has `#[derive(Outbox)]`, `#[derive(OutboxEntity)]` and `#[outbox]`, all in scope.
#![allow(dead_code)]

use outbox_runtime::{DeliveryError, Event, OutboxEvents};
use outbox_tests_rival::*;

/// Theirs alone, with keys that we do not know.
#[derive(Outbox)]
#[outbox(table = "goals")]
struct Table {
    #[outbox(primary_key)]
    id: i64,
}

/// Ours and theirs on one struct, theirs with an attribute of its own.
#[derive(Outbox, OutboxEntity, outbox_runtime::OutboxEntity)]
#[outbox(event_type = "goal")]
#[event(stream = "goals")]
struct Goal {
    #[outbox(entity_id, user_id)]
    id: String,
    #[event(skip)]
    #[outbox(metadata)]
    title: String,
}

#[derive(Outbox, OutboxEvents)]
enum LumeEvent {
    Goal(Event<Goal>),
}

#[derive(Debug, thiserror::Error, Outbox, DeliveryError)]
enum SyncError {
    #[error("gone")]
    #[outbox(obsolete)]
    Gone,
}

/// Theirs is an attribute of its own on what we do not derive for.
#[outbox(anything)]
fn relay() {}

fn main() {
    assert_eq!(LumeEvent::EVENT_TYPES, ["goal"]);
}
