//! The claim: one worker's hold on one event, for a while.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::{Builder, Uuid};

use crate::event::OutboxEvent;

/// An event that was claimed, and the lease under which its outcome must be reported.
///
/// The attempt is already counted in the event: a process that dies has used it up.
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
    /// use outbox_runtime::LeaseToken;
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

/// What a worker asks for.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::{ClaimRequest, EventTypes};
///
/// let request = ClaimRequest::new(10, Duration::from_secs(60))
///     .with_lease_for("upload", Duration::from_secs(600))
///     .with_user("user-1")
///     .with_event_types(EventTypes::Only(vec!["moodEntry".into()]));
/// assert_eq!(request.limit(), 10);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct ClaimRequest {
    limit: usize,
    lease: Duration,
    own_leases: Vec<(String, Duration)>,
    user_id: Option<String>,
    event_types: EventTypes,
    /// In ascending order.
    without_users: Vec<String>,
    turns: usize,
    turns_after: String,
}

/// Which event types a worker has handlers for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventTypes {
    /// Just these.
    Only(Vec<String>),
    /// Any but these.
    AllExcept(Vec<String>),
}

impl ClaimRequest {
    /// How much metadata one claim brings, in bytes (16 MiB): it ends with the event that makes it as much, and the next claim
    /// goes on from there.
    ///
    /// A row with more than that was not [enqueued](crate::NewEvent::MAX_METADATA_BYTES) by this library. It is not loaded, and is
    /// a dead letter.
    pub const MAX_METADATA_BYTES: usize = 16 << 20;

    /// At most `limit` events of any user and type, each held for `lease`.
    pub fn new(limit: usize, lease: Duration) -> Self {
        Self {
            limit,
            lease,
            own_leases: Vec::new(),
            user_id: None,
            event_types: EventTypes::AllExcept(Vec::new()),
            without_users: Vec::new(),
            turns: 0,
            turns_after: String::new(),
        }
    }

    /// Events of this type are held for `lease` instead. Default: each is held as long as the others.
    pub fn with_lease_for(mut self, event_type: impl Into<String>, lease: Duration) -> Self {
        let event_type = event_type.into();
        self.own_leases.retain(|(other, _)| *other != event_type);
        self.own_leases.push((event_type, lease));
        self
    }

    /// Only events of this user. Default: of all.
    pub fn with_user(mut self, user_id: impl Into<String>) -> Self {
        self.user_id = Some(user_id.into());
        self
    }

    /// Only events of these types. Default: of all.
    pub fn with_event_types(mut self, event_types: EventTypes) -> Self {
        self.event_types = event_types;
        self
    }

    /// No events of these users. Default: none is left out.
    pub fn without_users(mut self, mut users: Vec<String>) -> Self {
        users.sort_unstable();
        self.without_users = users;
        self
    }

    /// In so many of the places users take turns: one event of each, their first in claim order, beginning with the user whose
    /// id comes next after this one, by its bytes, and going around. `""` begins with the first of them. Default: none; all places
    /// are filled in claim order.
    ///
    /// So nobody's event waits for the backlog of somebody else, however large and urgent that is. The claims in claim order come
    /// first, then those in turn, so that the next request goes on after the user of the last claim; then, where everybody had a
    /// turn and places are left, more in claim order. In a claim [of one user](Self::with_user) there are no turns.
    pub fn with_turns(mut self, places: usize, after: impl Into<String>) -> Self {
        self.turns = places;
        self.turns_after = after.into();
        self
    }

    /// At most how many events.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// For how long, unless their type has a lease of its own.
    #[must_use]
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// The event types that have leases of their own.
    #[must_use]
    pub fn own_leases(&self) -> &[(String, Duration)] {
        &self.own_leases
    }

    /// For how long an event of this type is held.
    #[must_use]
    pub fn lease_for(&self, event_type: &str) -> Duration {
        let own = self.own_leases.iter().find(|(own, _)| own == event_type);
        own.map_or(self.lease, |(_, lease)| *lease)
    }

    /// Of which user; `None` is all.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.user_id.as_deref()
    }

    /// Of which types.
    #[must_use]
    pub fn event_types(&self) -> &EventTypes {
        &self.event_types
    }

    /// In how many of the places users take turns.
    #[must_use]
    pub fn turns(&self) -> usize {
        match self.user_id {
            Some(_) => 0,
            None => self.turns.min(self.limit),
        }
    }

    /// After whom they do.
    #[must_use]
    pub fn turns_after(&self) -> &str {
        &self.turns_after
    }

    /// Of which users not, in ascending order.
    #[must_use]
    pub fn excluded_users(&self) -> &[String] {
        &self.without_users
    }

    /// Whether this is one of the [`excluded_users`](Self::excluded_users).
    pub(crate) fn excludes(&self, user_id: &[u8]) -> bool {
        let order = |user: &String| user.as_bytes().cmp(user_id);
        self.without_users.binary_search_by(order).is_ok()
    }

    /// Whether an event of this user and type is asked for.
    #[must_use]
    pub fn matches(&self, user_id: &str, event_type: &str) -> bool {
        self.user_id.as_deref().is_none_or(|user| user == user_id)
            && !self.excludes(user_id.as_bytes())
            && self.event_types.contains(event_type)
    }
}

impl EventTypes {
    /// Whether `event_type` is among them.
    #[must_use]
    pub fn contains(&self, event_type: &str) -> bool {
        match self {
            Self::Only(types) => types.iter().any(|known| known == event_type),
            Self::AllExcept(types) => !types.iter().any(|left_out| left_out == event_type),
        }
    }
}
