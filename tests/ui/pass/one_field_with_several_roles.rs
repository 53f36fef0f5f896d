//! A user's own profile is its own user, and may be metadata as well.
use outbox_runtime::{EntityId, OutboxEntity};

#[derive(OutboxEntity)]
#[outbox(event_type = "profile")]
struct Profile {
    #[outbox(entity_id, user_id)]
    #[outbox(metadata)]
    id: String,
}

fn main() {
    let event = Profile { id: "user-1".to_owned() }.enqueue_sync().into_event().unwrap();
    assert_eq!(event.entity_id(), &EntityId::from("user-1"));
    assert_eq!(event.user_id(), "user-1");
    assert_eq!(event.metadata().and_then(|json| json.as_str()), Some(r#"{"id":"user-1"}"#));
}
