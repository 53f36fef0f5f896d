//! The user that a call gives to a change.

use std::marker::PhantomData;

use super::Enqueue;
use super::user::{TakesUser, UserFromCall};
use crate::entity::{AsUserId, WithoutUser};
use crate::event::Operation;

impl Enqueue<UserFromCall> {
    /// A change of an entity whose user comes from the call. The derived `enqueue_*` methods call
    /// this.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// #[derive(OutboxEntity)]
    /// #[outbox(event_type = "invoice")]
    /// struct Invoice {
    ///     #[outbox(entity_id)]
    ///     number: u32,
    /// }
    ///
    /// let change = Enqueue::without_user(&Invoice { number: 7 }, Operation::Create).for_user("acme");
    /// assert_eq!(change.into_event()?.user_id(), "acme");
    /// # Ok::<(), EnqueueError>(())
    /// ```
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
