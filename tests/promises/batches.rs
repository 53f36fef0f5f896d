//! Enqueueing in batches: all events or none, in order, on every sink.

use std::panic::{AssertUnwindSafe, catch_unwind};

use outbox_runtime::rusqlite::{Connection, TransactionBehavior};
use outbox_runtime::store::BatchSink;
use outbox_runtime::{EnqueueError, Enqueued, MemoryStore, enqueue_all, prelude::*};
use outbox_tests::{Note, Temporary, note, note_of, start};
use uuid::Uuid;

fn notes(count: i64) -> Vec<Note> {
    (0..count).map(note).collect()
}

async fn entities(store: &dyn OutboxRepository) -> Vec<i64> {
    let pending = store.fetch_events(OutboxStatus::Pending, None, None);
    let ids = pending.await.unwrap().into_iter();
    ids.map(|event| event.entity_id.as_integer().unwrap())
        .collect()
}

/// The third of five violates a rule.
fn one_bad() -> Vec<Note> {
    let mut notes = notes(5);
    notes[2] = note_of("", 2);
    notes
}

fn assert_names_the_third(refused: Result<Vec<Enqueued>, EnqueueError>) {
    match refused {
        Err(EnqueueError::InBatch { index: 2, source }) => {
            assert!(matches!(
                *source,
                EnqueueError::Invalid {
                    field: "user_id",
                    ..
                }
            ));
        }
        other => panic!("{other:?}"),
    }
}

