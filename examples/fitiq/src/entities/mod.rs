//! The entities: nine kinds, each of which is delivered to the service when it changes.

use std::fmt;
use std::str::FromStr;

use fitiq_core::{LocalId, UserId};
use outbox_runtime::OutboxEntity;
use serde::Serialize;
use serde::de::DeserializeOwned;

mod meal; // meals
mod measured; // measurements
mod profile; // the user's profile
mod sleep; // sleep
mod workout; // workouts and templates

pub use self::meal::{MealLog, MealLogMetadata, MealType};
pub use self::measured::{
    ActivitySnapshot, ActivitySnapshotMetadata, Attribute, Metric, PhysicalAttribute,
    PhysicalAttributeMetadata, ProgressEntry, ProgressEntryMetadata,
};
pub use self::profile::{
    ProfileMetadata, ProfileMetadataMetadata, ProfilePhysical, ProfilePhysicalMetadata, Sex,
};
pub use self::sleep::{SleepSession, SleepSessionMetadata, SleepStage, Stage};
pub use self::workout::{
    Exercise, Workout, WorkoutMetadata, WorkoutTemplate, WorkoutTemplateMetadata,
};

/// An entity of the app that the service must know.
pub trait Record:
    OutboxEntity + Serialize + DeserializeOwned + Clone + Send + Sync + 'static
{
    /// The kind.
    const KIND: Kind;
    /// The path at the service.
    const PATH: &'static str;
    /// The call for a change.
    const EDIT: Edit;
    /// The call for a deletion.
    const DELETE: Delete;

    /// The id on this device.
    fn id(&self) -> LocalId;

    /// The owner.
    fn user(&self) -> &UserId;

    /// The natural key: two entities with the same key are the same one, seen twice. Missing parts
    /// are part of the key.
    fn natural_key(&self) -> Option<String> {
        None
    }
}

/// A way to deliver a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// `PUT` on the existing entity.
    Put,
    /// There is no `PUT`: delete the old one and post a new one.
    Replace,
    /// Post another one; the service merges the two.
    Post,
    /// None: the first version stands.
    Never,
}

/// A way to deliver a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delete {
    /// `DELETE`.
    Remote,
    /// None: it is deleted on this device only.
    LocalOnly,
}

/// Defines [`Kind`], and the only mapping from a kind to its type.
macro_rules! kinds {
    ($($variant:ident = $word:literal),+ $(,)?) => {
        /// The nine kinds.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind {
            $(#[doc = concat!("[`", stringify!($variant), "`]")] $variant),+
        }

        impl Kind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The event type, which names the kind everywhere.
            #[must_use]
            pub const fn event_type(self) -> &'static str {
                match self { $(Self::$variant => <$variant as OutboxEntity>::EVENT_TYPE),+ }
            }

            /// The name for people.
            #[must_use]
            pub const fn display_name(self) -> &'static str {
                match self { $(Self::$variant => <$variant as OutboxEntity>::OPTIONS.display_name()),+ }
            }

            /// Calls `visitor` with the type of the kind.
            pub fn visit<V: Visitor>(self, visitor: V) -> V::Output {
                match self { $(Self::$variant => visitor.visit::<$variant>()),+ }
            }
        }

        impl FromStr for Kind {
            type Err = UnknownKind;

            fn from_str(word: &str) -> Result<Self, UnknownKind> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Self::ALL
                        .iter()
                        .copied()
                        .find(|kind| kind.event_type() == word)
                        .ok_or_else(|| UnknownKind(word.to_owned())),
                }
            }
        }

        /// The command-line names of a kind.
        pub const WORDS: &[&str] = &[$($word),+];
    };
}

kinds! {
    ProgressEntry = "progress",
    PhysicalAttribute = "attribute",
    ActivitySnapshot = "activity",
    ProfileMetadata = "profile",
    ProfilePhysical = "physique",
    SleepSession = "sleep",
    MealLog = "meal",
    Workout = "workout",
    WorkoutTemplate = "template",
}

/// An operation on any kind.
pub trait Visitor {
    /// The result.
    type Output;

    /// Runs the operation.
    fn visit<E: Record>(self) -> Self::Output;
}

/// Not the name of a kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of thing; there are: {words}", words = WORDS.join(", "))]
pub struct UnknownKind(String);

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.event_type())
    }
}

/// Implements the shared part of [`Record`].
macro_rules! record {
    ($entity:ident { $path:literal, $edit:ident, $delete:ident } $($more:item)*) => {
        impl $crate::entities::Record for $entity {
            const KIND: $crate::entities::Kind = $crate::entities::Kind::$entity;
            const PATH: &'static str = $path;
            const EDIT: $crate::entities::Edit = $crate::entities::Edit::$edit;
            const DELETE: $crate::entities::Delete = $crate::entities::Delete::$delete;

            fn id(&self) -> fitiq_core::LocalId {
                self.id
            }

            fn user(&self) -> &fitiq_core::UserId {
                &self.user
            }

            $($more)*
        }
    };
}
pub(crate) use record;
