//! The entities of these tests, and how a test reads a panic.

use std::future::Future;
use std::time::Duration;

use outbox_runtime::prelude::*;

pub(crate) const SOON: Duration = Duration::from_secs(30);

/// An entity with a sensitive field, and one under another name in JSON.
#[derive(Clone, OutboxEntity)]
#[outbox(event_type = "moodEntry", priority = 5)]
pub(crate) struct MoodEntry {
    #[outbox(entity_id)]
    pub(crate) id: i64,
    #[outbox(user_id)]
    pub(crate) user_id: String,
    #[outbox(metadata)]
    pub(crate) valence: f64,
    #[outbox(metadata)]
    pub(crate) title: String,
    #[outbox(metadata)]
    pub(crate) label: Option<String>,
    #[outbox(metadata, sensitive)]
    pub(crate) notes: String,
}

/// An entity without metadata.
#[derive(Clone, OutboxEntity)]
#[outbox(event_type = "goal", timeout = "20s")]
pub(crate) struct Goal {
    #[outbox(entity_id)]
    pub(crate) id: i64,
    #[outbox(user_id)]
    pub(crate) user_id: String,
}

pub(crate) fn mood(id: i64, valence: f64) -> MoodEntry {
    MoodEntry {
        id,
        user_id: "u1".to_owned(),
        valence,
        title: "Evening".to_owned(),
        label: None,
        notes: "my secret".to_owned(),
    }
}

pub(crate) fn goal(id: i64) -> Goal {
    Goal {
        id,
        user_id: "u1".to_owned(),
    }
}

/// The message with which a future panics.
pub(crate) async fn message_of(panics: impl Future<Output = ()> + Send + 'static) -> String {
    let ended = tokio::spawn(panics).await;
    let payload = ended.expect_err("it should have panicked").into_panic();
    *payload.downcast::<String>().expect("a message")
}
