//! User types with the names of primitives. Not with `#[serde(..)]`: the derives of serde would use
//! the user's types.
#![allow(dead_code, non_camel_case_types)]

macro_rules! types {
    ($($name:ident)*) => { $(struct $name;)* };
}

types!(str bool char u8 u16 u32 u64 usize i8 i16 i32 i64 f32 f64);

#[derive(outbox_runtime::OutboxEntity)]
#[outbox(event_type = "moodEntry", priority = -1, max_attempts = 3, retry = ["1s"], timeout = "2s")]
struct MoodEntry {
    #[outbox(entity_id, user_id)]
    id: String,
    #[outbox(metadata)]
    text: String,
}

#[derive(outbox_runtime::OutboxEvents)]
enum LumeEvent {
    MoodEntry(outbox_runtime::Event<MoodEntry>),
}

#[derive(Debug, outbox_runtime::DeliveryError)]
enum Error {
    #[outbox(permanent)]
    Rejected,
    #[outbox(snooze(after = 0))]
    Later(std::time::Duration),
}

impl std::fmt::Display for Error {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}

impl std::error::Error for Error {}

fn main() {}
