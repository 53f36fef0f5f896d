//! The options of an entity type that are a choice between behaviors.

/// Which failures count as attempts of an event: `#[outbox(charge = "..")]`.
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use outbox_runtime::Charge;
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "goal", charge = "always")]
/// struct Goal {
///     #[outbox(entity_id)]
///     id: i64,
///     #[outbox(user_id)]
///     user_id: String,
/// }
///
/// assert_eq!(Goal::OPTIONS.charge(), Charge::Always);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Charge {
    /// Failures with evidence that the event is to blame, because others like it get through. While
    /// nothing gets through, attempts are given back, so that an outage creates no dead letters.
    #[default]
    Evidence,
    /// Every failure. For a type whose events must not be attempted more than `max_attempts` times,
    /// whatever the state of the service. A [rejected](crate::HandlerError::permanent) event
    /// becomes a dead letter immediately, as always, even while the service rejects everything.
    Always,
}

/// Which events wait for each other: `#[outbox(order = "..")]`.
///
/// Events that wait for each other form a *lane* and are delivered one at a time, in the order they
/// were enqueued. Events of types with different orders do not wait for each other, whatever their
/// entities.
///
/// An event keeps the order that it was enqueued with. If an update of the application changes the
/// order of a type, an event enqueued afterward waits for earlier events of its type and entity,
/// and otherwise follows the new order: with `"user"`, an older event of another entity may still
/// be sent after it. A warning is logged when such an older event is delivered, and the wire lock
/// of `outbox-testing` reports the change.
///
/// The guide: [lanes](https://docs.rs/outbox-guide/latest/outbox_guide/lanes/).
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "goal", order = "user")]
/// struct Goal {
///     #[outbox(entity_id)]
///     id: i64,
///     #[outbox(user_id)]
///     user_id: String,
/// }
///
/// assert_eq!(Goal::OPTIONS.order(), Order::User);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Order {
    /// Events about the same entity and user are delivered one at a time, in the order they were
    /// enqueued.
    #[default]
    Entity,
    /// Events of the same user are delivered one at a time, whatever their entities.
    User,
    /// No ordering: each event is delivered as soon as possible, concurrently with others about the
    /// same entity, and out of order after a retry.
    None,
}

/// How a dead letter affects the later events in its order: `#[outbox(on_dead = "..")]`.
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "goal", on_dead = "skip")]
/// struct Goal {
///     #[outbox(entity_id)]
///     id: i64,
///     #[outbox(user_id)]
///     user_id: String,
/// }
///
/// assert_eq!(Goal::OPTIONS.on_dead(), OnDead::Skip);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OnDead {
    /// Later events wait until the dead letter is retried or discarded.
    #[default]
    Hold,
    /// Later events proceed without it. If the dead letter is retried, it is sent out of order:
    /// ahead of the events that still wait, and never concurrently with one that a handler is
    /// processing.
    Skip,
}

/// The end of an event that [expires](crate::Enqueue::expires_at) before it is delivered:
/// `#[outbox(on_expiry = "..")]`. In both cases the events behind it go on.
///
/// It is read from the type when the event has expired, so that it can be changed for events that
/// are waiting. An event whose handler does not name its types becomes a dead letter.
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use outbox_runtime::OnExpiry;
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "goal", expires_after = "1h", on_expiry = "drop")]
/// struct Goal {
///     #[outbox(entity_id)]
///     id: i64,
///     #[outbox(user_id)]
///     user_id: String,
/// }
///
/// assert_eq!(Goal::OPTIONS.on_expiry(), OnExpiry::Drop);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OnExpiry {
    /// It becomes a dead letter with the reason [`Expired`](crate::DeadReason::Expired), skipped
    /// whatever its [`OnDead`].
    #[default]
    Dead,
    /// It is deleted. A stream of [outcomes](crate::Running::outcomes) tells of it.
    Drop,
}

/// Whether a newer event about an entity replaces one that has never been attempted:
/// `#[outbox(coalesce = "..")]`.
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, OutboxEntity)]
/// #[outbox(event_type = "profile", snapshot, coalesce = "latest")]
/// struct Profile {
///     #[outbox(entity_id)]
///     id: i64,
///     #[outbox(user_id)]
///     user_id: String,
///     name: String,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// assert_eq!(Profile::OPTIONS.coalesce(), Coalesce::Latest);
/// let store = MemoryStore::new();
/// for name in ["A", "Ad", "Ada"] {
///     let profile = Profile { id: 7, user_id: "user-1".into(), name: name.into() };
///     profile.enqueue_update().on(&store).await?;
/// }
/// assert_eq!(store.statistics(None).await?.pending_count, 1); // only "Ada" is sent
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Coalesce {
    /// Every change is delivered.
    #[default]
    Never,
    /// Only the latest state is delivered: a change folds into the newest event of its type about
    /// the entity, unless that event was claimed before.
    ///
    /// | waiting event | new change | result |
    /// |---|---|---|
    /// | create | update | create with the new content |
    /// | create | delete | nothing, if the service cannot know the entity; otherwise two events |
    /// | update | update | update with the new content |
    /// | update | delete | delete |
    ///
    /// Any other pair results in two events: an entity that is created again after a delete gets
    /// its own create.
    ///
    /// A create and a delete cancel out only if the store knows that no event about the entity was
    /// ever attempted and that no other undelivered event about it exists, since an application may
    /// enqueue a second create of an entity that the service has. The store remembers attempts of
    /// events that clean-up has deleted. In doubt (after an import, or for a user whose events were
    /// reassigned to another) both events are sent.
    ///
    /// The waiting event keeps its id, and therefore its idempotency key, its place and its enqueue
    /// time. It gets the higher priority, the earlier due time and the larger `max_attempts` of the
    /// two. A change never folds past an event of any type that stands between the two in their
    /// [order](Order), because that would reorder them; never into an event with another
    /// destination; and never into an event that was claimed, even if the attempt was given back,
    /// because the remote service may have seen its key.
    ///
    /// Enqueueing an event again after an unknown outcome stays harmless: the store remembers the
    /// content enqueued under each id for as long as it has the event that carries that content.
    ///
    /// The metadata must be the complete state of the entity, as `#[outbox(snapshot)]` guarantees.
    Latest,
}
