//! The error of what cannot be in an envelope.

use thiserror::Error;

/// An event cannot be expressed as a [`CloudEvent`](super::CloudEvent), or an attribute is invalid.
/// A retry does not help.
///
/// # Examples
///
/// ```
/// # use outbox_runtime::prelude::*;
/// # use outbox_runtime::{NewEvent, RawMetadata};
/// use outbox_runtime::CloudEventError;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let new = NewEvent::new("invoice", 7, "acme", Operation::Create)
/// #     .with_metadata(RawMetadata::from_bytes("{}"));
/// # let event = MemoryStore::new().create_event(new).await?;
/// let envelope = event.cloud_event("our billing"); // a URI has no spaces
/// assert!(matches!(envelope, Err(CloudEventError::Source { .. })));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CloudEventError {
    /// The source is no URI reference.
    #[error("the source of a CloudEvent {reason}")]
    Source {
        /// The rule that it breaks.
        reason: String,
    },
    /// The type is empty, or has characters that it must not have.
    #[error("the type of a CloudEvent {reason}")]
    Type {
        /// The rule that it breaks.
        reason: String,
    },
    /// Another attribute is invalid.
    #[error("the attribute {name:?} of a CloudEvent {reason}")]
    Attribute {
        /// The name of the attribute.
        name: String,
        /// The rule that its name or its value breaks.
        reason: String,
    },
    /// The metadata of the event is not JSON.
    #[error("the data of a CloudEvent {reason}")]
    Data {
        /// Where it is not, without a value.
        reason: String,
    },
}
