//! Every part of an attribute or a type may come from a macro parameter, as a token group.
use std::time::Duration;

use outbox_runtime::{Delivery, DeliveryError, Event, OutboxEntity, OutboxEvents};

macro_rules! entity {
    ($name:ident, $event_type:literal, $id:ty) => {
        #[derive(OutboxEntity)]
        #[outbox(event_type = $event_type)]
        struct $name {
            #[outbox(entity_id)]
            id: $id,
            #[outbox(user_id)]
            user_id: String,
            #[outbox(metadata)]
            value: $id,
        }
    };
}

entity!(Goal, "goal", i64);
entity!(Note, "note", String);

/// With every kind of value, in attributes that are passed on whole and in parts.
macro_rules! entity_with_options {
    ($vis:vis $name:ident in $krate:path, $priority:expr, [$($delay:literal),*], $options:meta, $($field:ident: $ty:ty),*) => {
        #[derive(OutboxEntity)]
        #[outbox(event_type = "withOptions", crate = $krate, priority = $priority, retry = [$($delay),*])]
        #[$options]
        #[allow(dead_code)]
        $vis struct $name {
            #[outbox(entity_id, user_id)]
            id: String,
            $(#[outbox(metadata)] $vis $field: $ty,)*
        }
    };
}

entity_with_options!(
    pub(crate) WithOptions in ::outbox_runtime, -5, ["1s", "3s"], outbox(timeout = "9s"),
    pairs: std::collections::BTreeMap<String, (u8, [i64; 2])>, notes: Option<Box<str>>
);

macro_rules! item {
    ($item:item) => {
        #[derive(OutboxEntity)]
        #[outbox(event_type = "item")]
        $item
    };
}

item! {
    pub(crate) struct Item {
        #[outbox(entity_id, user_id)]
        pub id: String,
        #[outbox(metadata)]
        pub(crate) count: u8,
    }
}

macro_rules! set {
    ($name:ident { $($variant:ident: $event:ty),* }) => {
        #[derive(OutboxEvents)]
        enum $name { $($variant($event)),* }
    };
}

set!(LumeEvent { Goal: Event<Goal>, Note: outbox_runtime::Event<Note> });

macro_rules! set_of {
    ($name:ident { $($entity:ident: $path:path),* }) => {
        #[derive(OutboxEvents)]
        enum $name { $($entity(Event<$path>)),* }
    };
}

set_of!(CoachEvent { Goal: Goal, Item: self::Item, WithOptions: crate::WithOptions });

macro_rules! error {
    ($name:ident { $($variant:ident($ty:ty) = $class:meta),* }) => {
        #[derive(Debug, thiserror::Error, DeliveryError)]
        #[error("it")]
        #[allow(dead_code)]
        enum $name { $(#[outbox($class)] $variant($ty)),* }
    };
}

error!(SyncError { Later(Duration) = snooze(after = 0), Server(u16) = retry });

fn main() {
    assert_eq!(LumeEvent::EVENT_TYPES, ["goal", "note"]);
    assert_eq!(CoachEvent::EVENT_TYPES, ["goal", "item", "withOptions"]);
    assert_eq!(WithOptions::OPTIONS.timeout(), Some(Duration::from_secs(9)));
    assert_eq!(WithOptions::OPTIONS.priority(), -5);
    assert_eq!(ItemMetadata { count: 3 }.count, 3);
    let duration = Duration::from_secs(2);
    assert_eq!(SyncError::Later(duration).delivery(), Delivery::Snooze { duration });
}
