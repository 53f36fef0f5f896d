//! Decisions that are the same in every store, as functions without SQL.
//!
//! For authors of stores, and **unstable**: it may change with any version of this library.
//!
//! | question | answer |
//! |---|---|
//! | the status of an event after a cause | [`status_after`] |
//! | the place of an undelivered event in the queue | [`slot_after`], from its status and [`Turn`] |
//! | which creations an event waits for, and until when | [`creates`], [`holds_back`] |
//! | whether an event takes the place of the one with its key | [`takes_place`] |
//! | the events that an event waits for, for an explanation | [`Predecessor`] |
//! | its class in statistics | [`Class`] |
//! | which attempts its history keeps | [`past_attempt`], [`crashed_attempt`], [`with_attempt`] |
//! | the number of its lane in an index | [`LaneKey`] |
//! | the order in which a claim takes events | [`claim_key`] |
//! | how much metadata a claim may return | [`Load`], [`share_of_turns`] |
//! | which events are leased together with the one before them | [`follows`] |
//! | the destinations that a claim leaves | [`Destinations`] |
//! | waking the processor | [`Signal`] |
//! | work whose statements a driver runs that the store does not know | [`Step`], [`Desk`] |
//! | times that saturate, in whole microseconds | [`after`], [`before`] |
//! | the error of an attempt whose lease ran out | [`LEASE_EXPIRED`] |
//! | what pauses do to claims and explanations; whether one can be recorded | [`Pauses`], [`valid_pause`] |
//! | the process behind a lease, and whether it exists | [`ProcessKey`], [`Identity`], [`host`] |
//! | what became of an event that superseded another, for a second call | [`superseded_note`], [`superseded_from`] |
//! | whether two contents are the same | [`NewEvent::fingerprint`](crate::NewEvent::fingerprint), made with [`Fnv64`] |
//! | why a manual claim, an edit or a reassignment is refused | [`not_claimable`], [`refused_edit`], [`new_owner`], [`handler_has_some`] |
//!
//! A store that decides in its own language, such as SQL, has a test that compares it with these
//! functions; for the SQLite store see `tests/stores/decisions`.

use std::sync::Mutex;

use crate::repository::Revision;

mod claims;
mod class;
mod completions;
mod desk;
mod destinations;
mod following;
mod history;
mod lane;
mod pauses;
mod refusals;
mod signal;
mod slot;
mod step;
mod waits;

pub use self::claims::{ClaimKey, Load, claim_key, share_of_turns};
pub use self::class::Class;
pub use self::completions::{COMPLETION_KEPT, superseded_from, superseded_note};
pub use self::desk::Desk;
pub use self::destinations::Destinations;
pub use self::following::follows;
pub use self::history::{crashed_attempt, past_attempt, with_attempt};
pub use self::lane::LaneKey;
pub use self::pauses::{Pauses, valid_pause};
pub use self::refusals::{handler_has_some, new_owner, not_claimable, refused_edit};
pub use self::signal::Signal;
pub use self::slot::{Slot, Turn, slot_after, status_after};
pub use self::step::{Step, Work};
pub use self::waits::{creates, holds_back, parents_from, stored_parents, takes_place};
pub use super::process::{Identity, host};
pub use crate::claim::ProcessKey;
pub use crate::clock::{after, before};
pub use crate::fnv::{Fnv64, Fnv128};
pub use crate::outcome::{LEASE_EXPIRED, Standing};
pub use crate::statistics::Predecessor;
