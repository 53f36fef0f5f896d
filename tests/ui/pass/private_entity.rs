//! A private entity, of which not everything is used, gives no warning.
#![deny(warnings)]

mod inner {
    use outbox_runtime::{Event, OutboxEntity, OutboxEvents};

    #[derive(OutboxEntity)]
    #[outbox(event_type = "moodEntry")]
    struct MoodEntry {
        #[outbox(entity_id)]
        id: i64,
        #[outbox(user_id)]
        user_id: String,
        #[outbox(metadata)]
        valence: f64,
    }

    #[derive(OutboxEntity)]
    #[outbox(event_type = "goal")]
    pub(super) struct Goal {
        #[outbox(entity_id)]
        pub(super) id: i64,
        #[outbox(user_id)]
        pub(super) user_id: String,
        #[outbox(metadata)]
        pub(super) title: String,
    }

    impl Goal {
        pub(super) fn new(id: i64) -> Self {
            Self { id, user_id: "user-1".to_owned(), title: String::new() }
        }
    }

    #[derive(OutboxEvents)]
    enum InnerEvent {
        MoodEntry(Event<MoodEntry>),
    }

    pub(super) fn count() -> usize {
        let mood = MoodEntry { id: 7, user_id: "user-1".to_owned(), valence: 0.5 };
        let _ = mood.enqueue_delete();
        match InnerEvent::EVENT_TYPES.len() {
            0 => InnerEventMetadata::Generic(std::collections::BTreeMap::new()).count(),
            count => count,
        }
    }

    impl InnerEventMetadata {
        fn count(&self) -> usize {
            match self {
                Self::MoodEntry(metadata) => metadata.valence as usize,
                Self::Generic(metadata) => metadata.len(),
            }
        }
    }
}

fn main() {
    let goal = inner::Goal::new(7);
    let _ = goal.enqueue_update();
    let title = |metadata: &inner::GoalMetadata| metadata.title.len();
    let _ = title;
    assert_eq!(inner::count(), 1);
}
