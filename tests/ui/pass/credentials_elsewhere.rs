//! A credential may stand wherever it is not stored, and another name is no credential.
use outbox_runtime::OutboxEntity;
use serde::{Deserialize, Serialize};

#[derive(Default)]
struct SecretString(#[allow(dead_code)] String);

mod secret {
    pub mod Secret {
        #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
        pub struct Santa;
    }
}

#[derive(OutboxEntity, Serialize, Deserialize)]
#[outbox(event_type = "account", snapshot)]
struct Account {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[serde(skip)]
    token: SecretString,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "present")]
struct Present {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    from: secret::Secret::Santa,
    #[outbox(metadata)]
    secretary: Vec<SecretaryName>,
    token: Option<SecretString>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct SecretaryName(String);

fn main() {
    let account = Account { id: 1, user_id: "u1".into(), token: SecretString("sk_live".into()) };
    let event = account.enqueue_sync().into_event().unwrap();
    assert_eq!(event.metadata().unwrap().as_str(), Some(r#"{"id":1,"user_id":"u1"}"#));
}
