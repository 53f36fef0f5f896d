//! An event set and its entities, for tools such as the wire lock.

use super::{OutboxEntity, Retired};

/// A closed set of events, implemented by [`derive(OutboxEvents)`](macro@crate::OutboxEvents): its
/// entities and where it is defined. Used by the wire lock of `outbox-testing`.
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use outbox_runtime::support::{EventSet, VisitEntities};
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "goal")]
/// struct Goal {
///     #[outbox(entity_id)]
///     id: i64,
///     #[outbox(user_id)]
///     user_id: String,
/// }
///
/// #[derive(OutboxEvents)]
/// enum LumeEvent {
///     Goal(Event<Goal>),
/// }
///
/// struct Priorities(Vec<i32>);
///
/// impl VisitEntities for Priorities {
///     fn visit<E: OutboxEntity>(&mut self) {
///         self.0.push(E::OPTIONS.priority());
///     }
/// }
///
/// let mut priorities = Priorities(Vec::new());
/// LumeEvent::visit_entities(&mut priorities);
/// assert_eq!(priorities.0, [0]);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a set of events",
    note = "annotate an enum whose variants hold `Event<Entity>`: `#[derive(OutboxEvents)]`"
)]
pub trait EventSet {
    /// The path of the enum, such as `lume::sync::LumeEvent`.
    const PATH: &'static str;

    /// The directory with the `Cargo.toml` of the defining crate; `None` if the crate was not built
    /// by Cargo.
    const MANIFEST_DIR: Option<&'static str>;

    /// The event types that the set has retired: `#[outbox(retired("legacyType" = drop))]`.
    /// Default: none.
    const RETIRED: &'static [Retired] = &[];

    /// Visits the entity of each variant, in declaration order.
    fn visit_entities(visitor: &mut impl VisitEntities);
}

/// A visitor for [`EventSet::visit_entities`].
pub trait VisitEntities {
    /// Visits one entity.
    fn visit<E: OutboxEntity>(&mut self);
}

/// An entity that has no user of its own: its user comes from the call,
/// `enqueue_create().for_user(&session.user)`.
///
/// The derive implements it for a struct without `#[outbox(user_id)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has a user of its own",
    label = "the user of each of these events is that of its entity",
    note = "remove `.for_user(..)`, or the `user_id` of the entity"
)]
pub trait WithoutUser: OutboxEntity {}
