//! The claim: one worker's hold on one event, for a while.

use std::fmt;
use std::sync::LazyLock;

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
/// It is a UUID of version 8 (RFC 9562, section 5.8): the number of the process that claimed, 32 random bits that the process keeps, as
/// numbers are given again, and 58 random bits. So a row tells who has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseToken(Uuid);

impl LeaseToken {
    /// A new token of this process.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = Uuid::new_v4().into_bytes();
        let own = ProcessKey::own();
        bytes[..PROCESS_BYTES].copy_from_slice(&own.process_id.to_be_bytes());
        bytes[LIFE].copy_from_slice(&own.life.to_be_bytes());
        Self(Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// Which process claimed the event, by the number that its system gave it. `None` for a token that [`random`](Self::random)
    /// did not make. Processes of several machines, or containers, can have one number.
    ///
    /// ```
    /// use outbox_runtime::store::LeaseToken;
    /// use uuid::Uuid;
    ///
    /// assert_eq!(LeaseToken::random().process_id(), Some(std::process::id()));
    /// assert_eq!(LeaseToken::from(Uuid::now_v7()).process_id(), None);
    /// ```
    #[must_use]
    pub fn process_id(self) -> Option<u32> {
        self.process_key().map(ProcessKey::process_id)
    }

    /// Which process claimed the event, told apart from earlier and later ones with the same number.
    pub(crate) fn process_key(self) -> Option<ProcessKey> {
        let bytes = self.0.as_bytes();
        let process_id = bytes.first_chunk::<PROCESS_BYTES>()?;
        let life = bytes[LIFE].first_chunk::<PROCESS_BYTES>()?;
        (self.0.get_version_num() == 8).then_some(ProcessKey {
            process_id: u32::from_be_bytes(*process_id),
            life: u32::from_be_bytes(*life),
        })
    }

    /// The token as the row holds it.
    #[must_use]
    pub fn as_uuid(self) -> Uuid {
        self.0
    }
}

/// What the number of a process takes at the front of a token.
const PROCESS_BYTES: usize = size_of::<u32>();

/// Where the random bits of a process are, behind those that the version and the variant are in.
const LIFE: std::ops::Range<usize> = 9..9 + PROCESS_BYTES;

/// One life of one process: its number, and a random one that it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ProcessKey {
    process_id: u32,
    life: u32,
}

impl ProcessKey {
    /// That of this process.
    pub(crate) fn own() -> Self {
        static LIFE_OF_THIS: LazyLock<u32> =
            LazyLock::new(|| (Uuid::new_v4().as_u128() & u128::from(u32::MAX)) as u32);
        Self {
            process_id: std::process::id(),
            life: *LIFE_OF_THIS,
        }
    }

    /// The number that its system gave it.
    pub(crate) fn process_id(self) -> u32 {
        self.process_id
    }
}

#[cfg(feature = "sqlite")]
impl ProcessKey {
    /// Both numbers in one, as a table has it.
    pub(crate) fn as_i64(self) -> i64 {
        ((u64::from(self.process_id) << 32) | u64::from(self.life)).cast_signed()
    }

    pub(crate) fn from_i64(key: i64) -> Self {
        let key = key.cast_unsigned();
        Self {
            process_id: (key >> 32) as u32,
            life: key as u32,
        }
    }
}

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
