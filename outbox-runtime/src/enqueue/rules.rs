//! The rules of a row, which every store and sink checks before it writes.

use super::new_event::NewEvent;
use crate::error::EnqueueError;
use crate::metadata::RawMetadata;

impl NewEvent {
    /// Checks the rules of a row. Every store and sink must call this before it writes.
    ///
    /// # Errors
    ///
    /// [`EnqueueError::Invalid`] naming the field and the rule.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::{EnqueueError, NewEvent, Operation};
    ///
    /// let nobody = NewEvent::new("reading", 3, "", Operation::Update);
    /// assert!(matches!(nobody.validate(), Err(EnqueueError::Invalid { field: "user_id", .. })));
    /// ```
    pub fn validate(&self) -> Result<(), EnqueueError> {
        let invalid = |field, reason: String| {
            Err(EnqueueError::Invalid {
                event_type: self.event_type.to_string(),
                field,
                reason,
            })
        };
        let keys = [
            ("event_type", Some(self.event_type.as_ref())),
            ("user_id", Some(self.user_id.as_str())),
            ("entity_id", self.entity_id.as_text()),
            ("destination", self.destination.as_deref()),
        ];
        for (field, key) in keys {
            if let Some(reason) = key.and_then(key_fault) {
                return invalid(field, reason);
            }
        }
        if self.max_attempts == 0 {
            return invalid("max_attempts", "is 0; at least 1 is needed".to_owned());
        }
        if self
            .metadata
            .as_ref()
            .is_some_and(|raw| raw.as_str().is_none())
        {
            return invalid("metadata", "is not UTF-8; write it as JSON".to_owned());
        }
        let bytes = self
            .metadata
            .as_ref()
            .map_or(&[][..], RawMetadata::as_bytes);
        if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
            return invalid(
                "metadata",
                format!(
                    "has a NUL at byte {at}, which not every store can hold; write it as \\u0000 in JSON"
                ),
            );
        }
        if let Some(reason) = self.metadata.as_ref().and_then(size_fault) {
            return invalid("metadata", reason);
        }
        if let Some((field, reason)) = self.extras.as_ref().and_then(|extras| extras.fault()) {
            return invalid(field, reason);
        }
        Ok(())
    }
}

/// The rule that a key breaks, if any.
pub(crate) fn key_fault(key: &str) -> Option<String> {
    if key.is_empty() {
        Some("is empty".to_owned())
    } else if key.len() > NewEvent::MAX_KEY_BYTES {
        Some(format!(
            "has {} bytes, more than {}",
            key.len(),
            NewEvent::MAX_KEY_BYTES
        ))
    } else if key.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        // The fast path: nearly all keys are printable ASCII.
        None
    } else {
        key.char_indices()
            .find(|(_, c)| c.is_control())
            .map(|(at, c)| format!("has the control character {c:?} at byte {at}"))
    }
}

/// The size limit that metadata breaks, if it does.
pub(crate) fn size_fault(metadata: &RawMetadata) -> Option<String> {
    let (size, most) = (metadata.len(), NewEvent::MAX_METADATA_BYTES);
    (size > most).then(|| {
        format!("has {size} bytes, more than {most}; keep large content in a table of your own and enqueue its key")
    })
}
