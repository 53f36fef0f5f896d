//! The claim: a worker's temporary hold on an event.

use std::fmt;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use uuid::{Builder, Uuid};

use crate::event::OutboxEvent;

mod following; // the request for events that follow leased ones
mod request; // the request for events
mod selector; // the filter of a request

pub use self::following::FollowRequest;
pub use self::request::{ClaimOrder, ClaimRequest};
pub use self::selector::{EventTypes, Selector};

/// A claimed event, and the lease under which its outcome must be reported.
///
/// The event's attempt count already includes this attempt. If the process dies, the attempt is
/// given back and a crash is counted instead.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a claimed event is delivered to nobody else until its outcome is settled or its lease ends"]
pub struct Claim {
    /// The event, with status `processing`.
    pub event: OutboxEvent,
    /// The lease, which [`settle`](crate::store::OutboxQueue::settle) checks.
    pub lease: Lease,
}

/// The right to report the outcome of an event, until the lease expires or another worker claims
/// the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The claimed event.
    pub event_id: Uuid,
    /// Its sequence number in the store, with which the store finds it.
    pub seq: i64,
    /// The fencing token; each claim of an event has a different one. Events that are leased
    /// together may share it.
    pub token: LeaseToken,
    /// When other workers may claim the event.
    pub expires_at: DateTime<Utc>,
}

/// The fencing token of a claim: a random number that distinguishes one claim of an event from the
/// next.
///
/// Every write that records an outcome compares the token, so a worker that was frozen past its
/// lease cannot overwrite the outcome of the next worker (fencing, as in Kleppmann, *Designing
/// Data-Intensive Applications*, ch. 8).
///
/// The token is a UUID of version 8 (RFC 9562, section 5.8): the process id, 32 random bits that
/// are fixed per process (because process ids are reused), and 58 random bits. A row therefore
/// identifies the process that holds it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseToken(Uuid);

impl LeaseToken {
    /// Generates a token for this process.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = Uuid::new_v4().into_bytes();
        let own = ProcessKey::own();
        bytes[..PROCESS_BYTES].copy_from_slice(&own.process_id.to_be_bytes());
        bytes[NONCE_RANGE].copy_from_slice(&own.nonce.to_be_bytes());
        Self(Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// The id of the process that claimed the event. `None` for a token that
    /// [`random`](Self::random) did not generate. Processes on different machines or in different
    /// containers may share an id.
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

    /// Identifies the process that claimed the event, even among processes with a reused id.
    #[must_use]
    pub fn process_key(self) -> Option<ProcessKey> {
        let bytes = self.0.as_bytes();
        let process_id = bytes.first_chunk::<PROCESS_BYTES>()?;
        let nonce = bytes[NONCE_RANGE].first_chunk::<PROCESS_BYTES>()?;
        (self.0.get_version_num() == 8).then_some(ProcessKey {
            process_id: u32::from_be_bytes(*process_id),
            nonce: u32::from_be_bytes(*nonce),
        })
    }

    /// The token as stored in the row.
    #[must_use]
    pub fn as_uuid(self) -> Uuid {
        self.0
    }
}

/// The length of the process id at the start of a token.
const PROCESS_BYTES: usize = size_of::<u32>();

/// The position of the per-process random bits, after the bits of the version and the variant.
const NONCE_RANGE: std::ops::Range<usize> = 9..9 + PROCESS_BYTES;

/// A process, identified by its id and a random number chosen at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessKey {
    process_id: u32,
    nonce: u32,
}

impl ProcessKey {
    /// The key of this process.
    #[must_use]
    pub fn own() -> Self {
        static OWN_NONCE: LazyLock<u32> =
            LazyLock::new(|| (Uuid::new_v4().as_u128() & u128::from(u32::MAX)) as u32);
        Self {
            process_id: std::process::id(),
            nonce: *OWN_NONCE,
        }
    }

    /// The process id assigned by the operating system.
    #[must_use]
    pub fn process_id(self) -> u32 {
        self.process_id
    }

    /// Both numbers packed into one, as stored in a table.
    #[must_use]
    pub fn as_i64(self) -> i64 {
        ((u64::from(self.process_id) << 32) | u64::from(self.nonce)).cast_signed()
    }

    /// The key that was packed into this number.
    #[must_use]
    pub fn from_i64(key: i64) -> Self {
        let key = key.cast_unsigned();
        Self {
            process_id: (key >> 32) as u32,
            nonce: key as u32,
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
