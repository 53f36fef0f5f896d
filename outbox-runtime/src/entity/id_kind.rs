//! What the ids of an entity type can be, as far as their type tells.

use super::EntityId;

/// The kind of the ids of an entity type: see
/// [`EntityOptions::with_id_kind`](super::EntityOptions::with_id_kind).
///
/// # Examples
///
/// ```
/// use outbox_runtime::EntityId;
/// use outbox_runtime::support::IdKind;
///
/// assert!(IdKind::Uuid.includes(&EntityId::from("67e55044-10b1-426f-9247-bb680e5fe0c8")));
/// // Upper case is another notation, which stays a string.
/// assert!(!IdKind::Uuid.includes(&EntityId::from("67E55044-10B1-426F-9247-BB680E5FE0C8")));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum IdKind {
    /// Any ids: nothing is known about them.
    #[default]
    Any,
    /// Strings, which may be the text of any id.
    Text,
    /// Integers.
    Integer,
    /// UUIDs.
    Uuid,
    /// Ids of [several parts](EntityId::composite).
    Composite,
}

impl IdKind {
    /// Whether an id of this kind may equal one of the other kind.
    pub(crate) const fn overlaps(self, other: Self) -> bool {
        matches!(
            (self, other),
            (Self::Any | Self::Text, _)
                | (_, Self::Any | Self::Text)
                | (Self::Integer, Self::Integer)
                | (Self::Uuid, Self::Uuid)
                | (Self::Composite, Self::Composite)
        )
    }

    /// Whether an entity with ids of this kind can have this id.
    #[must_use]
    pub fn includes(self, id: &EntityId) -> bool {
        match (self, id) {
            (Self::Any | Self::Text, _)
            | (Self::Integer, EntityId::Integer(_))
            | (Self::Uuid, EntityId::Uuid(_)) => true,
            // An integer beyond an `i64` is its digits.
            (Self::Integer, EntityId::Text(text)) => {
                let digits = text.strip_prefix('-').unwrap_or(text);
                !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
            }
            (Self::Composite, EntityId::Text(text)) => text.contains(super::composite::SEPARATOR),
            (Self::Integer, EntityId::Uuid(_))
            | (Self::Uuid, EntityId::Integer(_) | EntityId::Text(_))
            | (Self::Composite, EntityId::Integer(_) | EntityId::Uuid(_)) => false,
        }
    }

    /// The ids, for a message.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Any | Self::Text => "any ids",
            Self::Integer => "integers",
            Self::Uuid => "UUIDs",
            Self::Composite => "ids of several parts",
        }
    }
}
