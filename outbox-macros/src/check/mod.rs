//! Rules that concern several keys, or the shape of the input: one function per rule.
//!
//! Single values are checked where they are parsed, in [`attr`](crate::attr). Each rule here has a
//! case in `tests/ui/fail` that breaks it and nothing else.

mod credentials; // types that are never stored
mod delivery; // the rules of #[derive(DeliveryError)]
mod entity; // the rules of #[derive(OutboxEntity)]
mod events; // the rules of #[derive(OutboxEvents)]
mod expiry; // the rules about events that expire
mod ids; // the rules of ids
mod names; // the rules of older names and retired types
mod other_macros; // the rules for macros of other crates
mod parents; // the rules about entities that go first
mod versions; // the rules between version and upcast

pub(crate) use self::delivery::{error, no_union};
pub(crate) use self::entity::{entity, named_fields};
pub(crate) use self::events::{bounds_have_a_batch, events, is_enum, no_attributes};
pub(crate) use self::ids::id;
