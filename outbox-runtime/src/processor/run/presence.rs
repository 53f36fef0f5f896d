//! Presence: whether the run is announced to its store.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::clock;
use crate::presence::Announcement;

/// How often an announcement is tried.
const TRIES: u8 = 3;

/// An announcement of this age is renewed in the next round: stores forget processes of which they
/// have not heard for many days and that they cannot see.
const RENEWED_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// The announcement of a run.
#[derive(Debug)]
pub(super) struct Presence {
    announcement: Announcement,
    /// When it was made, or last renewed.
    announced_at: Option<DateTime<Utc>>,
    tries_left: u8,
}

impl Presence {
    pub(super) fn new(announcement: Announcement) -> Self {
        Self {
            announcement,
            announced_at: None,
            tries_left: TRIES,
        }
    }

    /// The announcement, if it is to be made now. Counts that as a try.
    pub(super) fn take_try(&mut self, now: DateTime<Utc>) -> Option<Announcement> {
        match &mut self.announced_at {
            // A clock that was set back renews it early.
            Some(at) if *at <= now && now < clock::after(*at, RENEWED_AFTER) => return None,
            // A renewal that fails is made a day later.
            Some(at) => *at = now,
            None if self.tries_left == 0 => return None,
            None => self.tries_left -= 1,
        }
        Some(self.announcement.clone())
    }

    /// Whether the announcement is given up.
    pub(super) fn is_given_up(&self) -> bool {
        self.announced_at.is_none() && self.tries_left == 0
    }

    pub(super) fn announced(&mut self, now: DateTime<Utc>) {
        self.announced_at = Some(now);
    }

    /// The run, if it is announced.
    pub(super) fn announced_run(&self) -> Option<Uuid> {
        self.announced_at.map(|_| self.announcement.run_id)
    }
}
