//! Entities, sets and handlers in modules of their own, named by paths and by other names.
#![deny(warnings)]

/// The runtime as a facade shows it, under other names.
mod facade {
    pub use outbox_runtime::{Event as Change, OutboxEntity as Entity, OutboxEvents as Set};

    pub mod outbox {
        pub use outbox_runtime::*;
        pub use outbox_runtime::__private;
    }
}

pub mod model {
    pub mod moods {
        /// Not of the module above: its metadata has a type that only this module can name.
        #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
        pub struct Valence(pub f64);

        #[derive(crate::facade::Entity)]
        #[outbox(event_type = "moodEntry", crate = crate::facade::outbox)]
        pub struct MoodEntry {
            #[outbox(entity_id)]
            pub id: i64,
            #[outbox(user_id)]
            pub user_id: String,
            #[outbox(metadata)]
            pub valence: Valence,
        }
    }

    pub mod goals {
        #[derive(outbox_runtime::OutboxEntity)]
        #[outbox(event_type = "goal")]
        pub(in crate::model) struct Goal {
            #[outbox(entity_id, user_id)]
            pub(in crate::model) id: String,
            #[outbox(metadata)]
            pub(super) title: String,
        }
    }

    /// A set of what only this module sees.
    pub(crate) mod events {
        use super::goals::Goal as Target;
        use super::moods;
        use crate::facade::Change;

        type Mood = moods::MoodEntry;

        #[derive(crate::facade::Set)]
        #[outbox(crate = crate::facade::outbox)]
        pub(in crate::model) enum LumeEvent {
            Mood(crate::facade::outbox::Event<Mood>),
            Goal(outbox_runtime::Event<Target>),
        }

        pub(crate) fn types() -> &'static [&'static str] {
            LumeEvent::EVENT_TYPES
        }

        pub(crate) fn mood(change: &Change<Mood>) -> f64 {
            change.metadata().valence.0
        }
    }

    /// A handler in another module than its set.
    pub(crate) mod sync {
        use outbox_runtime::{Event, HandlerError, HandlerSet};

        use super::events::{LumeEvent, LumeEventHandler, mood};
        use super::{goals, moods};

        struct LumeSync;

        impl LumeEventHandler for LumeSync {
            async fn mood(&self, event: Event<moods::MoodEntry>) -> Result<(), HandlerError> {
                assert!(mood(&event) > 0.0);
                Ok(())
            }

            async fn goal(&self, event: Event<goals::Goal>) -> Result<(), HandlerError> {
                assert_eq!(event.metadata().title, "swim");
                Ok(())
            }
        }

        pub(crate) fn handlers() -> HandlerSet {
            LumeEvent::handled_by(LumeSync)
        }

        pub(crate) fn goal() -> outbox_runtime::Enqueue {
            let (id, title) = ("user-1".to_owned(), "swim".to_owned());
            goals::Goal { id, title }.enqueue_sync()
        }
    }
}

fn main() {
    assert_eq!(model::events::types(), ["moodEntry", "goal"]);
    let _ = (model::sync::handlers(), model::sync::goal());
}
