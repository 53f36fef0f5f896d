//! User constants and statics with the names of all bindings in generated code: a parameter with
//! such a name would be a pattern.
#![allow(dead_code, non_upper_case_globals, non_camel_case_types)]

use ::std::time::Duration;

macro_rules! values {
    ($($name:ident)*) => { $(const $name: u8 = 0;)* };
}

values!(
    a b codec deserializer event f field field_0 fields key map name object other read record redaction result serializer
    slot tagged value version wait
);

static handler: u8 = 0;
struct metadata;

/// Generated code calls methods of its own traits; a trait for everything has them as well.
trait Everything: Sized {
    fn field(self) {}
    fn finish(self) {}
    fn route(self) {}
    fn build(self) {}
    fn map(self) {}
    fn as_str(self) {}
    fn serialize(self) {}
    fn mood_entry(self) {}
    fn debug_struct(self) {}
    fn hide(self) {}
    fn through(self) {}
    fn deref(self) {}
    fn event() {}
    fn metadata() {}
    fn deserialize() {}
}

#[derive(serde::Deserialize)]
struct MoodEntryMetadataV1 {
    version: u8,
}

impl From<MoodEntryMetadataV1> for MoodEntryMetadata {
    fn from(old: MoodEntryMetadataV1) -> Self {
        Self { field_0: old.version, metadata: old.version, object: old.version }
    }
}

#[derive(outbox_runtime::OutboxEntity)]
#[outbox(event_type = "moodEntry", retry = ["1s"], version = 2, upcast(1 = MoodEntryMetadataV1))]
struct MoodEntry {
    #[outbox(entity_id)]
    record: i64,
    #[outbox(user_id)]
    handler: String,
    #[outbox(metadata)]
    field_0: u8,
    #[outbox(metadata, sensitive)]
    metadata: u8,
    #[outbox(metadata)]
    object: u8,
}

#[derive(outbox_runtime::OutboxEntity)]
#[outbox(event_type = "journal")]
#[serde(rename_all = "camelCase")]
struct Journal {
    #[outbox(entity_id)]
    record: i64,
    #[outbox(user_id)]
    handler: String,
    #[outbox(metadata)]
    serializer: u8,
    #[outbox(metadata)]
    #[serde(default = "slot_of_the_users")]
    slot: u8,
}

fn slot_of_the_users() -> u8 {
    slot
}

#[derive(serde::Serialize, serde::Deserialize, outbox_runtime::OutboxEntity)]
#[outbox(event_type = "goal", snapshot)]
struct Goal {
    #[outbox(entity_id, user_id)]
    record: String,
}

#[derive(outbox_runtime::OutboxEvents)]
enum LumeEvent {
    MoodEntry(outbox_runtime::Event<MoodEntry>),
    Journal(outbox_runtime::Event<Journal>),
    Goal(outbox_runtime::Event<Goal>),
}

#[derive(Debug, outbox_runtime::DeliveryError)]
enum Error {
    #[outbox(retry(after = 0))]
    RetryAfter(Duration),
    #[outbox(rate_limited(after = wait))]
    Throttled { wait: Duration },
}

impl std::fmt::Display for Error {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}

impl std::error::Error for Error {}

impl<T> Everything for T {}

fn main() {
    assert_eq!(LumeEvent::EVENT_TYPES, ["moodEntry", "journal", "goal"]);
}
