//! Times on a page.

use std::fmt;

use chrono::{DateTime, Utc};
use outbox_operate::{age, stamp};

/// A time, for a browser and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct When {
    pub(crate) stamp: String,
    words: String,
}

impl When {
    pub(crate) fn of(at: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        let distance = age(now, at);
        Self {
            stamp: stamp(at),
            words: match at > now {
                true => distance,
                false => format!("{distance} ago"),
            },
        }
    }

    /// The time itself and the distance.
    pub(crate) fn whole(&self) -> String {
        format!("{} ({})", self.stamp, self.words)
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}
