//! The first steps of a newcomer work as they look.

use outbox_runtime::prelude::*;
use outbox_runtime::{TransactionError, enqueue_all};
use outbox_tests::Temporary;
use uuid::Uuid;

#[derive(OutboxEntity, Clone)]
#[outbox(event_type = "note", order = Order::Entity)]
struct Note {
    #[outbox(entity_id)]
    id: u32,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    text: String,
}

fn note(id: u32, text: &str) -> Note {
    Note {
        id,
        user_id: "user-1".into(),
        text: text.into(),
    }
}

/// Larger than the metadata limit.
fn too_large() -> Note {
    note(1, &"x".repeat(2 << 20))
}

async fn notes(temporary: &Temporary) -> (i64, u64) {
    let store = &temporary.store;
    let sql = "SELECT count(*) FROM note";
    let saved = store
        .transaction(move |tx| Ok(tx.query_row(sql, [], |row| row.get(0))?))
        .await
        .unwrap();
    (saved, store.statistics(None).await.unwrap().pending_count)
}

async fn with_notes() -> Temporary {
    let temporary = Temporary::open().await;
    let create = "CREATE TABLE note (id INTEGER)";
    let store = &temporary.store;
    store
        .transaction(move |tx| Ok(tx.execute_batch(create)?))
        .await
        .unwrap();
    temporary
}

const INSERT: &str = "INSERT INTO note VALUES (1)";

#[tokio::test]
async fn a_refused_event_returned_by_a_transaction_rolls_back_the_entity() {
    fn refused<T>(saved: Result<T, TransactionError>) {
        let Err(TransactionError::Aborted(error)) = saved else {
            panic!("the transaction was committed");
        };
        let error = error.downcast::<EnqueueError>().unwrap();
        let text = format!("{error}: {:?}", std::error::Error::source(&error));
        assert!(text.contains("metadata"), "{text}");
    }
    let temporary = with_notes().await;
    let store = &temporary.store;
    refused(
        store
            .transaction(|tx| {
                tx.execute(INSERT, [])?;
                Ok(too_large().enqueue_create().on(tx))
            })
            .await,
    );
    refused(
        store
            .transaction(|tx| {
                tx.execute(INSERT, [])?;
                Ok(too_large().enqueue_update().on(tx).map(drop))
            })
            .await,
    );
    refused(
        store
            .transaction(|tx| {
                tx.execute(INSERT, [])?;
                Ok(too_large()
                    .enqueue_delete()
                    .on(tx)
                    .map(outbox_runtime::Enqueued::event_id))
            })
            .await,
    );
    refused(
        store
            .transaction(|tx| {
                tx.execute(INSERT, [])?;
                let events = [note(1, "a"), too_large()];
                let answers = events.iter().map(|event| event.enqueue_create().on(tx));
                Ok(answers.collect::<Vec<_>>())
            })
            .await,
    );
    refused(
        store
            .transaction(|tx| {
                tx.execute(INSERT, [])?;
                Ok(Some(too_large()).map(|note| note.enqueue_create().on(tx)))
            })
            .await,
    );
    refused(
        store
            .transaction(|tx| {
                tx.execute(INSERT, [])?;
                let first = note(1, "a").enqueue_create().on(tx);
                Ok((first, too_large().enqueue_update().on(tx)))
            })
            .await,
    );
    refused(
        store
            .transaction(|tx| {
                tx.execute(INSERT, [])?;
                let answer = too_large().enqueue_create().on(tx);
                Ok(answer.map_err(outbox_runtime::store::BoxError::from))
            })
            .await,
    );
    refused(
        store
            .transaction(|tx| {
                tx.execute(INSERT, [])?;
                Ok(enqueue_all(&[note(1, "a"), too_large()]).on(tx))
            })
            .await,
    );
    assert_eq!(notes(&temporary).await, (0, 0), "entities and events");
}

#[tokio::test]
async fn other_results_returned_by_a_transaction_commit_and_are_passed_on() {
    let temporary = with_notes().await;
    let saved = temporary
        .store
        .transaction(|tx| {
            tx.execute(INSERT, [])?;
            Ok(note(1, "a").enqueue_create().on(tx))
        })
        .await;
    let answer = saved.unwrap();
    assert!(answer.is_ok());
    assert_eq!(notes(&temporary).await, (1, 1));
    // Other `Err` values that a transaction returns are ordinary values.
    let saved = temporary
        .store
        .transaction(|tx| {
            tx.execute(INSERT, [])?;
            Ok(Err::<(), String>("no such list".into()))
        })
        .await;
    assert_eq!(saved.unwrap(), Err("no such list".into()));
    assert_eq!(notes(&temporary).await, (2, 1));
}

