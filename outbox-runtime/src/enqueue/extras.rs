//! The parts that few events have: a key that they share with others, a time after which they are
//! no longer worth sending, and headers. All stand in a box, so that an event with none allocates
//! nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock;
use crate::headers::Headers;

/// The effect of an event with a [key](crate::Enqueue::key) on a waiting event of its user with the
/// same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OnSameKey {
    /// The new event replaces it: the waiting one is never sent.
    #[default]
    Replace,
    /// The waiting event is kept, and the new one is not enqueued.
    Keep,
}

/// When an event expires: see [`Enqueue::expires_at`](crate::Enqueue::expires_at).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Expiry {
    /// That long after it is enqueued.
    After(Duration),
    /// At that time.
    At(DateTime<Utc>),
}

impl Expiry {
    /// The time for an event that is enqueued at `now`. For stores.
    #[must_use]
    pub fn of(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::After(duration) => clock::after(now, duration),
            Self::At(time) => time,
        }
    }
}

/// The rare parts of a new event.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Extras {
    pub(crate) key: Option<String>,
    pub(crate) on_same_key: OnSameKey,
    pub(crate) expiry: Option<Expiry>,
    pub(crate) headers: Headers,
}
