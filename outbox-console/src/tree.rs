//! A payload as a tree, step by step: the page opens and closes lists as it goes.

use outbox_operate::{clean, cut};
use serde_json::Value;

/// A payload with more steps is cut.
const MOST: usize = 2_000;
/// A text is cut to this number of characters.
const LONGEST: usize = 2_000;

/// One step through the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A field or item with others in it.
    Open(String),
    Leaf {
        name: String,
        value: String,
    },
    Close,
}

/// The steps, and whether they are all.
pub(crate) fn steps(value: &Value) -> (Vec<Step>, bool) {
    let mut steps = Vec::new();
    match value {
        Value::Object(_) | Value::Array(_) => inner(value, &mut steps),
        leaf => steps.push(Step::Leaf {
            name: "value".to_owned(),
            value: text(leaf),
        }),
    }
    let is_whole = steps.len() <= MOST;
    if !is_whole {
        steps.truncate(MOST);
        let opened = steps.iter().filter(|step| matches!(step, Step::Open(_)));
        let closed = steps.iter().filter(|step| matches!(step, Step::Close));
        let unclosed = opened.count().saturating_sub(closed.count());
        steps.extend(std::iter::repeat_n(Step::Close, unclosed));
    }
    (steps, is_whole)
}

fn inner(value: &Value, steps: &mut Vec<Step>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                add(clean(name).into_owned(), value, steps);
            }
        }
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                add(number.to_string(), item, steps);
            }
        }
        _ => {}
    }
}

fn add(name: String, value: &Value, steps: &mut Vec<Step>) {
    if steps.len() > MOST {
        return;
    }
    if matches!(value, Value::Object(_) | Value::Array(_)) {
        steps.push(Step::Open(name));
        inner(value, steps);
        steps.push(Step::Close);
    } else {
        let value = text(value);
        steps.push(Step::Leaf { name, value });
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => cut(text, LONGEST),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_are_closed_also_where_the_payload_is_cut() {
        let wide: Vec<Value> = (0..MOST).map(|n| json!({"n": [n]})).collect();
        for value in [json!({"a": [1, {"b": null}]}), json!("x"), json!(wide)] {
            let (steps, is_whole) = steps(&value);
            let mut depth = 0;
            for step in &steps {
                match step {
                    Step::Open(_) => depth += 1,
                    Step::Close => depth -= 1,
                    Step::Leaf { .. } => {}
                }
                assert!(depth >= 0);
            }
            assert_eq!(depth, 0);
            assert_eq!(is_whole, !value.is_array());
        }
    }
}
