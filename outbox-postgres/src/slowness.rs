//! Whether looks at an index have become slow: scans in claim order, and rounds of looks for turns.
//!
//! The index still has the entries of events that are gone, until the next vacuum, or for as long
//! as some old snapshot is held. A look is slow where it costs more than looks of its kind usually
//! do, given how much it found. One alone proves nothing, as a busy server delays any statement.

use std::time::Duration;

/// The pause after a slow look, in multiples of its cost.
pub(crate) const PAUSE: u32 = 20;

/// The cost of a look from which on it is slow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usual {
    /// Of one that finds nothing.
    pub(crate) alone: Duration,
    /// For each find.
    pub(crate) per_find: Duration,
}

impl Usual {
    pub(crate) fn with(self, finds: usize) -> Duration {
        let finds = u32::try_from(finds).unwrap_or(u32::MAX);
        let per_find = self.per_find.saturating_mul(finds);
        self.alone.saturating_add(per_find)
    }
}

/// How many looks were slow, one after another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct InARow(u32);

impl InARow {
    pub(crate) const fn of(count: u32) -> Self {
        Self(count)
    }

    /// Notes a look.
    pub(crate) fn note(&mut self, is_slow: bool) {
        self.0 = match is_slow {
            true => self.0.saturating_add(1),
            false => 0,
        };
    }
}
