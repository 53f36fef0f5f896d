use outbox_runtime::{Event, OutboxEntity, OutboxEvents};

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

macro_rules! set {
    ($name:ident { $($variant:ident: $event:ty),* }) => {
        #[derive(OutboxEvents)]
        enum $name { $($variant($event)),* }
    };
}

set!(LumeEvent { Goal: Event<Goal>, Note: outbox_runtime::Event<Note> });

fn main() {
    assert_eq!(LumeEvent::EVENT_TYPES, ["goal", "note"]);
}
