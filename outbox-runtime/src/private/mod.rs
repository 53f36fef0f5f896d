//! Items used by generated code and by the sibling crates. Not public API: they change without
//! notice.

mod checks; // compile-time checks
mod destination; // evaluation of destinations
mod fields; // serialization of metadata structs, shared by all entities
mod id_type; // inspection of id types
mod ids; // evaluation of computed ids
mod json; // serialization of entities that use serde's derives
mod member; // the entity of a variant
pub mod names; // protection against name clashes with the user's constants
mod parents; // evaluation of `after`
mod set; // metadata of an event set
mod shown; // the same with `Clone` and `Debug`, without sensitive fields

pub use self::checks::{
    assert_batch_order, assert_batch_wait, assert_batched, assert_batched_in_order,
    assert_batching, assert_event_type, assert_options, assert_parent, assert_parent_id,
    assert_retired,
};
pub use self::destination::destination;
pub use self::fields::{
    Fields0, Fields1, Fields2, Fields3, Fields4, Fields5, Fields6, Fields7, Fields8, Fields9,
    Fields10, Fields11, Fields12, Fields13, Fields14, Fields15, Fields16, MetadataField,
};
pub use self::id_type::{AnyId, IdOf, OpaqueId, ReadableId};
pub use self::ids::{ByEntityId, UserOf, composite_id, composite_user, entity_id, user_id};
pub use self::json::{encode, snapshot};
pub use self::member::{Member, NotAMember};
pub use self::parents::{parent, parents};
pub use self::set::{
    GENERIC, StoredTypes, Tagged, TypesAfter, current_type, generic_metadata, serialize_generic,
};
pub use self::shown::{
    Shown0, Shown1, Shown2, Shown3, Shown4, Shown5, Shown6, Shown7, Shown8, Shown9, Shown10,
    Shown11, Shown12, Shown13, Shown14, Shown15, Shown16,
};
pub use crate::enqueue::AnyUser;
pub use crate::handler::SharedHandlers;
pub use crate::handler::derived::{
    Answer, Name, OptionalWait, Wait, forward, named, rate_limited, retry_after, snooze,
    unavailable,
};
pub use crate::metadata::Finite;
pub use crate::outcome::bounded;
pub use crate::redaction::Redacted;
pub use crate::retry::mix;
pub use serde;
pub use serde_json::Error as JsonError;

/// Time arithmetic for test kits.
pub mod clock {
    pub use crate::clock::{after, before, pause, shifted, to_micros, up_to_micros};
}
