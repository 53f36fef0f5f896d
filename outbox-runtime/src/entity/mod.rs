//! The entity: a thing whose every change must be told to a remote service.

use std::borrow::Cow;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::metadata::{RawMetadata, ReadVersion};
use crate::redaction::{Redaction, Sensitive};

mod destination; // where its changes go
mod id; // which entity, and whose
mod inspect; // the type of its ids, for tools
mod integers; // ids of every integer type
mod options; // what #[outbox(..)] says about a type
mod set; // a set of events and its entities, for tools

pub use self::destination::AsDestination;
pub use self::id::{AsEntityId, AsUserId, EntityId};
pub use self::inspect::InspectIdType;
pub use self::options::{Charge, Coalesce, EntityOptions, OnDead, Order};
pub(crate) use self::options::{DEFAULT_MAX_ATTEMPTS, MAX_KEY_BYTES};
pub use self::set::{EventSet, VisitEntities};

/// A type whose changes go through the outbox. Derive it with `#[derive(OutboxEntity)]`.
///
/// # Implementing it by hand
///
/// [`metadata_json`](OutboxEntity::metadata_json) must write what `Metadata` reads, `OPTIONS` must carry the same event
/// type as `EVENT_TYPE`, and [`upcast`](OutboxEntity::upcast) must know every version before that of `OPTIONS`. The
/// derive guarantees all three.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an outbox entity",
    label = "this type has no event type, entity id and user id",
    note = "annotate it: `#[derive(OutboxEntity)] #[outbox(event_type = \"..\")]`"
)]
pub trait OutboxEntity: Sized + 'static {
    /// What an event of this entity carries: `<Name>Metadata`, or the entity itself with `#[outbox(snapshot)]`.
    type Metadata: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// The name of the type in rows and on the wire. Never derived from the struct's name, so that renaming the
    /// struct changes nothing that is stored.
    const EVENT_TYPE: &'static str;

    /// Everything that `#[outbox(..)]` on the struct says.
    const OPTIONS: EntityOptions;

    /// Which entity this is.
    fn entity_id(&self) -> EntityId;

    /// Shows the type of its ids, for the wire lock of `outbox-testing`. Default: not told, so that a change
    /// is not noticed.
    fn inspect_id_type<I: InspectIdType>(inspect: I) -> I::Output {
        inspect.unknown()
    }

    /// Whose it is.
    fn user_id(&self) -> Cow<'_, str>;

    /// The metadata as JSON, written from the fields where they are.
    ///
    /// # Errors
    ///
    /// Where a field's `Serialize` fails.
    fn metadata_json(&self) -> Result<RawMetadata, serde_json::Error>;

    /// What of the metadata is sensitive.
    ///
    /// Default: not said, so that the reason of metadata that cannot be read tells no more than where. The derive says it for
    /// `#[outbox(sensitive)]` fields.
    const SENSITIVE: Sensitive = Sensitive::ByHand;

    /// Where its change is delivered to: a name of your own, such as the host. It is asked when the change is enqueued, and stored
    /// with it. What the service there answers is taken for the state of that destination alone.
    ///
    /// Default: `None`, as all events of the handler set that name none.
    fn destination(&self) -> Option<String> {
        None
    }

    /// Names the values that no message about an event may show: those of `#[outbox(sensitive)]` fields.
    ///
    /// Default: those that [`SENSITIVE`](Self::SENSITIVE) tells, in the form that they have in JSON.
    fn hide_sensitive(metadata: &Self::Metadata, redaction: &mut Redaction) {
        if let Sensitive::AllBut(shown) = Self::SENSITIVE {
            redaction.hide_all_but(metadata, shown);
        }
    }

    /// Reads metadata of an older version through the type that it had: `read.through::<TypeOfThatVersion>()`, or
    /// `None` where there is none. Default: no version before that of `OPTIONS` is read.
    ///
    /// # Examples
    ///
    /// What the derive makes of `#[outbox(version = 3, upcast(1 = v1::Mood, 2 = v2::Mood))]`:
    ///
    /// ```
    /// # use std::borrow::Cow;
    /// # use outbox_runtime::{EntityId, OutboxEntity, RawMetadata};
    /// # use outbox_runtime::support::{EntityOptions, ReadVersion};
    /// # use serde::{Deserialize, Serialize};
    /// # mod v1 { #[derive(serde::Deserialize)] pub struct Mood { pub valence: f32 } }
    /// # mod v2 { #[derive(serde::Deserialize)] pub struct Mood { pub valence: f64 } }
    /// # #[derive(Serialize, Deserialize)] struct MoodMetadata { valence: f64, labels: Vec<String> }
    /// # impl From<v1::Mood> for MoodMetadata {
    /// #     fn from(old: v1::Mood) -> Self { Self { valence: old.valence.into(), labels: Vec::new() } }
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
    /// #         RawMetadata::encode(&MoodMetadata { valence: self.valence, labels: self.labels.clone() })
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