#[test]
fn a_new_entity_is_enqueued_under_either_name() {
    let note = note(7, "a");
    for change in [note.enqueue_create(), note.enqueue_sync()] {
        let event = change.into_event().unwrap();
        assert_eq!(event.operation(), Operation::Create);
        assert_eq!(event.entity_id(), &EntityId::from(7));
    }
}

#[tokio::test]
async fn an_id_of_any_integer_type_keeps_its_value() {
    #[derive(OutboxEntity)]
    #[outbox(event_type = "counter")]
    struct Counter {
        #[outbox(entity_id)]
        id: u64,
        #[outbox(user_id)]
        user_id: String,
    }
    let store = MemoryStore::new();
    let largest = i64::MAX.unsigned_abs();
    for id in [0, 7, largest, largest + 1, u64::MAX] {
        let user_id = "user-1".to_owned();
        Counter { id, user_id }
            .enqueue_create()
            .on(&store)
            .await
            .unwrap();
        let stored = store
            .fetch_events_for_entity(&EntityId::from(id), None, None)
            .await
            .unwrap();
        assert_eq!(stored.len(), 1, "{id}");
        assert_eq!(stored[0].entity_id.to_string(), id.to_string());
    }
    assert_eq!(EntityId::from(-7_i8), EntityId::from(-7_i64));
    assert_eq!(EntityId::from(7_u16), EntityId::from(7_u8));
    assert_eq!(
        EntityId::from(i32::MIN),
        EntityId::from(i64::from(i32::MIN))
    );
    assert_eq!(
        EntityId::from(u32::MAX),
        EntityId::from(u64::from(u32::MAX))
    );
}

#[tokio::test]
async fn a_handler_gets_the_client_that_it_is_registered_with() {
    #[derive(Clone)]
    struct Client(std::sync::Arc<std::sync::Mutex<Vec<Uuid>>>);
    let client = Client(std::sync::Arc::default());
    let store = MemoryStore::new();
    let running = Processor::builder(store.clone())
        .handle_with(client.clone(), |client, event: Event<Note>| async move {
            client.0.lock().unwrap().push(event.id);
            Ok(())
        })
        .build()
        .unwrap()
        .start("user-1");
    let first = note(1, "a").enqueue_create().on(&store).await.unwrap();
    let second = note(2, "b").enqueue_create().on(&store).await.unwrap();
    for id in [1, 2] {
        let flushed = running.flush(id, std::time::Duration::from_secs(30)).await;
        assert!(flushed.unwrap().is_delivered());
    }
    running.stop().await.unwrap();
    let mut sent = client.0.lock().unwrap().clone();
    sent.sort();
    let mut expected = [first.event_id(), second.event_id()];
    expected.sort();
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn a_test_store_is_empty_private_and_temporary() {
    let one = SqliteStore::open_in_memory().await.unwrap();
    let two = SqliteStore::open_in_memory().await.unwrap();
    let sent = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let running = Processor::builder(one.clone())
        .handle_with(sent.clone(), |sent, event: Event<Note>| async move {
            sent.lock().unwrap().push(event.id);
            Ok(())
        })
        .build()
        .unwrap()
        .start("user-1");
    // The writer, the reader, and a connection of the test see the same database.
    let enqueued = note(1, "a").enqueue_create().on(&one).await.unwrap();
    let flushed = running.flush(1, std::time::Duration::from_secs(30)).await;
    assert!(flushed.unwrap().is_delivered());
    running.stop().await.unwrap();
    drop(running);
    assert_eq!(*sent.lock().unwrap(), [enqueued.event_id()]);
    let own = outbox_runtime::rusqlite::Connection::open(one.path()).unwrap();
    let sql = "SELECT count(*) FROM outbox_events";
    let count: i64 = own.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(count, 1);
    assert_eq!(two.statistics(None).await.unwrap().total_events, 0);
    drop(own);
    let path = one.path().to_owned();
    let clone = one.clone();
    drop(one);
    assert!(path.exists());
    clone.close().await;
    drop(clone);
    assert!(!path.exists() && !path.parent().unwrap().exists());
}
