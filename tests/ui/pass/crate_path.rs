//! The runtime under a path of the user's own.
mod deps {
    pub mod outbox {
        pub use outbox_runtime::*;
        pub use outbox_runtime::__private;
    }
}

use deps::outbox::{Event, OutboxEntity, OutboxEvents};

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry", crate = crate::deps::outbox)]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    valence: f64,
}

#[derive(OutboxEntity, serde::Serialize)]
#[outbox(event_type = "journal", crate = crate::deps::outbox)]
#[serde(rename_all = "camelCase")]
struct Journal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    word_count: u32,
}

#[derive(OutboxEvents)]
#[outbox(crate = crate::deps::outbox)]
enum LumeEvent {
    MoodEntry(Event<MoodEntry>),
    Journal(Event<Journal>),
}

/// The path as a crate that re-exports the runtime passes it on.
macro_rules! entity {
    ($name:ident) => {
        #[derive(OutboxEntity)]
        #[outbox(event_type = "fromMacro", crate = $crate::deps::outbox)]
        struct $name {
            #[outbox(entity_id, user_id)]
            id: String,
            #[outbox(metadata)]
            title: String,
        }
    };
}

entity!(FromMacro);

fn main() {
    let mood = MoodEntry { id: 1, user_id: "user-1".to_owned(), valence: 0.5 };
    assert!(mood.enqueue_sync().into_event().is_ok());
    assert_eq!(LumeEvent::EVENT_TYPES, ["moodEntry", "journal"]);
}
