//! The completion of a claimed event.

use crate::claim::Lease;

/// The completion of a claimed event, for implementations of
/// [`CompletionSink`](crate::CompletionSink).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Completion {
    /// The lease under which the event is completed. Its [end](Lease::expires_at) may have been
    /// moved since; the store knows the current one.
    pub lease: Lease,
    /// Whether the completed event is kept. Otherwise it is cleaned up in the same commit, for
    /// processors that keep no delivered events.
    pub is_kept: bool,
}

impl Completion {
    /// Completes the event of this lease and keeps it.
    #[must_use]
    pub const fn new(lease: Lease) -> Self {
        Self {
            lease,
            is_kept: true,
        }
    }

    /// Cleans the event up in the same commit.
    #[must_use]
    pub const fn not_kept(mut self) -> Self {
        self.is_kept = false;
        self
    }
}
