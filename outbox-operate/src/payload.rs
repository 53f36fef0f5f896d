//! Metadata as a tree, without sensitive values.
//!
//! A row does not tell which of its fields the application marked `#[outbox(sensitive)]`. So unless
//! somebody names them, no value is shown.

use outbox_runtime::RawMetadata;
use serde_json::{Map, Value};

/// Which fields are hidden.
#[derive(Debug)]
pub enum Hidden {
    /// The values of all.
    All,
    /// Those with these names, at any depth.
    Named(Vec<String>),
}

impl Hidden {
    /// Reads a list of names separated by commas; `None`: nobody named them.
    #[must_use]
    pub fn of(names: Option<&str>) -> Self {
        match names {
            None => Self::All,
            Some(names) => {
                let names = names.split(',').map(str::trim);
                let names = names.filter(|name| !name.is_empty());
                Self::Named(names.map(normal).collect())
            }
        }
    }

    fn hides(&self, name: &str) -> bool {
        match self {
            Self::All => false,
            Self::Named(names) => names.contains(&normal(name)) || is_secret(name),
        }
    }
}

/// The name without case and separators: `accessToken` and `access_token` are the same.
fn normal(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

/// Whether a field is sensitive by its name alone.
fn is_secret(name: &str) -> bool {
    const PARTS: [&str; 6] = [
        "password",
        "passwd",
        "secret",
        "token",
        "apikey",
        "credential",
    ];
    let name = normal(name);
    PARTS.iter().any(|part| name.contains(part))
}

/// The metadata of an event for people: hidden values are replaced by what they are.
#[must_use]
pub fn shown(metadata: &RawMetadata, hidden: &Hidden) -> Value {
    let parsed = metadata.as_str().map(serde_json::from_str::<Value>);
    match parsed {
        Some(Ok(value)) => show(value, hidden),
        _ => Value::String("(not valid JSON)".to_owned()),
    }
}

fn show(value: Value, hidden: &Hidden) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| {
                let value = match hidden.hides(&name) {
                    true => Value::String("(sensitive)".to_owned()),
                    false => show(value, hidden),
                };
                (name, value)
            });
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(items) if matches!(hidden, Hidden::All) => {
            Value::String(format!("(list of {})", items.len()))
        }
        Value::Array(items) => {
            let items = items.into_iter().map(|item| show(item, hidden));
            Value::Array(items.collect())
        }
        value if matches!(hidden, Hidden::Named(_)) => value,
        Value::String(text) => Value::String(format!("(text of {})", text.chars().count())),
        Value::Number(_) => Value::String("(number)".to_owned()),
        Value::Bool(_) => Value::String("(true or false)".to_owned()),
        Value::Null => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(metadata: &Value, names: Option<&str>) -> Value {
        let metadata = RawMetadata::from_bytes(metadata.to_string());
        shown(&metadata, &Hidden::of(names))
    }

    #[test]
    fn no_value_is_shown_unless_the_sensitive_fields_are_named() {
        let metadata =
            json!({"notes": "so sad", "valence": -0.5, "tags": ["a"], "done": true, "x": null});
        let shown = of(&metadata, None);
        assert_eq!(
            shown,
            json!({"notes": "(text of 6)", "valence": "(number)", "tags": "(list of 1)", "done": "(true or false)",
                "x": null})
        );
    }

    #[test]
    fn named_fields_are_hidden_in_every_spelling_and_depth() {
        let metadata = json!({"diaryNotes": {"a": 1}, "list": [{"diary_notes": "x", "n": 2}], "accessToken": "t"});
        let shown = of(&metadata, Some("diary_notes, other"));
        assert_eq!(
            shown,
            json!({"diaryNotes": "(sensitive)", "list": [{"diary_notes": "(sensitive)", "n": 2}],
                "accessToken": "(sensitive)"})
        );
        assert_eq!(of(&json!({"n": 2}), Some("")), json!({"n": 2}));
    }
}
