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
