//! An app that renames the runtime to `queue` and serde to `coding`, and reexports the runtime as
//! `facade::outbox`.
#![no_implicit_prelude]
#![deny(missing_docs, warnings)]

/// The runtime, for crates that depend only on this one.
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
        /// Not sent.
        pub notes: String,
    }

    /// A journal with serde attributes.
    #[derive(Debug, OutboxEntity)]
    #[outbox(event_type = "journalEntry", crate = ::queue)]
    #[serde(rename_all = "camelCase")]
    pub struct JournalEntry {
        /// The id, which is the user's.
        #[outbox(entity_id, user_id)]
        pub user_id: String,
        /// Length of the text.
        #[outbox(metadata)]
        pub word_count: u32,
    }

    /// The events.
    #[derive(Debug, OutboxEvents)]
    #[outbox(crate = ::queue)]
    pub enum LumeEvent {
        /// A mood.
        MoodEntry(Event<MoodEntry>),
        /// A journal.
        JournalEntry(Event<JournalEntry>),
    }

    /// An error with a delivery class.
    #[derive(Debug, DeliveryError)]
    #[outbox(crate = ::queue)]
    pub enum SyncError {
        /// Deleted on the server.
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

    /// A goal, sent as a snapshot.
    #[derive(Debug, OutboxEntity, ::coding::Serialize, ::coding::Deserialize)]
    #[outbox(event_type = "goal", snapshot, crate = crate::facade::outbox)]
    #[serde(crate = "::coding")]
    pub struct Goal {
        /// The id, which is the user's.
        #[outbox(entity_id, user_id)]
        pub id: String,
    }

    /// A set with an entity that is reached by another path.
    #[derive(Debug, OutboxEvents)]
    #[outbox(crate = crate::facade::outbox)]
    pub enum CoachEvent {
        /// A mood.
        MoodEntry(Event<MoodEntry>),
        /// A goal.
        Goal(Event<Goal>),
    }
}
