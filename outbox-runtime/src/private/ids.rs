//! Evaluation of `#[outbox(entity_id = ..)]` and `#[outbox(user_id = ..)]`, and of the field of an
//! id type.

use std::borrow::Cow;
use std::marker::PhantomData;

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

/// The user id of a newtype of `T`: that of the field if it has one, and otherwise the text of its
/// entity id. A path resolves to an inherent item if its bound holds, and otherwise to that of the
/// trait [`ByEntityId`]. A type that is no id at all is therefore reported once.
#[derive(Debug)]
pub struct UserOf<T>(PhantomData<T>);

impl<T: AsUserId> UserOf<T> {
    /// The user id of the field.
    pub fn user_id<'u, I>(_: &'u I, field: &'u T) -> Cow<'u, str> {
        field.as_user_id()
    }
}

/// The fallback for fields that are no user ids.
pub trait ByEntityId: Sized {
    /// The text of the entity id.
    fn user_id<'u, I, T>(id: &'u I, _: &'u T) -> Cow<'u, str>
    where
        EntityId: From<&'u I>,
    {
        Cow::Owned(EntityId::from(id).to_string())
    }
}

impl<T> ByEntityId for UserOf<T> {}
