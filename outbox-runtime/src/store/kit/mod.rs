//! What every store decides alike, without SQL.
//!
//! For authors of stores, and **unstable**: it may change with any version of this library.
//!
//! | question | answer |
//! |---|---|
//! | which status an event has after something happened to it | [`status_after`] |
//! | where an undelivered event stands in the queue | [`slot_after`], from its status and [`Turn`] |
//! | what statistics count it as | [`Class`] |
//! | which event a claim takes first | [`claim_key`] |
//! | how much a claim may bring | [`Load`] |
//! | who wakes a processor | [`Signal`] |
//! | whether two contents are the same | [`NewEvent::fingerprint`](crate::NewEvent::fingerprint), made with [`Fnv64`] |
//! | why a claim by hand, an edit or a new owner is refused | [`not_claimable`], [`refused_edit`], [`new_owner`], [`handler_has_some`] |
//!
//! A store that decides in its own language, as one in SQL does, is held to these functions by a test: see
//! `tests/stores/decisions` for the SQLite store.

use std::sync::Mutex;

use crate::repository::Revision;

mod claims;
mod class;
mod refusals;
mod signal;
mod slot;

pub use self::claims::{ClaimKey, Load, claim_key};
pub use self::class::Class;
pub use self::refusals::{handler_has_some, new_owner, not_claimable, refused_edit};
pub use self::signal::Signal;
pub use self::slot::{Slot, Turn, slot_after, status_after};
pub use crate::fnv::{Fnv64, Fnv128};
pub use crate::outcome::Standing;
