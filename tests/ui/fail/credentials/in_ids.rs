//! Ids are columns too.
use outbox_runtime::OutboxEntity;

struct SecretString(String);

#[derive(OutboxEntity)]
#[outbox(event_type = "session")]
struct Session {
    #[outbox(entity_id)]
    token: SecretString,
    #[outbox(user_id)]
    user_id: Box<SecretString>,
}

fn main() {}
