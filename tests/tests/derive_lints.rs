//! Generated code is silent under the lints that a strict crate denies, whether all of it is used or not.
#![deny(
    warnings,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications,
    trivial_bounds,
    clippy::all,
    clippy::pedantic,
    clippy::nursery,
    clippy::absolute_paths,
    clippy::missing_docs_in_private_items,
    clippy::missing_inline_in_public_items,
    clippy::module_name_repetitions,
    clippy::panic,
    clippy::same_name_method,
    clippy::unwrap_used
)]

/// Everything that the derives generate, public and documented.
pub mod generated {
    use outbox_runtime::{Event, OutboxEntity, OutboxEvents};
    use serde::{Deserialize, Serialize};

    /// With the runtime's helpers.
    #[derive(Debug, OutboxEntity)]
    #[outbox(event_type = "moodEntry", priority = 100_000, retry = ["1s", "2h"], timeout = "1m")]
    pub struct MoodEntry {
        /// The id.
        #[outbox(entity_id)]
        pub id: i64,
        /// The user.
        #[outbox(user_id)]
        pub user_id: String,
        /// From -1 to 1.
        #[outbox(metadata)]
        pub valence: f64,
    }

    /// Without metadata.
    #[derive(Debug, OutboxEntity)]
    #[outbox(event_type = "session")]
    pub struct Session {
        /// The id, which is the user's.
        #[outbox(entity_id, user_id)]
        pub id: String,
    }

    /// With serde's derives.
    #[derive(Debug, Serialize, Deserialize, OutboxEntity)]
    #[outbox(event_type = "journal")]
    #[serde(rename_all = "camelCase")]
    pub struct Journal {
        /// The id.
        #[outbox(entity_id)]
        pub id: i64,
        /// The user.
        #[outbox(user_id)]
        pub user_id: String,
        /// How long it is.
        #[outbox(metadata)]
        pub word_count: u32,
    }

    /// The whole entity.
    #[derive(Debug, Serialize, Deserialize, OutboxEntity)]
    #[outbox(event_type = "goal", snapshot)]
    pub struct Goal {
        /// The id, which is the user's.
        #[outbox(entity_id, user_id)]
        pub id: String,
    }

    /// With parameters.
    #[derive(Debug, OutboxEntity)]
    #[outbox(event_type = "tagged")]
    pub struct Tagged<T, U> {
        /// The id.
        #[outbox(entity_id)]
        pub id: i64,
        /// The user.
        #[outbox(user_id)]
        pub user_id: String,
        /// What it is tagged with.
        #[outbox(metadata)]
        pub tags: Vec<T>,
        /// What stays here.
        pub local: U,
    }

    /// With parameters and serde's derives.
    #[derive(Debug, Serialize, Deserialize, OutboxEntity)]
    #[outbox(event_type = "renamed")]
    #[serde(rename_all = "camelCase")]
    pub struct Renamed<T, U> {
        /// The id, which is the user's.
        #[outbox(entity_id, user_id)]
        pub id: String,
        /// What was last.
        #[outbox(metadata)]
        pub last_value: T,
        /// What stays here.
        #[serde(skip)]
        pub local: Option<U>,
    }

    /// The set.
    #[derive(Debug, OutboxEvents)]
    pub enum LumeEvent {
        /// A mood.
        MoodEntry(Event<MoodEntry>),
        /// A journal.
        Journal(Event<Journal>),
        /// A goal.
        Goal(Event<Goal>),
        /// Tags.
        Tagged(Event<Tagged<u8, u8>>),
        /// Names.
        Renamed(Event<Renamed<u8, u8>>),
    }
}

/// Errors with an answer.
pub mod errors {
    use std::time::Duration;

    /// With every form of arm.
    #[derive(Debug, thiserror::Error, outbox_runtime::DeliveryError)]
    pub enum SyncError {
        /// A plain one.
        #[error("no connection")]
        #[outbox(offline)]
        NoConnection,
        /// One with a field.
        #[error("slow down")]
        #[outbox(rate_limited(after = wait))]
        Throttled {
            /// For how long.
            wait: Duration,
        },
        /// One that forwards.
        #[error(transparent)]
        #[outbox(transparent)]
        Login(#[from] LoginError),
        /// A second one with the answer of the first.
        #[error("unplugged")]
        #[outbox(offline)]
        Unplugged,
    }

    /// A struct.
    #[derive(Debug, Clone, Copy, thiserror::Error, outbox_runtime::DeliveryError)]
    #[error("logged out")]
    #[outbox(unauthenticated)]
    pub struct LoginError;

    /// An error of which a part is out of use, which concerns who makes it.
    #[derive(Debug, thiserror::Error, outbox_runtime::DeliveryError)]
    pub enum Old {
        /// No longer made.
        #[deprecated = "use another one"]
        #[error("busy")]
        #[outbox(retry(after = wait))]
        Busy {
            /// For how long.
            #[deprecated = "nobody waits any more"]
            wait: Duration,
        },
    }
}

/// An entity of which nothing is used that was generated.
#[derive(Debug, outbox_runtime::OutboxEntity)]
#[outbox(event_type = "weight")]
struct Weight {
    /// The id, which is the user's.
    #[outbox(entity_id, user_id)]
    id: String,
    /// In kilograms.
    #[outbox(metadata)]
    kilograms: f64,
}

/// A set that is never decoded.
#[derive(Debug, outbox_runtime::OutboxEvents)]
enum Unused {
    /// A weight.
    Weight(outbox_runtime::Event<Weight>),
}

#[test]
fn generated_code_is_silent() {
    let weight = Weight {
        id: String::new(),
        kilograms: 72.5,
    };
    assert!(weight.kilograms > 0.0, "{}", weight.id);
    assert_eq!(Unused::EVENT_TYPES, ["weight"]);
}
