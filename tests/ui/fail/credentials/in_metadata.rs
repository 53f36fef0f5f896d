//! A credential is refused anywhere in a stored field, and allowed in a field that is not stored.
use std::marker::PhantomData;

use outbox_runtime::OutboxEntity;

mod secrecy {
    #[derive(Clone, Debug)]
    pub struct SecretString(String);
    #[derive(Clone, Debug)]
    pub struct SecretBox<T: ?Sized>(pub Box<T>);
}

mod zeroize {
    #[derive(Clone, Debug)]
    pub struct Zeroizing<T>(pub T);
}

use zeroize::Zeroizing;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry")]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    token: secrecy::SecretString,
    #[outbox(metadata)]
    pin: Option<Vec<Zeroizing<String>>>,
    #[outbox(metadata, sensitive)]
    keys: ([secrecy::SecretBox<String>; 2], u8),
    session: PhantomData<secrecy::SecretString>,
}

fn main() {}
