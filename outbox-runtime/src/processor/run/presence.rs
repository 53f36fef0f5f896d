//! Presence: whether the run is announced to its store.

use uuid::Uuid;

use crate::presence::Announcement;

/// How often an announcement is tried.
const TRIES: u8 = 3;

/// The announcement of a run.
#[derive(Debug)]
pub(super) struct Presence {
    announcement: Announcement,
    is_announced: bool,
    tries_left: u8,
}

impl Presence {
    pub(super) fn new(announcement: Announcement) -> Self {
        Self {
            announcement,
            is_announced: false,
            tries_left: TRIES,
        }
    }

    /// The announcement, if it is to be made now. Counts that as a try.
    pub(super) fn take_try(&mut self) -> Option<Announcement> {
        if self.is_announced || self.tries_left == 0 {
            return None;
        }
        self.tries_left -= 1;
        Some(self.announcement.clone())
    }

    /// Whether the announcement is given up.
    pub(super) fn is_given_up(&self) -> bool {
        !self.is_announced && self.tries_left == 0
    }

    pub(super) fn announced(&mut self) {
        self.is_announced = true;
    }

    /// The run, if it is announced.
    pub(super) fn announced_run(&self) -> Option<Uuid> {
        self.is_announced.then_some(self.announcement.run_id)
    }
}
