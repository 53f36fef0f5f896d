//! The ids of entities and users.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use uuid::Uuid;

/// The id of an entity: a UUID, an integer or a string, each stored as such.
///
/// The id and the user id together determine the delivery order, **whatever the event type**:
/// events of two types with the same id are delivered one at a time. If integers are unique only
/// within a table, make them globally unique (`format!("goal:{id}")`); otherwise events of
/// unrelated entities wait for each other.
///
/// An id has one canonical form, whatever type the application keeps it in. A string that is
/// exactly the canonical text of a UUID (lowercase, hyphenated) or an integer (decimal, no leading
/// zeros) becomes that UUID or integer. The events of an entity therefore stay in order when an
/// update of the application starts or stops keeping its ids as strings. `to_string()` returns the
/// same text for both.
///
/// A UUID in another notation, such as upper case (`uuidString` in Swift) or braces, stays a string
/// of its own, because the service may distinguish the two. An application that has both notations
/// must normalize them before it enqueues.
///
/// The guide: [ids](https://docs.rs/outbox-guide/latest/outbox_guide/ids/).
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
/// assert_eq!(EntityId::from(Uuid::nil().to_string()), EntityId::from(Uuid::nil()));
/// assert_eq!(EntityId::from("7"), EntityId::from(7));
/// assert_eq!(EntityId::from("007").as_text(), Some("007"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum EntityId {
    /// A UUID; 16 bytes in SQLite.
    Uuid(Uuid),
    /// An integer, such as a row id.
    Integer(i64),
    /// A string of 1 to 255 bytes without control characters. Create it with `From`, which converts
    /// a string that is a UUID or an integer into [`Uuid`](Self::Uuid) or
    /// [`Integer`](Self::Integer).
    Text(String),
}

impl EntityId {
    /// Returns the UUID, if the id is one.
    #[must_use]
    pub fn as_uuid(&self) -> Option<Uuid> {
        match self {
            Self::Uuid(id) => Some(*id),
            Self::Integer(_) | Self::Text(_) => None,
        }
    }

    /// Returns the integer, if the id is one.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::EntityId;
    ///
    /// assert_eq!(EntityId::from("7").as_integer(), Some(7));
    /// assert_eq!(EntityId::from("goal:7").as_integer(), None);
    /// ```
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(id) => Some(*id),
            Self::Uuid(_) | Self::Text(_) => None,
        }
    }

    /// Returns the string, if the id is neither a UUID nor an integer. `to_string()` works for
    /// every id.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(id) => Some(id),
            Self::Uuid(_) | Self::Integer(_) => None,
        }
    }
}

impl EntityId {
    /// Converts to the canonical form: see [`EntityId`].
    pub(crate) fn in_one_form(self) -> Self {
        match self {
            Self::Text(id) => id.into(),
            other => other,
        }
    }

    /// The length of the longest text that [`write_text`](Self::write_text) writes.
    #[cfg(feature = "sqlite")]
    pub(crate) const LONGEST_TEXT: usize = uuid::fmt::Hyphenated::LENGTH;

    /// The text of the id, as by `to_string()`, without an allocation. `From<&str>` returns the id
    /// of the text again.
    #[cfg(feature = "sqlite")]
    pub(crate) fn write_text<'t>(&'t self, buffer: &'t mut [u8; Self::LONGEST_TEXT]) -> &'t str {
        match self {
            Self::Uuid(id) => id.hyphenated().encode_lower(buffer),
            Self::Integer(id) => {
                let mut at = buffer.len();
                let mut left = id.unsigned_abs();
                loop {
                    at -= 1;
                    buffer[at] = b'0' + (left % 10) as u8;
                    left /= 10;
                    if left == 0 {
                        break;
                    }
                }
                if *id < 0 {
                    at -= 1;
                    buffer[at] = b'-';
                }
                // Digits are UTF-8.
                std::str::from_utf8(&buffer[at..]).unwrap_or_default()
            }
            Self::Text(id) => id,
        }
    }

    /// Parses a string that is the canonical text of a UUID or an integer.
    fn parse_canonical(id: &str) -> Option<Self> {
        let mut buffer = Uuid::encode_buffer();
        if id.len() == uuid::fmt::Hyphenated::LENGTH {
            let uuid = Uuid::try_parse(id).ok()?;
            return (uuid.hyphenated().encode_lower(&mut buffer) == id).then_some(Self::Uuid(uuid));
        }
        // The longest integer has 20 bytes; most strings start with another character.
        let may_be_integer =
            id.len() <= 20 && id.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        let integer: i64 = may_be_integer.then(|| id.parse().ok())??;
        (integer.to_string() == id).then_some(Self::Integer(integer))
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
        Self::parse_canonical(&id).unwrap_or(Self::Text(id))
    }
}

impl From<&str> for EntityId {
    fn from(id: &str) -> Self {
        Self::parse_canonical(id).unwrap_or_else(|| Self::Text(id.to_owned()))
    }
}

macro_rules! from_strings {
    ($($string:ty)+) => {$(
        impl From<$string> for EntityId {
            fn from(id: $string) -> Self {
                Self::from(&*id)
            }
        }
    )+};
}

from_strings!(Cow<'_, str> Box<str> Arc<str> Rc<str>);

impl From<&EntityId> for EntityId {
    fn from(id: &EntityId) -> Self {
        id.clone()
    }
}

/// The type of an `#[outbox(entity_id)]` field: any type that clones into an [`EntityId`].
///
/// For a newtype of your own, derive [`EntityId`](macro@crate::EntityId), or implement
/// `From<YourId> for EntityId`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an entity id",
    label = "not a Uuid, an integer, a String or a tuple of these",
    note = "for a newtype of your own, derive `Clone` and `outbox_runtime::EntityId`"
)]
pub trait AsEntityId {
    /// Returns the id as stored.
    fn as_entity_id(&self) -> EntityId;
}

#[diagnostic::do_not_recommend]
impl<T: Clone + Into<EntityId>> AsEntityId for T {
    fn as_entity_id(&self) -> EntityId {
        self.clone().into()
    }
}

/// The type of an `#[outbox(user_id)]` field: a string, a UUID, an integer, or a type that
/// implements this trait.
///
/// # Examples
///
/// ```
/// use std::borrow::Cow;
/// use outbox_runtime::support::AsUserId;
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
    label = "not a string, a Uuid or an integer",
    note = "for a newtype of your own, derive `outbox_runtime::EntityId`, or implement `outbox_runtime::support::AsUserId`"
)]
pub trait AsUserId {
    /// Returns the id as stored.
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

impl AsUserId for Cow<'_, str> {
    fn as_user_id(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }
}

macro_rules! by_pointer {
    ($($pointer:ty),+) => {$(
        impl<T: AsUserId + ?Sized> AsUserId for $pointer {
            fn as_user_id(&self) -> Cow<'_, str> {
                (**self).as_user_id()
            }
        }
    )+};
}

by_pointer!(&T, Arc<T>, Rc<T>, Box<T>);
