//! Whether the user of a change is known: the entity has one, or the call has to give one.

/// The user of the change is known: the entity has one, or the call gave one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownUser {}

/// The entity has no user, so the call has to give one: [`for_user`](crate::Enqueue::for_user).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserFromCall {}

/// Stands in for both, in a program that does not compile for another reason.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnyUser {}

/// A change that can be enqueued, because its user is known.
#[diagnostic::on_unimplemented(
    message = "this change has no user yet",
    label = "whose change is it?",
    note = "call `.for_user(&user)` first, mark the field of the entity that identifies its user with `#[outbox(user_id)]`, or give the struct a constant user: `#[outbox(user_id = \"shop\")]`"
)]
pub trait HasUser {}

impl HasUser for KnownUser {}
impl HasUser for AnyUser {}

/// A change that has no user yet.
#[diagnostic::on_unimplemented(
    message = "the user of this change is known already",
    label = "the user of the event is that of the entity",
    note = "remove `.for_user(..)`, or the `user_id` of the entity"
)]
pub trait TakesUser {}

impl TakesUser for UserFromCall {}
impl TakesUser for AnyUser {}
