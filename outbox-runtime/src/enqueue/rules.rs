//! The rules of a row, which every store and sink checks before it writes.

use chrono::Datelike as _;

use super::extras::{Expiry, Extras};
use super::new_event::NewEvent;
use crate::entity::Parent;
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
        // `contains` looks at several bytes at once, and nearly no event has one.
        if bytes.contains(&0)
            && let Some(at) = bytes.iter().position(|byte| *byte == 0)
        {
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

impl Extras {
    /// The field that breaks a rule of a row, and the rule.
    fn fault(&self) -> Option<(&'static str, String)> {
        if let Some(reason) = self.key.as_deref().and_then(key_fault) {
            return Some(("key", reason));
        }
        for parent in &self.parents {
            let names = parent.stored_types().chain(parent.entity_id.as_text());
            if let Some(reason) = names.filter_map(key_fault).next() {
                return Some(("parents", reason));
            }
            if let Some(reason) = parent.fault() {
                return Some(("parents", reason));
            }
        }
        if self.parents.len() > Parent::MOST {
            let (count, most) = (self.parents.len(), Parent::MOST);
            return Some((
                "parents",
                format!("are {count}; at most {most} are allowed"),
            ));
        }
        if let Some(reason) = self.headers.fault() {
            return Some(("headers", reason));
        }
        match self.expiry {
            Some(Expiry::At(time)) if !(1..=9_999).contains(&time.year()) => Some((
                "expires_at",
                format!(
                    "is {time}; not every store can hold a time outside of the years 1 to 9999"
                ),
            )),
            _ => None,
        }
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
