//! Batches whose items are requests of their own: each has its own key and its own answer.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::Visit;
use crate::answer::{Done, Refusal};
use crate::rules::{self, Checked};

/// The most items of a batch.
const MOST: usize = 100;

/// The key and the body of an item, or why it has none.
pub(crate) type Item = Result<(Option<String>, Vec<u8>), Refusal>;

#[derive(Debug, Deserialize)]
struct Batch {
    items: Vec<Value>,
}

/// The items of the request. An invalid item does not affect the others.
pub(crate) fn items(visit: &Visit<'_>) -> Checked<Vec<Item>> {
    let batch: Batch = visit.read()?;
    rules::count("items", &batch.items, 1..=MOST)?;
    Ok(batch.items.into_iter().map(item).collect())
}

/// The body of an item is the item without its key, so that it equals that of a call of its own.
fn item(mut item: Value) -> Item {
    let key = item
        .as_object_mut()
        .and_then(|fields| fields.remove("idempotency_key"));
    let key = match key {
        None | Some(Value::Null) => None,
        Some(Value::String(key)) => Some(key),
        Some(_) => return Err(Refusal::invalid("idempotency_key must be a string")),
    };
    Ok((key, item.to_string().into_bytes()))
}

/// 207 with the answers to the items, in their order.
pub(crate) fn answered(answers: Vec<Value>) -> Done {
    Done::new(
        StatusCode::MULTI_STATUS,
        Value::from_iter([("items", Value::Array(answers))]),
    )
}
