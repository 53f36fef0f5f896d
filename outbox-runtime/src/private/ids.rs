//! Evaluation of `#[outbox(entity_id = ..)]` and `#[outbox(user_id = ..)]`.

use std::borrow::Cow;

use crate::entity::{AsEntityId, AsUserId, EntityId, joined};

/// The id that a user's value stands for.
pub fn entity_id<I: AsEntityId>(value: &I) -> EntityId {
    value.as_entity_id()
}

/// The id that a tuple of a user's values stands for.
pub fn composite_id(parts: &[&dyn AsEntityId]) -> EntityId {
    EntityId::composite(parts.iter().map(|part| part.as_entity_id()))
}

/// The user that a user's value stands for. It may be a temporary value, from which nothing can be
/// borrowed.
pub fn user_id<'u, U: AsUserId + ?Sized>(value: &U) -> Cow<'u, str> {
    Cow::Owned(value.as_user_id().into_owned())
}

/// The user that a tuple of a user's values stands for.
pub fn composite_user<'u>(parts: &[&dyn AsUserId]) -> Cow<'u, str> {
    Cow::Owned(joined(parts.iter().map(|part| part.as_user_id())))
}
