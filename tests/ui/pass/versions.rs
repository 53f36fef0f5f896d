//! Versions in every form: several, by path, generic, of a snapshot, for serde derives, and version
//! 1 by name.
#![no_implicit_prelude]
#![deny(warnings)]

mod v1 {
    #[derive(::serde::Deserialize)]
    pub struct Mood {
        pub(super) valence: f32,
    }
}

#[derive(::serde::Deserialize)]
struct Versioned<T> {
    valence: T,
}

#[derive(::outbox_runtime::OutboxEntity)]
#[outbox(event_type = "mood", version = 4)]
#[outbox(upcast(3 = Versioned<f64>, 1 = v1::Mood, 2 = self::Versioned<i32>,))]
struct Mood {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: ::std::string::String,
    #[outbox(metadata)]
    valence: f64,
}

impl ::core::convert::From<v1::Mood> for MoodMetadata {
    fn from(old: v1::Mood) -> Self {
        Self {
            valence: ::core::convert::From::from(old.valence),
        }
    }
}

impl<T> ::core::convert::From<Versioned<T>> for MoodMetadata
where
    f64: ::core::convert::From<T>,
{
    fn from(old: Versioned<T>) -> Self {
        Self {
            valence: ::core::convert::From::from(old.valence),
        }
    }
}

#[derive(::serde::Deserialize)]
struct GoalV1 {
    id: i64,
}

#[derive(::serde::Serialize, ::serde::Deserialize, ::outbox_runtime::OutboxEntity)]
#[outbox(event_type = "goal", snapshot, version = 2, upcast(1 = GoalV1))]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: ::std::string::String,
}

impl ::core::convert::From<GoalV1> for Goal {
    fn from(old: GoalV1) -> Self {
        Self {
            id: old.id,
            user_id: ::std::string::String::new(),
        }
    }
}

#[derive(::serde::Serialize, ::serde::Deserialize, ::outbox_runtime::OutboxEntity)]
#[serde(rename_all = "camelCase")]
#[outbox(event_type = "weight", version = 2, upcast(1 = Versioned<f64>))]
struct Weight {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: ::std::string::String,
    #[outbox(metadata)]
    body_weight: f64,
}

impl ::core::convert::From<Versioned<f64>> for WeightMetadata {
    fn from(old: Versioned<f64>) -> Self {
        Self {
            body_weight: old.valence,
        }
    }
}

#[derive(::outbox_runtime::OutboxEntity)]
#[outbox(event_type = "note", version = 1)]
struct Note {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: ::std::string::String,
}

#[derive(::outbox_runtime::OutboxEvents)]
enum Events {
    Mood(::outbox_runtime::Event<Mood>),
    Goal(::outbox_runtime::Event<Goal>),
    Weight(::outbox_runtime::Event<Weight>),
    Note(::outbox_runtime::Event<Note>),
}

fn main() {
    let _: fn() = ::outbox_testing::assert_wire_lock::<Events>;
}