async fn check_store<S, F>(store: S)
where
    S: OutboxRepository + Clone,
    for<'s> &'s S: BatchSink<S, Output = F>,
    F: Future<Output = Result<Vec<Enqueued>, EnqueueError>>,
{
    assert_names_the_third(enqueue_all(&one_bad()).on(&store).await);
    assert!(entities(&store).await.is_empty(), "all of them or none");

    let enqueued = enqueue_all(&notes(100)).on(&store).await.unwrap();
    assert_eq!(entities(&store).await, (0..100).collect::<Vec<_>>());
    let of_the_last = store.fetch_event(enqueued[99].event_id()).await.unwrap();
    assert_eq!(of_the_last.unwrap().entity_id, 99.into());

    // The id in the middle exists with other content: none of the other events is written.
    let taken = enqueued[7].event_id();
    let id_of = |note: &Note| {
        if note.id == 201 {
            taken
        } else {
            Uuid::now_v7()
        }
    };
    let more: Vec<Note> = (200..203).map(note).collect();
    let refused = enqueue_all(&more).with_event_id(id_of).on(&store).await;
    assert!(
        matches!(&refused, Err(EnqueueError::InBatch { index: 1, source })
            if matches!(**source, EnqueueError::Conflict { event_id } if event_id == taken)),
        "{refused:?}"
    );
    assert_eq!(entities(&store).await.len(), 100);

    // Repeating the batch with the same ids is harmless.
    let ids: Vec<Uuid> = enqueued.iter().map(|event| event.event_id()).collect();
    let same = notes(100);
    let again = enqueue_all(&same).with_event_id(|note| ids[note.id as usize]);
    let again = again.on(&store).await.unwrap();
    assert!(
        again
            .iter()
            .all(|event| matches!(event, Enqueued::AlreadyThere(_)))
    );
    assert_eq!(entities(&store).await.len(), 100);
    assert!(enqueue_all(&notes(0)).on(&store).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_store_takes_all_of_a_batch_or_none() {
    check_store(MemoryStore::new()).await;
    check_store(Temporary::open().await.store.clone()).await;
}

#[tokio::test]
async fn a_connection_takes_all_of_a_batch_or_none() {
    let temporary = Temporary::open().await;
    let mut conn = temporary.connect();
    assert_names_the_third(enqueue_all(&one_bad()).on(&conn));
    assert!(conn.is_autocommit(), "no transaction is left open");
    assert!(entities(&temporary.store).await.is_empty());
    enqueue_all(&notes(10)).on(&conn).unwrap();
    assert_eq!(
        entities(&temporary.store).await.len(),
        10,
        "the batch is committed"
    );

    // In a transaction, the error keeps the transaction and everything written before.
    let rows = |conn: &Connection| -> i64 {
        conn.query_row("SELECT count(*) FROM outbox_events", [], |row| row.get(0))
            .unwrap()
    };
    let mut tx = conn
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    note(10).enqueue_sync().on(&tx).unwrap();
    assert_names_the_third(enqueue_all(&one_bad()).on(&tx));
    assert_eq!(rows(&tx), 11);
    let savepoint = tx.savepoint().unwrap();
    enqueue_all(&[note(11), note(12)]).on(&savepoint).unwrap();
    savepoint.commit().unwrap();
    tx.commit().unwrap();
    assert_eq!(entities(&temporary.store).await.len(), 13);
}

#[tokio::test]
async fn a_batch_that_shares_a_commit_fails_alone() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    let good = notes(3);
    let mut taken = one_bad();
    taken[2] = note(2);
    let id = Uuid::now_v7();
    let conflict = note(50).enqueue_sync().with_event_id(id);
    conflict.on(store).await.unwrap();
    let with_conflict = enqueue_all(&taken)
        .with_event_id(|note| if note.id == 2 { id } else { Uuid::now_v7() })
        .on(store);
    let (good, bad, single) = tokio::join!(
        enqueue_all(&good).on(store),
        with_conflict,
        note(60).enqueue_sync().on(store),
    );
    assert_eq!(good.unwrap().len(), 3);
    assert!(matches!(bad, Err(EnqueueError::InBatch { index: 2, .. })));
    single.unwrap();
    assert_eq!(entities(store).await.len(), 5);
}

#[tokio::test]
async fn a_batch_applies_its_options_to_every_event_and_keeps_the_order() {
    let temporary = Temporary::open().await;
    let (mut remote, running) = start(&temporary.store);
    let twice = [note(1), note(1)];
    enqueue_all(&twice)
        .operation(Operation::Update)
        .priority(9)
        .on(&temporary.store)
        .await
        .unwrap();
    let first = remote.next().await;
    assert_eq!(
        (first.event.operation, first.event.priority),
        (Operation::Update, 9)
    );
    assert!(remote.is_quiet(), "the second waits for the first");
    let first_seq = first.event.seq;
    first.ok();
    let second = remote.next().await;
    assert!(second.event.seq > first_seq);
    second.ok();
    running.stop().await.unwrap();
}

/// Metadata whose second event panics during serialization.
#[derive(Debug, OutboxEntity)]
#[outbox(event_type = "draft")]
struct Draft {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    text: Text,
}

#[derive(Debug, Clone, serde::Deserialize)]
struct Text(bool);

impl serde::Serialize for Text {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(self.0, "a bug in the application");
        serializer.serialize_bool(self.0)
    }
}

/// A savepoint left open would swallow later enqueues, and never commit them.
#[tokio::test]
async fn a_batch_that_panics_half_way_leaves_nothing_on_the_callers_connection() {
    let drafts = [1, 2].map(|id| Draft {
        id,
        user_id: "u1".to_owned(),
        text: Text(id == 1),
    });
    let temporary = Temporary::open().await;
    let mut conn = temporary.connect();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        enqueue_all(&drafts).on(&conn).map(drop)
    }));
    assert!(panicked.is_err());
    assert!(conn.is_autocommit(), "no transaction is open");
    note(7).enqueue_sync().on(&conn).unwrap();
    let tx = conn.transaction().unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| enqueue_all(&drafts).on(&tx).map(drop)));
    assert!(panicked.is_err());
    note(8).enqueue_sync().on(&tx).unwrap();
    tx.commit().unwrap();
    // The write lock is free.
    note(9).enqueue_sync().on(&temporary.store).await.unwrap();
    assert_eq!(entities(&temporary.store).await, [7, 8, 9]);
}
