//! User types with the names of known id types.
#![deny(warnings)]
#![allow(dead_code, non_camel_case_types)]

use outbox_runtime::{EntityId, OutboxEntity};

#[derive(Clone, EntityId)]
pub struct Uuid(u8);

#[derive(Clone, EntityId)]
pub struct String(std::string::String);

#[derive(Clone, EntityId)]
pub struct NonZeroId(uuid::Uuid);

#[derive(OutboxEntity)]
#[outbox(event_type = "album", user_id = "me")]
pub struct Album {
    #[outbox(entity_id)]
    pub id: Uuid,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "artist", user_id = "me")]
pub struct Artist {
    #[outbox(entity_id)]
    pub id: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "song", user_id = "me")]
pub struct Song {
    #[outbox(entity_id)]
    pub id: NonZeroId,
    #[outbox(after = Album)]
    pub album: u8,
    #[outbox(after = Artist)]
    pub artist: Option<String>,
}

fn main() {}
