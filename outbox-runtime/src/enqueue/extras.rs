//! The parts that few events have: a key that they share with others, a time after which they are
//! no longer worth sending, headers, and entities that must be delivered first. All stand in a box,
//! so that an event with none allocates nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock;
use crate::entity::Parent;
use crate::headers::Headers;

/// The effect of an event with a [key](crate::Enqueue::key) on a waiting event of its user with the
/// same key.
///
/// # Examples
///
/// ```
/// use outbox_runtime::{NewEvent, OnSameKey, Operation};
///
/// let refresh = NewEvent::new("refresh", 7, "user-1", Operation::Update)
///     .with_key("refresh")
///     .with_on_same_key(OnSameKey::Keep);
/// assert_eq!(refresh.on_same_key(), OnSameKey::Keep);
/// assert_eq!(OnSameKey::default(), OnSameKey::Replace);
/// ```
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
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::{Expiry, NewEvent, Operation};
///
/// let offer = NewEvent::new("offer", 7, "user-1", Operation::Create)
///     .with_expiry(Expiry::After(Duration::from_secs(3600)));
/// assert_eq!(offer.expiry(), Some(Expiry::After(Duration::from_secs(3600))));
/// ```
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
    pub(crate) parents: Vec<Parent>,
    pub(crate) headers: Headers,
}
