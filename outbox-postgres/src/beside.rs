//! Whether claims are made beside the outcomes before them.
//!
//! Where a backlog is longer than the lanes are many, a claim that is filled in one transaction
//! finds nothing beside the next outcomes, which hold all lanes. So attempts in vain get rarer.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most exchanges in one transaction between two attempts at claims beside outcomes.
const MOST_IN_ONE: u32 = 64;

/// Whether the next exchange claims beside its outcomes.
#[derive(Debug, Default)]
pub(crate) struct Beside(Mutex<Attempts>);

#[derive(Debug, Default)]
struct Attempts {
    /// Whether the last claim was filled with events that waited for nothing.
    is_filled: bool,
    /// How many exchanges to make in one transaction first.
    rest: u32,
    /// That number after the last attempt in vain.
    last_rest: u32,
}

impl Beside {
    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_next(&self) -> bool {
        let attempts = self.attempts();
        attempts.is_filled && attempts.rest == 0
    }

    /// Notes an exchange, whose claim was beside its outcomes or not.
    pub(crate) fn exchanged(&self, was_beside: bool, is_filled: bool) {
        let mut attempts = self.attempts();
        attempts.is_filled = is_filled;
        match (was_beside, is_filled) {
            (true, true) => {
                *attempts = Attempts {
                    is_filled,
                    ..Attempts::default()
                }
            }
            (true, false) => {
                attempts.rest = (attempts.last_rest * 2).clamp(1, MOST_IN_ONE);
                attempts.last_rest = attempts.rest;
            }
            (false, _) => attempts.rest = attempts.rest.saturating_sub(1),
        }
    }
}
