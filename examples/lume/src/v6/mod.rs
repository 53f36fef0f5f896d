//! What V6 of the app wrote, so that its events are read as they are: each generation of its payloads is a version of today's
//! metadata, and the bytes stay what they were.

mod date; // three ways to write a moment
mod payload; // a type for each generation, and what becomes of it

pub use self::date::{V6Date, from_reference_seconds};
pub(crate) use self::payload::Named;
pub use self::payload::{
    ConversationDeleted, Deleted, Goal, GuideMood, Journal, NamedMood, PlannedJournal, ValenceMood,
};
