//! The differences between two readings of an event.

use super::OutboxEvent;

impl OutboxEvent {
    /// The differences between this stored event and an earlier reading, without payloads.
    pub(crate) fn differences_from(&self, read: &Self) -> String {
        let mut differences = Vec::new();
        macro_rules! compare {
            ($($field:ident),*) => {$(
                if self.$field != read.$field {
                    let field = stringify!($field);
                    differences.push(format!("{field} is {:?} in the store and {:?} in the edit", self.$field, read.$field));
                }
            )*};
        }
        compare!(
            revision,
            destination,
            deferrals,
            deferred_since,
            crashes,
            snoozes,
            seq,
            event_type,
            entity_id,
            user_id,
            operation,
            status,
            created_at,
            last_attempt_at,
            attempt_count,
            completed_at,
            dead_reason,
            order,
            on_dead,
            dedup_key,
            parents
        );
        // Texts and tokens must not appear in messages.
        for (field, is_same) in [
            ("last_refusal", self.last_refusal == read.last_refusal),
            ("error_message", self.error_message == read.error_message),
            ("lease_token", self.lease_token == read.lease_token),
            ("trace_context", self.trace_context == read.trace_context),
            ("headers", self.headers == read.headers),
            (
                "lease_expires_at",
                self.lease_expires_at == read.lease_expires_at,
            ),
        ] {
            if !is_same {
                differences.push(format!("{field} has changed"));
            }
        }
        differences.join(", ")
    }
}
