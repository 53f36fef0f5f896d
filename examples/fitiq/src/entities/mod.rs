//! What the app is about: nine kinds of things, each of which is told to the service when it changes.

use std::fmt;
use std::str::FromStr;

use fitiq_core::{LocalId, UserId};
use outbox_runtime::OutboxEntity;
use serde::Serialize;
use serde::de::DeserializeOwned;

mod meal; // what was eaten
mod measured; // values, attributes of the body, activity
mod profile; // who it is
mod sleep; // nights and their stages
mod workout; // training, and plans for it

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

/// A kind of thing that the app keeps and tells the service of.
pub trait Record:
    OutboxEntity + Serialize + DeserializeOwned + Clone + Send + Sync + 'static
{
    /// Which kind.
    const KIND: Kind;
    /// Where the service has it.
    const PATH: &'static str;
    /// How the service learns of a change.
    const EDIT: Edit;
    /// How the service learns of a deletion.
    const DELETE: Delete;

    /// Which one it is, here.
    fn id(&self) -> LocalId;

    /// Whose it is.
    fn user(&self) -> &UserId;

    /// What there is one of: two with the same key are the same thing, seen twice. Parts that are missing are parts, too.
    fn natural_key(&self) -> Option<String> {
        None
    }

    /// Another thing that the service must know first.
    fn depends_on(_metadata: &Self::Metadata) -> Option<LocalId> {
        None
    }
}

/// How the service learns that something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// `PUT` on what is there.
    Put,
    /// There is no `PUT`: the old one is deleted and a new one posted.
    Replace,
    /// Another one is posted; the service knows what to do with the two.
    Post,
    /// Not at all: what was said stands.
    Never,
}

/// How the service learns that something is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delete {
    /// `DELETE`.
    Remote,
    /// Not at all: it is gone on this device only.
    LocalOnly,
}

/// Writes [`Kind`], and the one place where a kind becomes its type.
macro_rules! kinds {
    ($($variant:ident = $word:literal),+ $(,)?) => {
        /// The nine kinds.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind {
            $(#[doc = concat!("[`", stringify!($variant), "`]")] $variant),+
        }

        impl Kind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The event type of the outbox, which names the kind everywhere.
            #[must_use]
            pub const fn event_type(self) -> &'static str {
                match self { $(Self::$variant => <$variant as OutboxEntity>::EVENT_TYPE),+ }
            }

            /// What people call it.
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

        /// The words that a kind goes by on the command line.
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

/// Something to be done with a kind, whichever it is.
pub trait Visitor {
    /// What comes of it.
    type Output;

    /// Does it.
    fn visit<E: Record>(self) -> Self::Output;
}

/// A word that is none of the kinds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of thing; there are: {words}", words = WORDS.join(", "))]
pub struct UnknownKind(String);

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.event_type())
    }
}

/// Writes the part of [`Record`] that is the same for all.
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
