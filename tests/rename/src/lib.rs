//! An app that knows the runtime as `queue` and serde as `coding`, and passes the runtime on as `facade::outbox`.
#![no_implicit_prelude]
#![deny(missing_docs, warnings)]

/// The runtime, for crates that depend on this one alone.
pub mod facade {
    pub use ::queue as outbox;
}

/// Entities and a set that name the dependency.
pub mod direct {
    use ::queue::{DeliveryError, Event, OutboxEntity, OutboxEvents};
    use ::std::string::String;

    /// A mood.
    #[derive(Debug, OutboxEntity)]
    #[outbox(event_type = "moodEntry", priority = 5, crate = ::queue)]
    pub struct MoodEntry {
        /// The id.
        #[outbox(entity_id)]
        pub id: String,
        /// The user.
        #[outbox(user_id)]
        pub user_id: String,
        /// From -1 to 1.
        #[outbox(metadata)]
        pub valence: f64,
        /// Stays on this device.
        pub notes: String,
    }

    /// A journal, in which serde has a say.
    #[derive(Debug, OutboxEntity)]
    #[outbox(event_type = "journalEntry", crate = ::queue)]
    #[serde(rename_all = "camelCase")]
    pub struct JournalEntry {
        /// The id, which is the user's.
        #[outbox(entity_id, user_id)]
        pub user_id: String,
        /// How long it is.
        #[outbox(metadata)]
        pub word_count: u32,
    }

    /// What is sent.
    #[derive(Debug, OutboxEvents)]
    #[outbox(crate = ::queue)]
    pub enum LumeEvent {
        /// A mood.
        MoodEntry(Event<MoodEntry>),
        /// A journal.
        JournalEntry(Event<JournalEntry>),
    }

    /// What can go wrong.
    #[derive(Debug, DeliveryError)]
    #[outbox(crate = ::queue)]
    pub enum SyncError {
        /// Somebody deleted it.
        #[outbox(obsolete)]
        Gone,
    }

    impl ::std::fmt::Display for SyncError {
        fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
            f.write_str("gone")
        }
    }

    impl ::std::error::Error for SyncError {}
}

/// An entity and a set that name a module of this crate.
pub mod passed_on {
    use ::std::string::String;

    use crate::direct::MoodEntry;
    use crate::facade::outbox::{Event, OutboxEntity, OutboxEvents};

    /// A goal, whole.
    #[derive(Debug, OutboxEntity, ::coding::Serialize, ::coding::Deserialize)]
    #[outbox(event_type = "goal", snapshot, crate = crate::facade::outbox)]
    #[serde(crate = "::coding")]
    pub struct Goal {
        /// The id, which is the user's.
        #[outbox(entity_id, user_id)]
        pub id: String,
    }

    /// A set with an entity that came by another way.
    #[derive(Debug, OutboxEvents)]
    #[outbox(crate = crate::facade::outbox)]
    pub enum CoachEvent {
        /// A mood.
        MoodEntry(Event<MoodEntry>),
        /// A goal.
        Goal(Event<Goal>),
    }
}
