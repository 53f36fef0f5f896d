//! The shapes of an event's metadata, version by version.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::id_type::{EntityIdType, IdTypeOf};
use super::shape::Shape;
use outbox_runtime::support::{EventSet, VisitEntities};
use outbox_runtime::support::{OlderMetadata, ReadVersion, UpcastTo};
use outbox_runtime::{Order, OutboxEntity};

/// The shapes of an entity's metadata: the one that is written, and those of the older versions that are read.
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use outbox_testing::wire_lock::EventShapes;
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
    order: Order,
    id: EntityIdType,
    unseen: Vec<String>,
}

impl EventShapes {
    /// Those of an entity.
    ///
    /// # Panics
    ///
    /// Where the `Deserialize` of the metadata panics; the message names the event type and the version.
    #[must_use]
    #[track_caller]
    pub fn of<E: OutboxEntity>() -> Self {
        let version = E::OPTIONS.metadata_version();
        let mut shapes = BTreeMap::new();
        let mut unseen = Vec::new();
        for number in 1..=version {
            let look = || match number == version {
                true => Some(Shape::with_unseen::<E::Metadata>()),
                false => E::upcast(number, ShapeOf),
            };
            let what = format!("the shape of {} v{number}", E::EVENT_TYPE);
            if let Some((shape, places)) = found_by(look, &what) {
                shapes.insert(number, shape);
                let places = places.into_iter();
                unseen.extend(places.map(|place| format!("{} v{number}: {place}", E::EVENT_TYPE)));
            }
        }
        let what = format!("what the ids of {} are", E::EVENT_TYPE);
        let id = found_by(|| E::inspect_id_type(IdTypeOf), &what);
        if let Some(unseen_id) = unseen_of(&id) {
            unseen.push(format!("{}: {unseen_id}", E::EVENT_TYPE));
        }
        Self {
            event_type: E::EVENT_TYPE,
            version,
            shapes,
            order: E::OPTIONS.order(),
            id,
            unseen,
        }
    }

    /// What could not be looked at, so that a change of it is not noticed: `moodEntry v1: scores{}`.
    ///
    /// That is what stands behind the key of a map, an element of a tuple or a field beside
    /// `#[serde(flatten)]` that takes none of the values that are tried, as its type has rules of
    /// its own; and what is within an id that serde does not read. `assert_wire_lock` warns of it.
    #[must_use]
    pub fn unseen(&self) -> &[String] {
        &self.unseen
    }

    /// Which events wait for each other.
    #[must_use]
    pub fn order(&self) -> Order {
        self.order
    }

    /// What the ids of the entity are.
    #[must_use]
    pub fn entity_id_type(&self) -> &EntityIdType {
        &self.id
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

/// The shapes of each entity of a set.
#[track_caller]
pub(super) fn shapes_of<S: EventSet>() -> Vec<EventShapes> {
    let mut all = All(Vec::new());
    S::visit_entities(&mut all);
    all.0
}

struct All(Vec<EventShapes>);

impl VisitEntities for All {
    fn visit<E: OutboxEntity>(&mut self) {
        self.0.push(EventShapes::of::<E>());
    }
}

/// Looks at the type of an older version.
struct ShapeOf;

impl<M> ReadVersion<M> for ShapeOf {
    type Output = (Shape, Vec<String>);

    fn through<T: OlderMetadata + UpcastTo<M>>(self) -> Self::Output {
        Shape::with_unseen::<T>()
    }
}

/// Asks what the application has written.
#[track_caller]
fn found_by<T>(look: impl FnOnce() -> T, what: &str) -> T {
    match catch_unwind(AssertUnwindSafe(look)) {
        Ok(found) => found,
        Err(payload) => panic!(
            "{what} cannot be found, because its `Deserialize` panics: {}",
            text_of(&*payload)
        ),
    }
}

/// What of an id is not seen.
fn unseen_of(id: &EntityIdType) -> Option<String> {
    match id.name() {
        None => Some("the type of its id".to_owned()),
        Some(name) => {
            let by_name = name.strip_prefix("type ")?;
            Some(format!("the id within `{by_name}`"))
        }
    }
}

/// What a panic carried, usually a string.
fn text_of(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(a panic without a message)")
}
