//! Traits and types that applications rarely name: those that the derives implement and that
//! signatures mention.
//!
//! A manual implementation of [`OutboxEntity`](trait@crate::OutboxEntity), without
//! [`derive(OutboxEntity)`](macro@crate::OutboxEntity), needs [`EntityOptions`]; an id type needs
//! [`AsEntityId`].

pub use crate::enqueue::{EnqueueAll, HasUser, KnownUser, TakesUser, UserFromCall};
pub use crate::entity::{
    AsDestination, AsEntityId, AsParentId, AsUserId, EntityOptions, EventSet, IdKind,
    InspectIdType, Retired, Retirement, VisitEntities, WithoutUser,
};
pub use crate::handler::{BatchHandlerFn, HandlerFn, IntoHandlerSet};
pub use crate::metadata::{MetadataValue, OlderMetadata, ReadVersion, UpcastTo};
pub use crate::redaction::{Redaction, Sensitive};
