//! What `#[outbox(destination = ..)]` evaluates to.

use std::borrow::Cow;

use crate::entity::AsDestination;

/// The destination that a value of the user's names.
pub fn destination<D: AsDestination + ?Sized>(value: &D) -> Option<String> {
    value.as_destination().map(Cow::into_owned)
}
