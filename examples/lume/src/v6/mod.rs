//! The payloads of V6, read unchanged: each generation is a version of the current metadata, and
//! the bytes stay the same.

mod date; // the forms of times
mod payload; // a type per generation, and its upcast

pub use self::date::{V6Date, from_reference_seconds};
pub(crate) use self::payload::Named;
pub use self::payload::{
    ConversationDeleted, Deleted, Goal, GuideMood, Journal, NamedMood, PlannedJournal, ValenceMood,
};
