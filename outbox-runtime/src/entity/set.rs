//! A set of events and its entities, shown to tools such as the wire lock.

use super::OutboxEntity;

/// A closed set of events, as [`derive(OutboxEvents)`](macro@crate::OutboxEvents) implements it: which entities it has, and
/// where it is defined. The wire lock of `outbox-testing` reads it.
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
    /// The path of the enum: `lume::sync::LumeEvent`.
    const PATH: &'static str;

    /// The folder of the `Cargo.toml` of the crate that defines the set; `None` where the crate was not built by Cargo.
    const MANIFEST_DIR: Option<&'static str>;

    /// Shows the entity of each variant, in the order of the variants.
    fn visit_entities(visitor: &mut impl VisitEntities);
}

/// What [`EventSet::visit_entities`] shows entities to.
pub trait VisitEntities {
    /// Takes one entity.
    fn visit<E: OutboxEntity>(&mut self);
}
