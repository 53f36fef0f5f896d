//! The entity: a thing whose every change must be told to a remote service.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::metadata::RawMetadata;

/// A type whose changes go through the outbox. Derive it with `#[derive(OutboxEntity)]`.
///
/// # Implementing it by hand
///
/// [`metadata_json`](OutboxEntity::metadata_json) must write what `Metadata` reads, and `OPTIONS` must carry the same
/// event type as `EVENT_TYPE`. The derive guarantees both.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an outbox entity",
    label = "this type has no event type, entity id and user id",
    note = "annotate it: `#[derive(OutboxEntity)] #[outbox(event_type = \"..\")]`"
)]
pub trait OutboxEntity: Sized + 'static {
    /// What an event of this entity carries: `<Name>Metadata`, or the entity itself with `#[outbox(snapshot)]`.
    type Metadata: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// The name of the type in rows and on the wire. Never derived from the struct's name, so that renaming the
    /// struct changes nothing that is stored.
    const EVENT_TYPE: &'static str;

    /// Everything that `#[outbox(..)]` on the struct says.
    const OPTIONS: EntityOptions;

    /// Which entity this is.
    fn entity_id(&self) -> EntityId;

    /// Whose it is.
    fn user_id(&self) -> Cow<'_, str>;

    /// The metadata as JSON, written from the fields where they are.
    ///
    /// # Errors
    ///
    /// Where a field's `Serialize` fails.
    fn metadata_json(&self) -> Result<RawMetadata, serde_json::Error>;
}

/// What `#[outbox(..)]` says about an entity type.
///
/// # Examples
///
/// ```
/// use outbox_runtime::EntityOptions;
///
/// const OPTIONS: EntityOptions = EntityOptions::new("moodEntry").with_priority(5);
/// assert_eq!(OPTIONS.max_attempts(), 5);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct EntityOptions {
    event_type: &'static str,
    display_name: &'static str,
    priority: i32,
    max_attempts: u32,
    retry: Option<&'static [Duration]>,
    timeout: Option<Duration>,
}

impl EntityOptions {
    /// The defaults for an event type.
    pub const fn new(event_type: &'static str) -> Self {
        Self {
            event_type,
            display_name: event_type,
            priority: 0,
            max_attempts: crate::enqueue::DEFAULT_MAX_ATTEMPTS,
            retry: None,
            timeout: None,
        }
    }

    /// What people call such an entity. Default: the event type; the derive's default is the struct's name in words.
    pub const fn with_display_name(mut self, display_name: &'static str) -> Self {
        self.display_name = display_name;
        self
    }

    /// Higher goes first. Default: 0.
    pub const fn with_priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// With how many attempts an event becomes a dead letter. Default: 5.
    pub const fn with_max_attempts(mut self, max_attempts: u32) -> Self {
        self.max_attempts = max_attempts;
        self
    }

    /// The delays between attempts. Default: the processor's.
    pub const fn with_retry(mut self, retry: &'static [Duration]) -> Self {
        self.retry = Some(retry);
        self
    }

    /// How long one attempt may take. Default: the processor's.
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The name of the type in rows and on the wire.
    #[must_use]
    pub const fn event_type(&self) -> &'static str {
        self.event_type
    }

    /// What people call such an entity.
    #[must_use]
    pub const fn display_name(&self) -> &'static str {
        self.display_name
    }

    /// Higher goes first.
    #[must_use]
    pub const fn priority(&self) -> i32 {
        self.priority
    }

    /// With how many attempts an event becomes a dead letter.
    #[must_use]
    pub const fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// The delays between attempts, where the entity has its own.
    #[must_use]
    pub const fn retry(&self) -> Option<&'static [Duration]> {
        self.retry
    }

    /// How long one attempt may take, where the entity says so.
    #[must_use]
    pub const fn timeout(&self) -> Option<Duration> {
        self.timeout
    }
}

