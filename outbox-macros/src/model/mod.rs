//! Valid input, borrowed from syn.
//!
//! An [`Entity`] has everything that its expansion needs, without optional parts that the expansion
//! would have to check. An [`EventSet`] holds the well-formed variants, which are all of them
//! unless errors were recorded. An [`ErrorType`] has one answer per case.

mod delivery; // an error type
mod entity; // an entity
mod events; // a set of events

pub(crate) use self::delivery::{Answer, Case, ErrorType, Scope, Source};
pub(crate) use self::entity::{Entity, Id, Member, Metadata, MetadataFields, Parent};
pub(crate) use self::events::{BatchBounds, EventSet, Variant};
use crate::attr::Keyed;

fn given<T: Clone>(keyed: &Option<Keyed<T>>) -> Option<T> {
    keyed.as_ref().map(|keyed| keyed.value.clone())
}
