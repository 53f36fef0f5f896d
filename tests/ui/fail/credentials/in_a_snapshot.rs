//! Of a snapshot everything is stored that serde does not skip.
use outbox_runtime::OutboxEntity;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Secret<T>(T);

#[derive(OutboxEntity, Serialize, Deserialize)]
#[outbox(event_type = "account", snapshot)]
struct Account {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    token: Option<Secret<String>>,
    #[serde(default, skip)]
    skipped: Option<Secret<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    now_and_then: Option<Secret::<String>>,
}

fn main() {}
