//! The shapes of an event's metadata, version by version.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::id_type::{EntityIdType, IdTypeOf};
use super::shape::Shape;
use outbox_runtime::support::{EventSet, OlderMetadata, ReadVersion, UpcastTo, VisitEntities};
use outbox_runtime::{Order, OutboxEntity};

/// The shapes of an entity's metadata: the version that is written, and the older versions that are
/// still read.
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
/// let shape = |version| shapes.of_version(version).map(ToString::to_string);
/// assert_eq!(shape(1).as_deref(), Some("{name: string}"));
/// assert_eq!(shape(2).as_deref(), Some("{title: string}"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventShapes {
    event_type: &'static str,
    aliases: &'static [&'static str],
    is_retired: bool,
    version: u32,
    /// By version. The newest version is always present.
    pub(super) shapes: BTreeMap<u32, Shape>,
    order: Order,
    id: EntityIdType,
    unseen: Vec<String>,
}

impl EventShapes {
    /// Determines the shapes of an entity.
    ///
    /// # Panics
    ///
    /// If the `Deserialize` implementation of the metadata panics. The message names the event type
    /// and the version.
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
            if let Some((shape, places)) = inspect(look, &what) {
                shapes.insert(number, shape);
                let places = places.into_iter();
                unseen.extend(places.map(|place| format!("{} v{number}: {place}", E::EVENT_TYPE)));
            }
        }
        let what = format!("what the ids of {} are", E::EVENT_TYPE);
        let id = inspect(|| E::inspect_id_type(IdTypeOf), &what);
        if let Some(unseen_id) = unseen_of(&id) {
            unseen.push(format!("{}: {unseen_id}", E::EVENT_TYPE));
        }
        Self {
            event_type: E::EVENT_TYPE,
            aliases: E::OPTIONS.aliases(),
            is_retired: false,
            version,
            shapes,
            order: E::OPTIONS.order(),
            id,
            unseen,
        }
    }

    /// An event type that the set has retired: nothing decodes it, and what the file records about
    /// it stays.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_testing::wire_lock::EventShapes;
    ///
    /// let retired = EventShapes::retired("legacyType");
    /// assert!(retired.is_retired());
    /// ```
    #[must_use]
    pub fn retired(event_type: &'static str) -> Self {
        Self {
            event_type,
            aliases: &[],
            is_retired: true,
            version: 0,
            shapes: BTreeMap::new(),
            order: Order::default(),
            id: EntityIdType::UNKNOWN,
            unseen: Vec::new(),
        }
    }

    /// Whether the set has retired the event type.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.is_retired
    }

    /// The names that the type had before, whose rows are read as this event.
    #[must_use]
    pub fn aliases(&self) -> &'static [&'static str] {
        self.aliases
    }

    /// Whether rows of this type are accounted for: they are read as this event, or retired.
    pub(super) fn is_stored_as(&self, event_type: &str) -> bool {
        self.event_type == event_type || self.aliases.contains(&event_type)
    }

    /// The places that could not be explored, so that their changes are not detected: `moodEntry
    /// v1: scores{}`.
    ///
    /// These are places behind a map key, a tuple element or a field beside `#[serde(flatten)]`
    /// that accepts none of the sample values because its type has its own rules; and the inside of
    /// an id that serde cannot read. `assert_wire_lock` prints them as warnings.
    #[must_use]
    pub fn unseen(&self) -> &[String] {
        &self.unseen
    }

    /// The order, which determines the events that wait for each other.
    #[must_use]
    pub fn order(&self) -> Order {
        self.order
    }

    /// The type of the entity's ids.
    #[must_use]
    pub fn entity_id_type(&self) -> &EntityIdType {
        &self.id
    }

    /// The event type's name in rows.
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
    let retired = S::RETIRED.iter();
    all.0
        .extend(retired.map(|retired| EventShapes::retired(retired.event_type())));
    all.0
}

struct All(Vec<EventShapes>);

impl VisitEntities for All {
    fn visit<E: OutboxEntity>(&mut self) {
        self.0.push(EventShapes::of::<E>());
    }
}

/// Determines the shape of an older version's type.
struct ShapeOf;

impl<M> ReadVersion<M> for ShapeOf {
    type Output = (Shape, Vec<String>);

    fn through<T: OlderMetadata + UpcastTo<M>>(self) -> Self::Output {
        Shape::with_unseen::<T>()
    }
}

/// Runs the application's code.
#[track_caller]
fn inspect<T>(look: impl FnOnce() -> T, what: &str) -> T {
    match catch_unwind(AssertUnwindSafe(look)) {
        Ok(found) => found,
        Err(payload) => panic!(
            "cannot determine {what}: its `Deserialize` panicked: {}",
            text_of(&*payload)
        ),
    }
}

/// The part of an id that is not seen.
fn unseen_of(id: &EntityIdType) -> Option<String> {
    match id.name() {
        None => Some("the type of its id".to_owned()),
        Some(name) => {
            let by_name = name.strip_prefix("type ")?;
            Some(format!("the id within `{by_name}`"))
        }
    }
}

/// The message of a panic payload.
fn text_of(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(a panic without a message)")
}
