//! The claim: one worker's hold on one event, for a while.

use std::fmt;

use chrono::{DateTime, Utc};
use uuid::{Builder, Uuid};

use crate::event::OutboxEvent;

mod request; // what a worker asks for
mod selector; // which events a condition is about

pub use self::request::{ClaimOrder, ClaimRequest};
pub use self::selector::{EventTypes, Selector};

/// An event that was claimed, and the lease under which its outcome must be reported.
///
/// The attempt is already counted in the event. Where the process dies it is given back, and a crash is counted instead.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a claimed event is delivered to nobody else until its outcome is settled or its lease ends"]
pub struct Claim {
    /// The event, with `status` processing.
    pub event: OutboxEvent,
    /// What [`settle`](crate::OutboxRepository::settle) compares.
    pub lease: Lease,
}

/// The right to report what became of an event, until it expires or somebody else claims the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Whose.
    pub event_id: Uuid,
    /// A fencing token: a later claim of the same event has another one.
    pub token: LeaseToken,
    /// When the event may be claimed by others.
    pub expires_at: DateTime<Utc>,
}

/// The random number that tells one claim of an event from the next.
///
/// Every write that records an outcome compares it, so that a worker which was frozen past its lease cannot
/// overwrite what the next one did (fencing, as in Kleppmann, *Designing Data-Intensive Applications*, ch. 8).
///
/// It is a UUID of version 8 (RFC 9562, section 5.8): the number of the process that claimed, and 90 random bits. So a row tells
/// who has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseToken(Uuid);

impl LeaseToken {
    /// A new token of this process.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = Uuid::new_v4().into_bytes();
        bytes[..PROCESS_BYTES].copy_from_slice(&std::process::id().to_be_bytes());
        Self(Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// Which process claimed the event, by the number that its system gave it. `None` for a token that [`random`](Self::random)
    /// did not make. Processes of several machines, or containers, can have one number.
    ///
    /// ```
    /// use outbox_runtime::LeaseToken;
    /// use uuid::Uuid;
    ///
    /// assert_eq!(LeaseToken::random().process_id(), Some(std::process::id()));
    /// assert_eq!(LeaseToken::from(Uuid::now_v7()).process_id(), None);
    /// ```
    #[must_use]
    pub fn process_id(self) -> Option<u32> {
        (self.0.get_version_num() == 8)
            .then(|| self.0.as_bytes().first_chunk::<PROCESS_BYTES>())
            .flatten()
            .map(|number| u32::from_be_bytes(*number))
    }

    /// The token as the row holds it.
    #[must_use]
    pub fn as_uuid(self) -> Uuid {
        self.0
    }
}

/// What the number of a process takes at the front of a token.
const PROCESS_BYTES: usize = size_of::<u32>();

impl From<Uuid> for LeaseToken {
    fn from(token: Uuid) -> Self {
        Self(token)
    }
}

impl fmt::Debug for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeaseToken({})", self.0)
    }
}
