//! Traits and types that applications rarely name: those that the derives implement, and those that
//! signatures mention.
//!
//! An entity without [`derive(OutboxEntity)`](macro@crate::OutboxEntity) implements
//! [`OutboxEntity`](trait@crate::OutboxEntity) with [`EntityOptions`]; a custom id type implements
//! [`AsEntityId`].

pub use crate::enqueue::EnqueueAll;
pub use crate::entity::{
    AsDestination, AsEntityId, AsUserId, EntityOptions, EventSet, InspectIdType, VisitEntities,
};
pub use crate::handler::{HandlerFn, IntoHandlerSet};
pub use crate::metadata::{MetadataValue, OlderMetadata, ReadVersion, UpcastTo};
pub use crate::redaction::{Redaction, Sensitive};
