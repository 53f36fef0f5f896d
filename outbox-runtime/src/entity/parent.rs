//! Parents: other entities that the service must have before it gets an event.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{AsEntityId, EntityId, IdKind};

/// Another entity whose creation must be delivered before an event is: see
/// [`Enqueue::after`](crate::Enqueue::after).
///
/// # Examples
///
/// ```
/// use outbox_runtime::Parent;
///
/// let parent = Parent::new("journal", 7);
/// assert_eq!(parent.to_string(), "journal 7");
/// ```
///
/// Of an entity of the application, whose type had another name before:
///
/// ```
/// # use outbox_runtime::prelude::*;
/// use outbox_runtime::Parent;
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "journal", alias = ["diary"])]
/// struct Journal {
///     #[outbox(entity_id)]
///     id: i64,
///     #[outbox(user_id)]
///     user_id: String,
/// }
///
/// let parent = Parent::of::<Journal>(7);
/// assert!(parent.stored_types().eq(["journal", "diary"]));
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Parent {
    /// The event type of the entity.
    pub event_type: String,
    /// The names that the type had before: a stored creation of one of these types counts as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The entity.
    #[serde(rename = "entityID", with = "id_as_text")]
    pub entity_id: EntityId,
    /// The kind of the ids of the type, where the type is known.
    #[serde(skip)]
    pub(crate) id_kind: IdKind,
}

/// Two parents are equal if they are the same entity, however its type was given.
impl PartialEq for Parent {
    fn eq(&self, other: &Self) -> bool {
        self.event_type == other.event_type
            && self.aliases == other.aliases
            && self.entity_id == other.entity_id
    }
}

impl Eq for Parent {}

impl Parent {
    /// The most parents that an event can have: 16.
    pub const MOST: usize = 16;

    /// The entity of this type with this id.
    #[must_use]
    pub fn new(event_type: impl Into<String>, entity_id: impl Into<EntityId>) -> Self {
        Self {
            event_type: event_type.into(),
            aliases: Vec::new(),
            entity_id: entity_id.into().in_one_form(),
            id_kind: IdKind::Any,
        }
    }

    /// Why no event can wait for this parent, if none can.
    pub(crate) fn fault(&self) -> Option<String> {
        let kind = self.id_kind;
        (!kind.includes(&self.entity_id)).then(|| {
            format!(
                "name {self}, but the ids of that type are {}, so the event would wait for nobody; pass the id of the entity itself",
                kind.name()
            )
        })
    }

    /// Every name of its type in stored events.
    pub fn stored_types(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.event_type)
            .chain(&self.aliases)
            .map(String::as_str)
    }
}

/// The type and the id.
impl fmt::Display for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.event_type, self.entity_id)
    }
}

/// The id as its text, which is one for each id.
mod id_as_text {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::entity::EntityId;

    pub(super) fn serialize<S: Serializer>(id: &EntityId, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<EntityId, D::Error> {
        String::deserialize(from).map(EntityId::from)
    }
}

/// The type of an `#[outbox(after = ..)]` field: the id of another entity, or an `Option` of one,
/// where `None` means that the event waits for nobody.
///
/// # Examples
///
/// ```
/// use outbox_runtime::EntityId;
/// use outbox_runtime::support::AsParentId;
///
/// assert_eq!(7_i64.as_parent_id(), Some(EntityId::Integer(7)));
/// assert_eq!(None::<i64>.as_parent_id(), None);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the id of an entity",
    label = "not an entity id and not an `Option` of one",
    note = "`after` belongs on the field that holds the id of the other entity"
)]
pub trait AsParentId {
    /// The id, if there is one.
    fn as_parent_id(&self) -> Option<EntityId>;
}

#[diagnostic::do_not_recommend]
impl<T: AsEntityId> AsParentId for T {
    fn as_parent_id(&self) -> Option<EntityId> {
        Some(self.as_entity_id())
    }
}

impl<T: AsEntityId> AsParentId for Option<T> {
    fn as_parent_id(&self) -> Option<EntityId> {
        self.as_ref().map(T::as_entity_id)
    }
}
