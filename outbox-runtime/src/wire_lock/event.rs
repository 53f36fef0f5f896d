//! The shapes of an event's metadata, version by version.

use std::collections::BTreeMap;

use super::shape::Shape;
use crate::entity::OutboxEntity;
use crate::metadata::{OlderMetadata, ReadVersion, UpcastTo};

/// The shapes of an entity's metadata: the one that is written, and those of the older versions that are read.
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use outbox_runtime::wire_lock::EventShapes;
///
/// #[derive(serde::Deserialize)]
/// struct GoalMetadataV1 {
///     name: String,
/// }
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "goal", version = 2, upcast(1 = GoalMetadataV1))]
/// struct Goal {
///     #[outbox(entity_id)]
///     id: i64,
///     #[outbox(user_id)]
///     user_id: String,
///     #[outbox(metadata)]
///     title: String,
/// }
///
/// impl From<GoalMetadataV1> for GoalMetadata {
///     fn from(old: GoalMetadataV1) -> Self {
///         Self { title: old.name }
///     }
/// }
///
/// let shapes = EventShapes::of::<Goal>();
/// assert_eq!(shapes.of_version(1).unwrap().to_string(), "{name: string}");
/// assert_eq!(shapes.of_version(2).unwrap().to_string(), "{title: string}");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventShapes {
    event_type: &'static str,
    version: u32,
    /// By version; the newest is always there.
    pub(super) shapes: BTreeMap<u32, Shape>,
}

impl EventShapes {
    /// Those of an entity.
    #[must_use]
    pub fn of<E: OutboxEntity>() -> Self {
        let version = E::OPTIONS.metadata_version();
        let mut shapes: BTreeMap<u32, Shape> = (1..version)
            .filter_map(|older| Some((older, E::upcast(older, ShapeOf)?)))
            .collect();
        shapes.insert(version, Shape::of::<E::Metadata>());
        Self {
            event_type: E::EVENT_TYPE,
            version,
            shapes,
        }
    }

    /// The name of the type in rows.
    #[must_use]
    pub fn event_type(&self) -> &'static str {
        self.event_type
    }

    /// The version that is written.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The shape of a version, if it is read.
    #[must_use]
    pub fn of_version(&self, version: u32) -> Option<&Shape> {
        self.shapes.get(&version)
    }
}

/// Looks at the type of an older version.
struct ShapeOf;

impl<M> ReadVersion<M> for ShapeOf {
    type Output = Shape;

    fn through<T: OlderMetadata + UpcastTo<M>>(self) -> Shape {
        Shape::of::<T>()
    }
}
