//! How handler sets are told apart.

/// Which of the registered handlers; what a rate limit pauses.
pub(super) type HandlerIndex = usize;
