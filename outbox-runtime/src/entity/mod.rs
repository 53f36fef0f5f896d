//! The entity: an application type whose changes go through the outbox.

use std::borrow::Cow;

use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::metadata::{RawMetadata, ReadVersion};
use crate::redaction::{Redaction, Sensitive};

mod choices; // options that choose between behaviors
mod composite; // ids of several parts
mod destination; // the destination of an event
mod event_type; // the rules of event types
mod id; // the ids of entities and users
mod id_kind; // what the ids of a type can be
mod inspect; // inspection of id types, for tools
mod integers; // conversions of integers to ids
mod options; // the options set by #[outbox(..)]
mod parent; // entities that the service must have first
mod retired; // event types that are no longer delivered
mod set; // an event set and its entities, for tools

pub use self::choices::{Charge, Coalesce, OnDead, OnExpiry, Order};
pub(crate) use self::composite::joined;
pub use self::destination::AsDestination;
pub(crate) use self::event_type::{MAX_KEY_BYTES, is_any_of, is_same};
pub use self::id::{AsEntityId, AsUserId, EntityId};
pub use self::id_kind::IdKind;
pub use self::inspect::InspectIdType;
pub(crate) use self::options::DEFAULT_MAX_ATTEMPTS;
pub use self::options::EntityOptions;
pub use self::parent::{AsParentId, Parent};
pub(crate) use self::retired::retired_fault;
pub use self::retired::{Retired, Retirement};
pub use self::set::{EventSet, VisitEntities, WithoutUser};

