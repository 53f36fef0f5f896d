//! Storms: notifications of many sessions at once.
//!
//! A notification makes commits wait for each other. One producer after the other does not notice;
//! many at the same time do.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How many sessions have to send a notification within this time. With a disk that takes ten
/// milliseconds for a commit, five sessions that wait for each other do.
const SESSIONS: usize = 4;
const TIME: Duration = Duration::from_millis(50);

/// The storms that a store has met.
#[derive(Debug, Default)]
pub(crate) struct Storms {
    /// The last notification of each session, the oldest first, and its time on the steady clock.
    last: Mutex<VecDeque<(i32, Duration)>>,
    count: AtomicU64,
}

impl Storms {
    /// Notes a notification of the session with this number.
    pub(crate) fn heard(&self, session: i32, now: Duration) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.retain(|(other, at)| *other != session && now.saturating_sub(*at) <= TIME);
        last.push_back((session, now));
        if last.len() >= SESSIONS {
            last.clear();
            self.count.fetch_add(1, Ordering::SeqCst);
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }
}
