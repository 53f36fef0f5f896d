//! Metadata as text for people, without the values of sensitive fields.

use outbox_runtime::support::Sensitive;
use outbox_runtime::{OutboxEntity, OutboxEvent};
use serde_json::{Map, Value};

/// Stands for the value of a sensitive field.
pub(super) const REDACTED: &str = "[redacted]";

/// The longest text of a value or of metadata, in bytes.
const MAX_BYTES: usize = 400;

/// Whether the value of a field, by its name in JSON, may be shown. Without a statement of the
/// entity, none may.
pub(super) fn may_show<E: OutboxEntity>(name: &str) -> bool {
    match E::SENSITIVE {
        Sensitive::Nothing => true,
        Sensitive::AllBut(shown) => shown.contains(&name),
        _ => false,
    }
}

/// The value of a field of the event's metadata; `None` if it has no such field under this name.
pub(super) fn field<E: OutboxEntity>(event: &OutboxEvent, name: &str) -> Option<String> {
    let mut fields = fields(event)?;
    let value = fields.remove(name)?;
    Some(match may_show::<E>(name) {
        true => short(value.to_string()),
        false => REDACTED.to_owned(),
    })
}

/// All of the event's metadata.
pub(super) fn metadata<E: OutboxEntity>(event: &OutboxEvent) -> String {
    let Some(mut fields) = fields(event) else {
        return match (&event.metadata, E::SENSITIVE) {
            (None, _) => "no metadata".to_owned(),
            (Some(metadata), Sensitive::Nothing) => short(
                metadata
                    .as_str()
                    .unwrap_or("metadata that is no text")
                    .to_owned(),
            ),
            (Some(_), _) => REDACTED.to_owned(),
        };
    };
    for (name, value) in &mut fields {
        if !may_show::<E>(name) {
            *value = Value::from(REDACTED);
        }
    }
    short(Value::Object(fields).to_string())
}

fn fields(event: &OutboxEvent) -> Option<Map<String, Value>> {
    let metadata = event.metadata.as_ref()?.as_str()?;
    serde_json::from_str(metadata).ok()
}

/// The text, cut if it is long.
pub(super) fn short(mut text: String) -> String {
    if text.len() > MAX_BYTES {
        text.truncate(text.floor_char_boundary(MAX_BYTES));
        text.push('…');
    }
    text
}