/// A type whose changes are delivered through the outbox. Derive it with `#[derive(OutboxEntity)]`.
///
/// # Implementing it manually
///
/// [`metadata_json`](OutboxEntity::metadata_json) must write JSON that `Metadata` reads, `OPTIONS`
/// must have the same event type as `EVENT_TYPE`, and [`upcast`](OutboxEntity::upcast) must handle
/// every version before the one in `OPTIONS`. The derive guarantees all three.
///
/// # Examples
///
/// ```
/// use std::borrow::Cow;
/// use outbox_runtime::support::{EntityOptions, InspectIdType, Redaction};
/// use outbox_runtime::{EntityId, OutboxEntity, Parent, RawMetadata};
/// use serde::{Deserialize, Serialize};
///
/// struct Reading {
///     sensor: i64,
///     plant: String,
///     celsius: f64,
/// }
///
/// #[derive(Serialize, Deserialize)]
/// struct Payload {
///     celsius: f64,
/// }
///
/// impl OutboxEntity for Reading {
///     type Metadata = Payload;
///     const EVENT_TYPE: &'static str = "reading";
///     const OPTIONS: EntityOptions = EntityOptions::new("reading").with_priority(3);
///
///     fn entity_id(&self) -> EntityId {
///         self.sensor.into()
///     }
///
///     fn inspect_id_type<I: InspectIdType>(inspect: I) -> I::Output {
///         inspect.readable::<i64>()
///     }
///
///     fn user_id(&self) -> Cow<'_, str> {
///         Cow::Borrowed(&self.plant)
///     }
///
///     fn metadata_json(&self) -> Result<RawMetadata, serde_json::Error> {
///         RawMetadata::encode(&Payload { celsius: self.celsius })
///     }
///
///     fn destination(&self) -> Option<String> {
///         Some(format!("{}.example.com", self.plant))
///     }
///
///     fn parents(&self) -> Vec<Parent> {
///         // The service refuses readings of a sensor that it does not know.
///         vec![Parent::new("sensor", self.sensor)]
///     }
///
///     fn hide_sensitive(_metadata: &Payload, _redaction: &mut Redaction) {}
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an outbox entity",
    label = "this type has no event type, entity id and user id",
    note = "annotate it: `#[derive(OutboxEntity)] #[outbox(event_type = \"..\")]`"
)]
pub trait OutboxEntity: Sized + 'static {
    /// The payload of an event: `<Name>Metadata`, or the entity itself with `#[outbox(snapshot)]`.
    type Metadata: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// The name of the type in rows and on the wire. It is independent of the struct's name, so
    /// renaming the struct does not affect stored events.
    const EVENT_TYPE: &'static str;

    /// The options set by `#[outbox(..)]` on the struct.
    const OPTIONS: EntityOptions;

    /// The id of the entity.
    fn entity_id(&self) -> EntityId;

    /// Passes the id type to a visitor, for the wire lock of `outbox-testing`. Default: a type of
    /// the [kind](EntityOptions::with_id_kind) in `OPTIONS`. Without one the type is unknown, so a
    /// change of it is not detected.
    fn inspect_id_type<I: InspectIdType>(inspect: I) -> I::Output {
        match Self::OPTIONS.id_kind() {
            IdKind::Integer => inspect.readable::<i64>(),
            IdKind::Text => inspect.readable::<String>(),
            IdKind::Uuid => inspect.readable::<Uuid>(),
            IdKind::Any | IdKind::Composite => inspect.unknown(),
        }
    }

    /// The id of the user who owns the entity. Empty for an entity whose user comes from the call,
    /// [`for_user`](crate::Enqueue::for_user).
    fn user_id(&self) -> Cow<'_, str>;

    /// Serializes the metadata as JSON, directly from the fields.
    ///
    /// # Errors
    ///
    /// Returns an error if the `Serialize` implementation of a field fails.
    fn metadata_json(&self) -> Result<RawMetadata, serde_json::Error>;

    /// The sensitive part of the metadata.
    ///
    /// Default: unspecified, so an error about unreadable metadata reports only the location. The
    /// derive sets it from the `#[outbox(sensitive)]` fields.
    const SENSITIVE: Sensitive = Sensitive::ByHand;

    /// The destination of the change: a name chosen by the application, such as the host. Evaluated
    /// when the change is enqueued, and stored with it. The service's answers affect the state of
    /// that destination only.
    ///
    /// Default: `None`, the common destination of all events of the handler set that name none.
    fn destination(&self) -> Option<String> {
        None
    }

    /// The entities that the service must have before it gets the change: see
    /// [`Enqueue::after`](crate::Enqueue::after). Evaluated when the change is enqueued.
    ///
    /// Default: none.
    fn parents(&self) -> Vec<Parent> {
        Vec::new()
    }

    /// Registers the values that must not appear in messages about an event: those of
    /// `#[outbox(sensitive)]` fields.
    ///
    /// Default: the values selected by [`SENSITIVE`](Self::SENSITIVE), as serialized in JSON.
    fn hide_sensitive(metadata: &Self::Metadata, redaction: &mut Redaction) {
        if let Sensitive::AllBut(shown) = Self::SENSITIVE {
            redaction.hide_all_but(metadata, shown);
        }
    }

    /// Reads metadata of an older version through the type of that version,
    /// `read.through::<TypeOfThatVersion>()`; `None` if the version has no type. Default: no older
    /// version is readable.
    ///
    /// # Examples
    ///
    /// The derive generates this for `#[outbox(version = 3, upcast(1 = v1::Mood, 2 = v2::Mood))]`:
    ///
    /// ```
    /// # use std::borrow::Cow;
    /// # use outbox_runtime::{EntityId, OutboxEntity, RawMetadata};
    /// # use outbox_runtime::support::{EntityOptions, ReadVersion};
    /// # use serde::{Deserialize, Serialize};
    /// # mod v1 { #[derive(serde::Deserialize)] pub struct Mood { pub valence: f32 } }
    /// # mod v2 { #[derive(serde::Deserialize)] pub struct Mood { pub valence: f64 } }
    /// # #[derive(Serialize, Deserialize)]
    /// # struct MoodMetadata { valence: f64, labels: Vec<String> }
    /// # impl From<v1::Mood> for MoodMetadata {
    /// #     fn from(old: v1::Mood) -> Self {
    /// #         Self { valence: old.valence.into(), labels: Vec::new() }
    /// #     }
    /// # }
    /// # impl From<v2::Mood> for MoodMetadata {
    /// #     fn from(old: v2::Mood) -> Self { Self { valence: old.valence, labels: Vec::new() } }
    /// # }
    /// # struct Mood { id: i64, valence: f64, labels: Vec<String> }
    /// # impl OutboxEntity for Mood {
    /// #     type Metadata = MoodMetadata;
    /// #     const EVENT_TYPE: &'static str = "mood";
    /// #     const OPTIONS: EntityOptions = EntityOptions::new("mood").with_metadata_version(3);
    /// #     fn entity_id(&self) -> EntityId { self.id.into() }
    /// #     fn user_id(&self) -> Cow<'_, str> { "user-1".into() }
    /// #     fn metadata_json(&self) -> Result<RawMetadata, serde_json::Error> {
    /// #         let labels = self.labels.clone();
    /// #         RawMetadata::encode(&MoodMetadata { valence: self.valence, labels })
    /// #     }
    /// fn upcast<R: ReadVersion<Self::Metadata>>(version: u32, read: R) -> Option<R::Output> {
    ///     match version {
    ///         1 => Some(read.through::<v1::Mood>()),
    ///         2 => Some(read.through::<v2::Mood>()),
    ///         _ => None,
    ///     }
    /// }
    /// # }
    /// ```
    fn upcast<R: ReadVersion<Self::Metadata>>(version: u32, read: R) -> Option<R::Output> {
        let _ = (version, read);
        None
    }
}

impl Parent {
    /// The entity of type `E` with this id. The aliases of `E` count as its type.
    ///
    /// An id that no `E` can have, such as an integer where the ids of `E` are UUIDs, is an error
    /// when the event is enqueued: see [`EntityOptions::id_kind`].
    #[must_use]
    pub fn of<E: OutboxEntity>(entity_id: impl Into<EntityId>) -> Self {
        let options = E::OPTIONS;
        let aliases = options.aliases().iter().map(|alias| (*alias).to_owned());
        Self {
            aliases: aliases.collect(),
            id_kind: options.id_kind(),
            ..Self::new(options.event_type(), entity_id)
        }
    }
}
