//! Evaluation of `#[outbox(after = ..)]`.

use crate::entity::{EntityId, OutboxEntity, Parent};

/// The parent of type `P` that a field names, if it names one.
pub fn parent<P: OutboxEntity>(id: Option<EntityId>) -> Option<Parent> {
    id.map(Parent::of::<P>)
}

/// The parents that several fields name.
#[must_use]
pub fn parents<const N: usize>(parents: [Option<Parent>; N]) -> Vec<Parent> {
    parents.into_iter().flatten().collect()
}

/// An entity that waits for others. The constant evaluates the checks of its parents in the scope
/// of an impl, where the compiler reports an unknown type as it does elsewhere.
pub trait Child {
    /// Fails to compile if the events could not wait for a parent.
    const CHECKED: ();
}
