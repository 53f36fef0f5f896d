//! Types of the user's with the names of everything that generated code uses.
#![allow(dead_code, non_camel_case_types)]

struct Result;
struct Option;
struct Vec;
struct Box;
struct Ok;
struct Err;
struct Clone;
struct Debug;
struct Send;
struct Sync;
struct Future;
struct Serialize;
struct Deserialize;
struct OutboxEntity;
struct RawMetadata;
struct str;
struct u32;
mod core {}
mod std {}
mod outbox_runtime {}
mod serde {}

/// The user's `String` and a type with the name of a usual parameter.
#[derive(::serde::Serialize, ::serde::Deserialize, ::core::clone::Clone, ::core::fmt::Debug)]
struct S(i32);

#[derive(::serde::Serialize, ::serde::Deserialize, ::core::clone::Clone, ::core::fmt::Debug)]
struct String(i32);

#[derive(::serde::Serialize, ::serde::Deserialize, ::core::clone::Clone, ::core::fmt::Debug)]
struct Event(i32);

#[derive(::outbox_runtime::OutboxEntity)]
#[outbox(event_type = "moodEntry", retry = ["1s"])]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: ::std::string::String,
    #[outbox(metadata)]
    generic: S,
    #[outbox(metadata)]
    text: String,
    #[outbox(metadata)]
    event: Event,
}

#[derive(::outbox_runtime::OutboxEvents)]
enum LumeEvent {
    MoodEntry(::outbox_runtime::Event<MoodEntry>),
}

fn main() {}
