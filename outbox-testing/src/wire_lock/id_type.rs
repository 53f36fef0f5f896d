//! The type of an entity's ids.

use std::any::{TypeId, type_name};
use std::borrow::Cow;
use std::fmt;
use std::num::NonZero;
use std::rc::Rc;
use std::sync::Arc;

use outbox_runtime::EntityId;
use outbox_runtime::support::InspectIdType;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::shape::Shape;

/// The type of an entity's ids: UUIDs, integers, texts, or another type with a name.
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use outbox_testing::wire_lock::EventShapes;
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "goal")]
/// struct Goal {
///     #[outbox(entity_id)]
///     id: i32,
///     #[outbox(user_id)]
///     user_id: String,
/// }
///
/// assert_eq!(EventShapes::of::<Goal>().entity_id_type().name(), Some("integer"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityIdType(Option<Cow<'static, str>>);

impl EntityIdType {
    /// UUIDs.
    pub const UUID: Self = Self(Some(Cow::Borrowed("uuid")));
    /// Integers, of any width.
    pub const INTEGER: Self = Self(Some(Cow::Borrowed("integer")));
    /// Strings.
    pub const TEXT: Self = Self(Some(Cow::Borrowed("text")));
    /// Any [`EntityId`](enum@EntityId).
    pub const ANY: Self = Self(Some(Cow::Borrowed("any")));
    /// Unknown.
    pub const UNKNOWN: Self = Self(None);

    /// Another type, by a name that stays the same as long as its ids do.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_testing::wire_lock::EntityIdType;
    ///
    /// assert_eq!(EntityIdType::named("order number").name(), Some("order number"));
    /// ```
    #[must_use]
    pub fn named(name: impl Into<Cow<'static, str>>) -> Self {
        Self(Some(name.into()))
    }

    /// The name of the type, if it is known.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The id type of a Rust type that converts to an id without the application's help.
    fn of_known<T: 'static>() -> Option<Self> {
        let is_one_of = |types: &[TypeId]| types.contains(&TypeId::of::<T>());
        macro_rules! integers {
            ($($integer:ty)+) => {
                [$(TypeId::of::<$integer>(), TypeId::of::<NonZero<$integer>>()),+]
            };
        }
        let integers = integers!(i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize);
        let strings = [
            TypeId::of::<String>(),
            TypeId::of::<&'static str>(),
            TypeId::of::<Cow<'static, str>>(),
            TypeId::of::<Box<str>>(),
            TypeId::of::<Arc<str>>(),
            TypeId::of::<Rc<str>>(),
        ];
        if is_one_of(&integers) {
            Some(Self::INTEGER)
        } else if is_one_of(&[TypeId::of::<Uuid>()]) {
            Some(Self::UUID)
        } else if is_one_of(&strings) {
            Some(Self::TEXT)
        } else {
            is_one_of(&[TypeId::of::<EntityId>()]).then_some(Self::ANY)
        }
    }
}

impl fmt::Display for EntityIdType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name().unwrap_or("unknown"))
    }
}

/// Determines the [`EntityIdType`] of an entity.
pub(super) struct IdTypeOf;

impl InspectIdType for IdTypeOf {
    type Output = EntityIdType;

    fn readable<T: DeserializeOwned + 'static>(self) -> EntityIdType {
        if let Some(known) = EntityIdType::of_known::<T>() {
            return known;
        }
        let shape = Shape::of::<T>().to_string();
        match shape.as_str() {
            "string(uuid)" => EntityIdType::UUID,
            "string" => EntityIdType::TEXT,
            shape if shape.starts_with("integer(") => EntityIdType::INTEGER,
            _ => EntityIdType::named(shape),
        }
    }

    /// Only the type's name is available.
    fn opaque<T: 'static>(self) -> EntityIdType {
        let named = || EntityIdType::named(format!("type {}", without_paths(type_name::<T>())));
        EntityIdType::of_known::<T>().unwrap_or_else(named)
    }

    fn unknown(self) -> EntityIdType {
        EntityIdType::UNKNOWN
    }
}

/// `Id<Mood>` for `app::Id<app::sync::Mood>`: the paths of types are ignored.
fn without_paths(name: &str) -> String {
    let mut short = String::new();
    for part in name.split_inclusive(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')) {
        short.push_str(part.rsplit("::").next().unwrap_or(part));
    }
    short
}
