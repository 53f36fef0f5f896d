//! Assertions on what is enqueued, and the messages with which they fail.

use outbox_runtime::prelude::*;
use outbox_testing::{KitError, assert_enqueued, enqueued, refute_enqueued};

use crate::{Goal, MoodEntry, goal, message_of, mood, stores};

#[tokio::test]
async fn an_event_is_found_by_its_fields_and_columns() {
    for store in stores().await {
        store
            .create_event(mood(7, 0.5).enqueue_update().into_event().unwrap())
            .await
            .unwrap();
        let valence = 0.5;
        assert_enqueued!(
            store,
            MoodEntry { valence: 0.5, .. },
            operation = Update,
            priority = 5
        );
        assert_enqueued!(
            &store,
            MoodEntry {
                valence,
                title: "Evening",
                ..
            }
        );
        assert_enqueued!(store, MoodEntry { .. }, operation = Operation::Update,);
        let event = assert_enqueued!(
            store,
            MoodEntry {
                label: None,
                notes: "my secret",
                ..
            },
            entity_id = 7,
            user_id = "u1",
            status = Pending,
            max_attempts = 5,
            with = |event| event.metadata().valence < 1.0,
            count = 1
        );
        assert_eq!(event.metadata().title, "Evening");
        assert_enqueued!(store, MoodEntry, event_id = event.id);
        refute_enqueued!(store, MoodEntry { valence: 0.6, .. });
        refute_enqueued!(store, MoodEntry, destination = "elsewhere");
        refute_enqueued!(store, MoodEntry, count = 2);
        refute_enqueued!(store, Goal);
    }
}

#[tokio::test]
async fn a_typed_list_has_the_events_of_the_type_in_order() {
    for store in stores().await {
        for id in 1..=3 {
            let event = mood(id, 0.5).enqueue_create().into_event().unwrap();
            store.create_event(event).await.unwrap();
            let event = goal(id).enqueue_create().into_event().unwrap();
            store.create_event(event).await.unwrap();
        }
        let moods = enqueued::<MoodEntry>(&*store).await.unwrap();
        let ids: Vec<_> = moods
            .iter()
            .map(|mood| mood.entity_id.as_integer())
            .collect();
        assert_eq!(ids, [Some(1), Some(2), Some(3)]);
        assert_eq!(enqueued::<Goal>(&store).await.unwrap().len(), 3);
        let damaged = outbox_runtime::NewEvent::new("goal", 4, "u1", Operation::Create)
            .with_metadata_version(9);
        store.create_event(damaged).await.unwrap();
        let refused = enqueued::<Goal>(&store).await.unwrap_err();
        assert!(matches!(refused, KitError::Decode { .. }), "{refused}");
    }
}

#[tokio::test]
async fn a_failed_assertion_lists_what_is_enqueued_and_how_the_nearest_differs() {
    for store in stores().await {
        for (id, valence) in [(1, 0.7), (2, 0.5)] {
            let event = mood(id, valence).enqueue_create().into_event().unwrap();
            store.create_event(event).await.unwrap();
        }
        let event = goal(3).enqueue_delete().into_event().unwrap();
        store.create_event(event).await.unwrap();
        let message = message_of(async move {
            assert_enqueued!(
                store,
                MoodEntry {
                    valence: 0.5,
                    title: "Noon",
                    ..
                },
                priority = 9
            );
        })
        .await;
        assert_eq!(
            message,
            "no such event is enqueued: \"moodEntry\" with valence = 0.5, title = \"Noon\", priority = 9\n\
             \x20 the nearest is moodEntry 2 of \"u1\": create, priority 5, pending\n\
             \x20   title: wanted \"Noon\", found \"Evening\"\n\
             \x20   priority: wanted 9, found 5\n\
             \x20 enqueued: \n\
             \x20   moodEntry 1 of \"u1\": create, priority 5, pending, {\"label\":null,\"notes\":\"[redacted]\",\"title\":\"Evening\",\"valence\":0.7}\n\
             \x20   moodEntry 2 of \"u1\": create, priority 5, pending, {\"label\":null,\"notes\":\"[redacted]\",\"title\":\"Evening\",\"valence\":0.5}\n\
             \x20   goal 3 of \"u1\": delete, priority 0, pending"
        );
    }
}

#[tokio::test]
async fn a_failed_refutation_shows_the_event_that_is_there() {
    for store in stores().await {
        let event = mood(7, 0.5).enqueue_create().into_event().unwrap();
        store.create_event(event).await.unwrap();
        let message = message_of(async move {
            refute_enqueued!(
                store,
                MoodEntry {
                    notes: "my secret",
                    ..
                },
                operation = Create
            );
        })
        .await;
        assert!(
            message.starts_with(
                "1 such events are enqueued: \"moodEntry\" with notes = [redacted], operation = Create\n"
            ),
            "{message}"
        );
        assert!(
            message.contains("the first is moodEntry 7 of \"u1\""),
            "{message}"
        );
        assert!(!message.contains("my secret"), "{message}");
    }
}

#[tokio::test]
async fn a_wrong_count_and_an_empty_store_are_told() {
    for store in stores().await {
        let empty = store.clone();
        let message = message_of(async move {
            assert_enqueued!(empty, Goal);
        })
        .await;
        assert_eq!(
            message,
            "no such event is enqueued: \"goal\"\n  nothing is enqueued"
        );
        for id in 0..25 {
            let event = goal(id).enqueue_create().into_event().unwrap();
            store.create_event(event).await.unwrap();
        }
        let many = store.clone();
        let message = message_of(async move {
            assert_enqueued!(many, Goal, count = 2);
        })
        .await;
        assert!(
            message.starts_with("25 events are enqueued instead of 2: \"goal\""),
            "{message}"
        );
        assert!(message.ends_with("\n    and 5 more"), "{message}");
        let message = message_of(async move {
            assert_enqueued!(store, Goal, count = 0);
        })
        .await;
        assert_eq!(message, "`count = 0` is what `refute_enqueued!` is for");
    }
}

#[tokio::test]
async fn a_store_that_fails_and_an_undecodable_event_are_told() {
    let store = MemoryStore::new();
    let damaged = outbox_runtime::NewEvent::new("moodEntry", 7, "u1", Operation::Create);
    store.create_event(damaged).await.unwrap();
    let own = store.clone();
    let message = message_of(async move {
        assert_enqueued!(own, MoodEntry);
    })
    .await;
    assert!(
        message.contains("its metadata cannot be decoded"),
        "{message}"
    );
    OutboxRepository::suspend(&store).await.unwrap();
    let message = message_of(async move {
        assert_enqueued!(store, MoodEntry);
    })
    .await;
    assert!(
        message.starts_with("the store cannot be read: "),
        "{message}"
    );
}
