//! The bound of type parameters used as metadata.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The bound of a generic entity's type parameter that is used as metadata: serializable as JSON
/// and safe to send between threads.
///
/// Implemented for every type that is `Serialize + DeserializeOwned + Send + Sync + 'static`.
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use outbox_runtime::support::MetadataValue;
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "tagged")]
/// struct Tagged<T> {
///     #[outbox(entity_id)]
///     id: i64,
///     #[outbox(user_id)]
///     user_id: String,
///     #[outbox(metadata)]
///     tag: T,
/// }
///
/// fn retag<T: MetadataValue>(tagged: &mut Tagged<T>, tag: T) -> Enqueue {
///     tagged.tag = tag;
///     tagged.enqueue_update()
/// }
///
/// let mut tagged = Tagged { id: 7, user_id: "user-1".into(), tag: "new".to_owned() };
/// let event = retag(&mut tagged, "old".to_owned()).into_event()?;
/// assert_eq!(event.metadata().and_then(|json| json.as_str()), Some(r#"{"tag":"old"}"#));
/// # Ok::<(), EnqueueError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be outbox metadata",
    label = "this type cannot be converted to and from JSON, or cannot be sent between threads",
    note = "metadata must be `serde::Serialize`, `serde::de::DeserializeOwned`, `Send`, `Sync` and `'static`"
)]
pub trait MetadataValue: Serialize + DeserializeOwned + Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> MetadataValue for T {}
