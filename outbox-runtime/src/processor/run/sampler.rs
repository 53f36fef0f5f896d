//! When the gauges of the metrics are sampled: after a change, and not too often.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock;
use crate::repository::Revision;

/// When the state of the store was sampled.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    /// The shortest time between two samples; `None`: nothing is sampled.
    interval: Option<Duration>,
    sampled: Option<(Revision, DateTime<Utc>)>,
    /// When a change is sampled that came too early after the last sample.
    due_at: Option<DateTime<Utc>>,
    /// When what was sampled changes by itself.
    ends_at: Option<DateTime<Utc>>,
}

impl Sampler {
    pub(super) fn new(interval: Option<Duration>) -> Self {
        Self {
            interval,
            ..Self::default()
        }
    }

    /// Whether to sample now. A change that comes too early is sampled later.
    pub(super) fn is_due(&mut self, revision: Revision, now: DateTime<Utc>) -> bool {
        let Some(interval) = self.interval else {
            return false;
        };
        // The first sample is that of the start.
        let Some((seen, at)) = self.sampled else {
            return true;
        };
        if seen == revision && self.ends_at.is_none_or(|ends| ends > now) {
            self.due_at = None;
            return false;
        }
        let due = clock::after(at, interval);
        // A clock that was set back counts as time.
        let is_due = due <= now || at > now;
        self.due_at = (!is_due).then_some(due);
        is_due
    }

    /// Notes a sample of this revision or a later one, which holds until then at most.
    pub(super) fn sampled(
        &mut self,
        revision: Revision,
        now: DateTime<Utc>,
        ends_at: Option<DateTime<Utc>>,
    ) {
        self.sampled = Some((revision, now));
        self.due_at = None;
        self.ends_at = ends_at;
    }

    /// When the next sample is due.
    pub(super) fn due_at(&self) -> Option<DateTime<Utc>> {
        self.due_at.or(self.ends_at)
    }
}