/// Which entity an event is about: a UUID, an integer or a string, stored as itself.
///
/// Together with the user id it is the key of delivery order, **whatever the event type**: events of two types about
/// one id are delivered one after the other. Integers that are unique only within a table are better made unique,
/// `format!("goal:{id}")`, or events of unrelated entities wait for each other.
///
/// # Examples
///
/// ```
/// use outbox_runtime::EntityId;
/// use uuid::Uuid;
///
/// assert_eq!(EntityId::from(7).to_string(), "7");
/// assert_eq!(EntityId::from("goal:7").as_text(), Some("goal:7"));
/// assert_eq!(EntityId::from(Uuid::nil()).as_uuid(), Some(Uuid::nil()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum EntityId {
    /// A UUID; 16 bytes in SQLite.
    Uuid(Uuid),
    /// An integer, such as a row id.
    Integer(i64),
    /// A string of 1 to 255 bytes without control characters.
    Text(String),
}

impl EntityId {
    /// The UUID, where it is one.
    #[must_use]
    pub fn as_uuid(&self) -> Option<Uuid> {
        match self {
            Self::Uuid(id) => Some(*id),
            Self::Integer(_) | Self::Text(_) => None,
        }
    }

    /// The integer, where it is one.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(id) => Some(*id),
            Self::Uuid(_) | Self::Text(_) => None,
        }
    }

    /// The string, where it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(id) => Some(id),
            Self::Uuid(_) | Self::Integer(_) => None,
        }
    }
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(id) => fmt::Display::fmt(id, f),
            Self::Integer(id) => fmt::Display::fmt(id, f),
            Self::Text(id) => fmt::Display::fmt(id, f),
        }
    }
}

impl From<Uuid> for EntityId {
    fn from(id: Uuid) -> Self {
        Self::Uuid(id)
    }
}

impl From<i64> for EntityId {
    fn from(id: i64) -> Self {
        Self::Integer(id)
    }
}

impl From<String> for EntityId {
    fn from(id: String) -> Self {
        Self::Text(id)
    }
}

impl From<&str> for EntityId {
    fn from(id: &str) -> Self {
        Self::Text(id.to_owned())
    }
}

impl From<&EntityId> for EntityId {
    fn from(id: &EntityId) -> Self {
        id.clone()
    }
}

/// What the type of an `#[outbox(entity_id)]` field must be: anything that clones into an [`EntityId`].
///
/// For a newtype of your own, implement `From<YourId> for EntityId`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an entity id",
    label = "not a Uuid, an i64 or a String",
    note = "for a type of your own, implement `Clone` and `From<{Self}> for outbox_runtime::EntityId`"
)]
pub trait AsEntityId {
    /// The id as the outbox stores it.
    fn as_entity_id(&self) -> EntityId;
}

#[diagnostic::do_not_recommend]
impl<T: Clone + Into<EntityId>> AsEntityId for T {
    fn as_entity_id(&self) -> EntityId {
        self.clone().into()
    }
}

/// What the type of an `#[outbox(user_id)]` field must be: a string, a UUID, or a type that says how to be one.
///
/// # Examples
///
/// ```
/// use std::borrow::Cow;
/// use outbox_runtime::AsUserId;
///
/// struct UserId(String);
///
/// impl AsUserId for UserId {
///     fn as_user_id(&self) -> Cow<'_, str> {
///         Cow::Borrowed(&self.0)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a user id",
    label = "not a string and not a Uuid",
    note = "for a type of your own, implement `outbox_runtime::AsUserId`"
)]
pub trait AsUserId {
    /// The id as the outbox stores it.
    fn as_user_id(&self) -> Cow<'_, str>;
}

impl AsUserId for str {
    fn as_user_id(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }
}

impl AsUserId for String {
    fn as_user_id(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }
}

impl AsUserId for Uuid {
    fn as_user_id(&self) -> Cow<'_, str> {
        Cow::Owned(self.to_string())
    }
}

impl<T: AsUserId + ?Sized> AsUserId for &T {
    fn as_user_id(&self) -> Cow<'_, str> {
        (**self).as_user_id()
    }
}

impl<T: AsUserId + ?Sized> AsUserId for Arc<T> {
    fn as_user_id(&self) -> Cow<'_, str> {
        (**self).as_user_id()
    }
}

impl<T: AsUserId + ?Sized> AsUserId for Box<T> {
    fn as_user_id(&self) -> Cow<'_, str> {
        (**self).as_user_id()
    }
}
