//! Types, modules and macros of the user's with the names of everything that generated code uses.
#![allow(dead_code, non_camel_case_types, unused_macros)]

macro_rules! types {
    ($($name:ident)*) => { $(struct $name;)* };
}

types!(
    Result Option Vec Box Some None Ok Err Clone Copy Debug Default From Into Iterator Send Sync Sized Fn Drop Future
    Cow BTreeMap Duration Serialize Deserialize Serializer Deserializer MapAccess Value
    OutboxEvents OutboxEntity OutboxEvent Enqueue HandlerSet HandlerError DecodeError EntityOptions RawMetadata
);

mod alloc {}
mod core {}
mod std {}
mod outbox_runtime {}
mod _outbox {}
mod serde {}
mod serde_json {}

macro_rules! assert { ($($any:tt)*) => { compile_error!("the user's own") }; }
macro_rules! matches { ($($any:tt)*) => { compile_error!("the user's own") }; }
macro_rules! panic { ($($any:tt)*) => { compile_error!("the user's own") }; }
macro_rules! unreachable { ($($any:tt)*) => { compile_error!("the user's own") }; }
macro_rules! vec { ($($any:tt)*) => { compile_error!("the user's own") }; }
macro_rules! write { ($($any:tt)*) => { compile_error!("the user's own") }; }

/// The user's `String` and a type with the name of a usual parameter.
#[derive(::serde::Serialize, ::serde::Deserialize, ::core::clone::Clone, ::core::fmt::Debug)]
struct S(i8);

#[derive(::serde::Serialize, ::serde::Deserialize, ::core::clone::Clone, ::core::fmt::Debug)]
struct String(i8);

#[derive(::serde::Serialize, ::serde::Deserialize, ::core::clone::Clone, ::core::fmt::Debug)]
struct Event(i8);

#[derive(::outbox_runtime::OutboxEntity)]
#[outbox(event_type = "moodEntry", retry = ["1s"], timeout = "2s", max_attempts = 3, priority = 1)]
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

/// With serde's derives.
#[derive(::outbox_runtime::OutboxEntity)]
#[outbox(event_type = "journal")]
#[serde(rename_all = "camelCase")]
struct Journal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: ::std::string::String,
    #[outbox(metadata)]
    #[serde(rename = "body")]
    text: String,
}

/// Whole.
#[derive(::outbox_runtime::OutboxEntity, ::serde::Serialize, ::serde::Deserialize)]
#[outbox(event_type = "goal", snapshot)]
struct Goal {
    #[outbox(entity_id, user_id)]
    id: ::std::string::String,
}

#[derive(::outbox_runtime::OutboxEvents)]
enum LumeEvent {
    MoodEntry(::outbox_runtime::Event<MoodEntry>),
    Journal(::outbox_runtime::Event<Journal>),
    Goal(::outbox_runtime::Event<Goal>),
    String(::outbox_runtime::Event<self::entities::String>),
    Option(::outbox_runtime::Event<self::entities::Option>),
}

/// Entities with the names of what generated code uses.
mod entities {
    #[derive(::outbox_runtime::OutboxEntity)]
    #[outbox(event_type = "string")]
    pub(super) struct String {
        #[outbox(entity_id, user_id)]
        id: ::std::string::String,
        #[outbox(metadata)]
        text: ::std::string::String,
    }

    #[derive(::outbox_runtime::OutboxEntity)]
    #[outbox(event_type = "option")]
    pub(super) struct Option {
        #[outbox(entity_id, user_id)]
        id: ::std::string::String,
        #[outbox(metadata)]
        text: ::core::option::Option<::std::string::String>,
    }
}

fn main() {}
