//! What the steps of an outbox in SQLite do less well than a connection of rusqlite.

use outbox_runtime::store::SqliteInsert;
use outbox_runtime::{
    Coalesce, EnqueueError, Enqueued, EventSink, NewEvent, Operation, OutboxRepository,
    SqliteStore, rusqlite,
};

/// While an event of another program has no place in its lane, an event that could fold gets a row
/// of its own from `enqueue`, which enqueues with the library under test and commits.
///
/// # Panics
///
/// If that event folds, or one does not that should.
pub async fn assert_that_nothing_folds_while_others_have_no_place(
    store: &SqliteStore,
    mut enqueue: impl AsyncFnMut(NewEvent) -> Result<Enqueued, EnqueueError>,
) {
    let change =
        || NewEvent::new("draft", 1, "u1", Operation::Update).with_coalesce(Coalesce::Latest);
    enqueue(change()).await.unwrap();
    // A program with another library writes an event; the next claim finds its place.
    let other = rusqlite::Connection::open(store.path()).unwrap();
    let event = NewEvent::new("note", 2, "u1", Operation::Create);
    let insert = SqliteInsert::new(&event).unwrap();
    let params = rusqlite::params_from_iter(insert.params());
    other.execute(insert.sql(), params).unwrap();
    let second = enqueue(change()).await.unwrap();
    assert!(matches!(second, Enqueued::New(_)), "{second:?}");
    // A connection of rusqlite finds the place itself, and folds.
    let third = (&other).enqueue(Ok(change())).unwrap();
    assert!(matches!(third, Enqueued::Folded { .. }), "{third:?}");
    let fourth = enqueue(change()).await.unwrap();
    assert!(matches!(fourth, Enqueued::Folded { .. }), "{fourth:?}");
    assert_eq!(store.statistics(None).await.unwrap().pending_count, 3);
}
