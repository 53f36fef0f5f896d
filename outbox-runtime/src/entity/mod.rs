//! The entity: a thing whose every change must be told to a remote service.

use std::borrow::Cow;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::metadata::RawMetadata;
use crate::redaction::Redaction;

mod id; // which entity, and whose
mod options; // what #[outbox(..)] says about a type

pub use self::id::{AsEntityId, AsUserId, EntityId};
pub use self::options::{Coalesce, EntityOptions, OnDead, Order};

/// A type whose changes go through the outbox. Derive it with `#[derive(OutboxEntity)]`.
///
/// # Implementing it by hand
///
/// [`metadata_json`](OutboxEntity::metadata_json) must write what `Metadata` reads, and `OPTIONS` must carry the same
/// event type as `EVENT_TYPE`. The derive guarantees both.
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

    /// Whose it is.
    fn user_id(&self) -> Cow<'_, str>;

    /// The metadata as JSON, written from the fields where they are.
    ///
    /// # Errors
    ///
    /// Where a field's `Serialize` fails.
    fn metadata_json(&self) -> Result<RawMetadata, serde_json::Error>;

    /// Names the values that no message about an event may show: those of `#[outbox(sensitive)]` fields.
    ///
    /// Default: none.
    fn hide_sensitive(metadata: &Self::Metadata, redaction: &mut Redaction) {
        let _ = (metadata, redaction);
    }
}
