//! Evaluation of `#[outbox(destination = ..)]`.

use std::borrow::Cow;

use crate::entity::AsDestination;

/// The destination named by a user's value.
pub fn destination<D: AsDestination + ?Sized>(value: &D) -> Option<String> {
    value.as_destination().map(Cow::into_owned)
}
