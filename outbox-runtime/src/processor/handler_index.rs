//! The identity of a handler set.

/// Index of a registered handler set, the unit that a rate limit pauses.
pub(super) type HandlerIndex = usize;
