//! Generated code names nothing that is not spelt out from the root.
#![no_implicit_prelude]
#![deny(warnings, missing_docs)]
#![allow(dead_code)]
#![forbid(unsafe_code)]

/// A mood.
#[derive(::outbox_runtime::OutboxEntity)]
#[outbox(
    event_type = "moodEntry",
    display_name = "Mood",
    priority = -5,
    max_attempts = 3,
    retry = ["500ms", "5s", "2m", "1h", "1d"],
    timeout = "30s"
)]
pub struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: ::std::string::String,
    #[outbox(metadata)]
    valence: f64,
}

/// A journal, with serde's names.
#[derive(::outbox_runtime::OutboxEntity)]
#[outbox(event_type = "journal")]
#[serde(rename_all = "camelCase")]
pub struct Journal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: ::std::string::String,
    #[outbox(metadata)]
    word_count: u32,
    #[outbox(metadata)]
    #[serde(default, skip_serializing_if = "::core::option::Option::is_none")]
    body: ::core::option::Option<::std::string::String>,
}

/// A goal, whole.
#[derive(
    ::outbox_runtime::OutboxEntity,
    ::serde::Serialize,
    ::serde::Deserialize,
)]
#[outbox(event_type = "goal", snapshot)]
#[serde(deny_unknown_fields)]
pub struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: ::std::string::String,
}

/// The set.
#[derive(::outbox_runtime::OutboxEvents)]
pub enum LumeEvent {
    /// A mood.
    MoodEntry(::outbox_runtime::Event<MoodEntry>),
    /// A journal.
    Journal(::outbox_runtime::Event<Journal>),
    /// A goal.
    Goal(::outbox_runtime::Event<Goal>),
}

fn main() {}
