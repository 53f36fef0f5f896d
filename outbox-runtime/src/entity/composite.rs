//! Ids of several parts: a tenant and a number, an order and a line.
//!
//! The parts stand in one text, with `:` between them. A `:` within a part is written `%3A` and a
//! `%` is written `%25`, so two different lists of parts never have the same text, whatever they
//! contain.

use std::borrow::Cow;

use super::{AsUserId, EntityId};

/// Between two parts.
pub(super) const SEPARATOR: char = ':';

impl EntityId {
    /// The id of an entity that several values identify together, such as a tenant and a number.
    ///
    /// The text of the id is that of the parts with `:` between them, and so readable in every
    /// tool. In a part, `:` is written `%3A` and `%` is written `%25`: two different lists of parts
    /// are two different ids. Like any id, it has at most 255 bytes in all and no control
    /// characters; enqueueing another one is an error,
    /// [`EnqueueError::Invalid`](crate::EnqueueError::Invalid).
    ///
    /// A tuple of ids converts into the same id, as a field, from a method or in
    /// `#[outbox(entity_id = (self.tenant, self.number))]`.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::EntityId;
    ///
    /// let id = EntityId::composite(["acme", "7"]);
    /// assert_eq!(id.to_string(), "acme:7");
    /// assert_eq!(id, EntityId::from(("acme", 7)));
    /// assert_eq!(EntityId::from(("a", "b:c")).to_string(), "a:b%3Ac");
    /// assert_ne!(EntityId::from(("a", "b:c")), EntityId::from(("a:b", "c")));
    /// ```
    #[must_use]
    pub fn composite<P: Into<Self>>(parts: impl IntoIterator<Item = P>) -> Self {
        let parts = parts.into_iter().map(|part| match part.into() {
            Self::Text(text) => text,
            other => other.to_string(),
        });
        joined(parts).into()
    }

    /// The parts of a [composite](Self::composite) id, as text. An id that is not composite is its
    /// own only part, unless it contains a `:`.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::EntityId;
    ///
    /// let id = EntityId::from(("a:b", 7));
    /// assert_eq!(id.parts(), ["a:b", "7"]);
    /// ```
    #[must_use]
    pub fn parts(&self) -> Vec<Cow<'_, str>> {
        match self {
            Self::Text(text) => text.split(SEPARATOR).map(unescaped).collect(),
            other => vec![Cow::Owned(other.to_string())],
        }
    }
}

/// The text of a composite id.
pub(crate) fn joined(parts: impl Iterator<Item = impl AsRef<str>>) -> String {
    let mut text = String::new();
    for (at, part) in parts.enumerate() {
        if at > 0 {
            text.push(SEPARATOR);
        }
        for c in part.as_ref().chars() {
            match c {
                SEPARATOR => text.push_str("%3A"),
                '%' => text.push_str("%25"),
                other => text.push(other),
            }
        }
    }
    text
}

fn unescaped(part: &str) -> Cow<'_, str> {
    match part.contains('%') {
        // In this order: a part that contains `%3A` itself has it as `%253A`.
        true => Cow::Owned(part.replace("%3A", ":").replace("%25", "%")),
        false => Cow::Borrowed(part),
    }
}

macro_rules! of_tuples {
    ($(($($part:ident . $at:tt),+))+) => {$(
        /// A [composite](EntityId::composite) id.
        impl<$($part: Into<EntityId>),+> From<($($part,)+)> for EntityId {
            fn from(parts: ($($part,)+)) -> Self {
                Self::composite([$(parts.$at.into()),+])
            }
        }

        /// The parts in one text, as in a [composite](EntityId::composite) id.
        impl<$($part: AsUserId),+> AsUserId for ($($part,)+) {
            fn as_user_id(&self) -> Cow<'_, str> {
                Cow::Owned(joined([$(self.$at.as_user_id()),+].into_iter()))
            }
        }
    )+};
}

of_tuples! {
    (A.0, B.1)
    (A.0, B.1, C.2)
    (A.0, B.1, C.2, D.3)
}
