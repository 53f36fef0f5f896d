//! A third crate enqueues on connections that neither it nor the runtime defines, in a transaction
//! of the caller.

#![allow(clippy::unwrap_used, reason = "a test panics when it fails")]

use deadpool::unmanaged::Pool;
use outbox_foreign_sink::Pooled;
use outbox_runtime::{
    Enqueue, EnqueueError, Enqueued, EventSink, OutboxRepository, enqueue_all, rusqlite,
};
use outbox_tests::{Temporary, note, note_of, start, within};

async fn connection(temporary: &Temporary) -> Pooled {
    let pool = Pool::from(vec![temporary.connect()]);
    within(pool.get()).await.unwrap()
}

async fn enqueued(temporary: &Temporary) -> u64 {
    let statistics = temporary.store.statistics(None).await.unwrap();
    statistics.total_events
}

/// Code that is generic over sinks and names no marker.
fn save<S: EventSink<Driver>, Driver>(change: Enqueue, sink: S) -> S::Output {
    change.on(sink)
}

#[tokio::test]
async fn a_rolled_back_foreign_transaction_enqueues_nothing() -> rusqlite::Result<()> {
    let temporary = Temporary::open().await;
    let conn = connection(&temporary).await;
    conn.execute_batch("CREATE TABLE notes (id INTEGER PRIMARY KEY) STRICT; BEGIN IMMEDIATE")?;
    conn.execute("INSERT INTO notes (id) VALUES (1)", [])?;
    note(1).enqueue_sync().on(&conn).unwrap();
    let many: Vec<_> = (2..50).map(note).collect();
    assert_eq!(enqueue_all(&many).on(&conn).unwrap().len(), 48);
    let seen_inside: i64 =
        conn.query_row("SELECT count(*) FROM outbox_events", [], |row| row.get(0))?;
    assert_eq!(seen_inside, 49);
    conn.execute_batch("ROLLBACK")?;
    assert_eq!(enqueued(&temporary).await, 0);
    let notes: i64 = conn.query_row("SELECT count(*) FROM notes", [], |row| row.get(0))?;
    assert_eq!(notes, 0);
    Ok(())
}

#[tokio::test]
async fn events_of_a_committed_foreign_transaction_are_delivered_in_order() -> rusqlite::Result<()>
{
    let temporary = Temporary::open().await;
    let (mut remote, running) = start(&temporary.store);
    let conn = connection(&temporary).await;
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let first = save(note(7).enqueue_create(), &conn).unwrap();
    let rest = enqueue_all(&[note(7), note(7)]).on(&conn).unwrap();
    assert!(remote.is_quiet(), "nothing is committed yet");
    conn.execute_batch("COMMIT")?;
    for expected in [first, rest[0], rest[1]] {
        let call = remote.next().await;
        assert_eq!(call.event.id, expected.event_id());
        assert!(matches!(expected, Enqueued::New(_)));
        call.ok();
    }
    within(running.stop()).await.unwrap();
    Ok(())
}

#[tokio::test]
async fn a_foreign_batch_with_a_bad_event_adds_nothing_and_keeps_the_transaction()
-> rusqlite::Result<()> {
    let temporary = Temporary::open().await;
    let conn = connection(&temporary).await;
    conn.execute_batch("BEGIN IMMEDIATE")?;
    note(1).enqueue_sync().on(&conn).unwrap();
    let refused = enqueue_all(&[note(2), note_of("", 3)]).on(&conn);
    assert!(
        matches!(refused, Err(EnqueueError::InBatch { index: 1, .. })),
        "{refused:?}"
    );
    assert!(
        !conn.is_autocommit(),
        "the caller decides what becomes of it"
    );
    conn.execute_batch("COMMIT")?;
    assert_eq!(enqueued(&temporary).await, 1);
    Ok(())
}

#[tokio::test]
async fn the_same_event_on_a_foreign_connection_is_written_once() {
    let temporary = Temporary::open().await;
    let conn = connection(&temporary).await;
    let change = note(1).enqueue_sync();
    let id = change.event_id();
    assert_eq!(change.on(&conn).unwrap(), Enqueued::New(id));
    let again = note(1).enqueue_sync().with_event_id(id);
    assert_eq!(again.on(&conn).unwrap(), Enqueued::AlreadyThere(id));
    assert_eq!(enqueued(&temporary).await, 1);
}
