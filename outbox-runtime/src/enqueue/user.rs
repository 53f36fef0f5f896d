//! The user of a change: the entity has one, or the call gives one.

use std::marker::PhantomData;

use super::Enqueue;
use crate::entity::{AsUserId, WithoutUser};
use crate::event::Operation;

/// The user of the change is known: the entity has one, or the call gave one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownUser {}

/// The entity has no user, so the call has to give one: [`Enqueue::for_user`].
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
    note = "call `.for_user(&user)` first, or mark the field of the entity that identifies its user with `#[outbox(user_id)]`"
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

impl Enqueue<UserFromCall> {
    /// A change of an entity whose user comes from the call. The derived `enqueue_*` methods call
    /// this.
    pub fn without_user<E: WithoutUser>(entity: &E, operation: Operation) -> Self {
        let Enqueue { event, fault, .. } = Enqueue::new(entity, operation);
        Self {
            event,
            fault,
            user: PhantomData,
        }
    }
}

impl<User> Enqueue<User> {
    /// Sets whose change it is, for an entity that has no `#[outbox(user_id)]`. For any other
    /// entity this does not compile.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// #[derive(OutboxEntity)]
    /// #[outbox(event_type = "invoice")]
    /// struct Invoice {
    ///     #[outbox(entity_id)]
    ///     number: u32,
    /// }
    ///
    /// # let store = MemoryStore::new();
    /// # struct Session { tenant: String }
    /// # let session = Session { tenant: "acme".into() };
    /// Invoice { number: 7 }.enqueue_create().for_user(&session.tenant).on(&store).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn for_user(self, user_id: impl AsUserId) -> Enqueue
    where
        User: TakesUser,
    {
        let Self {
            mut event, fault, ..
        } = self;
        event.user_id = user_id.as_user_id().into_owned();
        Enqueue {
            event,
            fault,
            user: PhantomData,
        }
    }
}
