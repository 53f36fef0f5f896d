//! Statistics of many events, which the SQLite store counts in blocks: they equal a count of every
//! row, regardless of the writer and of rollbacks.

use std::time::Duration;

use outbox_runtime::rusqlite::Connection;
use outbox_runtime::store::{ClaimRequest, Disposition, Settlement};
use outbox_runtime::{
    Clock, Coalesce, DeadReason, NewEvent, Operation, OutboxStatistics, enqueue_all, prelude::*,
};
use outbox_testing::ManualClock;
use outbox_tests::{Note, Temporary, foreign_insert, note, note_of};

const LEASE: Duration = Duration::from_secs(60);
/// More than two blocks.
const MANY: i64 = 3_000;

/// A store, a connection of the application, and a clock.
struct Scene {
    made: Temporary,
    own: Connection,
    clock: ManualClock,
}

impl Scene {
    async fn new() -> Self {
        let clock = ManualClock::new();
        let made = Temporary::open_with(|builder| {
            builder
                .clock(clock.clone())
                .durability(outbox_runtime::Durability::Normal)
        });
        let made = made.await;
        Self {
            own: made.connect(),
            made,
            clock,
        }
    }

    /// With counted events, some of them stale.
    async fn filled() -> Self {
        let scene = Self::new().await;
        scene.enqueue(0..MANY / 2).await;
        scene.clock.advance(Duration::from_secs(301));
        scene.enqueue(MANY / 2..MANY).await;
        scene.counted().await;
        scene
    }

    async fn enqueue(&self, ids: std::ops::Range<i64>) {
        let notes: Vec<Note> = ids.map(note).collect();
        enqueue_all(&notes).on(&self.made.store).await.unwrap();
    }

    fn number(&self, sql: &str) -> i64 {
        self.own.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    fn blocks(&self) -> i64 {
        self.number("SELECT count(*) FROM outbox_tally")
    }

    /// Waits until all complete blocks are counted.
    async fn counted(&self) {
        let store = &self.made.store;
        for _ in 0..1_000 {
            store.statistics(None).await.unwrap();
            let sql = "SELECT (SELECT max(seq) FROM outbox_events) / 1024 - (SELECT coalesce(max(block) + 1, 0) FROM outbox_tally)";
            if self.number(sql) <= 0 {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("the blocks are not counted");
    }

    /// Statistics counted row by row.
    fn recounted(&self, user: Option<&str>) -> OutboxStatistics {
        let before = self.clock.now().timestamp_micros() - 300_000_000;
        let sql = "SELECT count(*), sum(shown.status = 'pending'), sum(shown.status = 'processing'),
                 sum(shown.status = 'completed'), sum(shown.status = 'failed'), sum(shown.status = 'dead'),
                 sum(shown.status = 'pending' AND event.created_at < ?1),
                 min(CASE shown.status WHEN 'pending' THEN event.created_at END), max(event.completed_at)
             FROM outbox AS shown JOIN outbox_events AS event USING (seq) WHERE ?2 IS NULL OR event.user_id = ?2";
        let mut expected = OutboxStatistics::default();
        let (oldest, newest): (Option<i64>, Option<i64>) = self
            .own
            .query_row(sql, (before, user), |row| {
                let count = |column| {
                    let count: Option<i64> = row.get(column)?;
                    Ok::<_, outbox_runtime::rusqlite::Error>(count.unwrap_or(0).unsigned_abs())
                };
                expected.total_events = count(0)?;
                expected.pending_count = count(1)?;
                expected.processing_count = count(2)?;
                expected.completed_count = count(3)?;
                expected.failed_count = count(4)?;
                expected.dead_count = count(5)?;
                expected.stale_count = count(6)?;
                Ok((row.get(7)?, row.get(8)?))
            })
            .unwrap();
        let time = |micros: Option<i64>| micros.and_then(chrono::DateTime::from_timestamp_micros);
        expected.oldest_pending_date = time(oldest);
        expected.newest_completed_date = time(newest);
        expected.completed_total = expected.completed_count;
        expected
    }

    async fn compare(&self) {
        for user in [None, Some("u1"), Some("u2"), Some("u3")] {
            let told = self.made.store.statistics(user).await.unwrap();
            assert_eq!(told, self.recounted(user), "of {user:?}");
        }
    }

    async fn settle(&self, count: usize, disposition: Disposition) {
        let store = &self.made.store;
        let claims = store.claim(&ClaimRequest::new(count, LEASE)).await.unwrap();
        assert_eq!(claims.len(), count);
        self.compare().await;
        let settlements = claims.iter().map(|claim| Settlement {
            lease: claim.lease,
            disposition: disposition.clone(),
        });
        store.settle(settlements.collect()).await.unwrap();
        self.compare().await;
    }
}

#[tokio::test]
async fn every_change_of_status_is_counted() {
    let scene = Scene::filled().await;
    let store = &scene.made.store;
    assert_eq!(scene.blocks(), 2);
    scene.compare().await;
    scene.settle(1_100, Disposition::Complete).await;
    let failed = Disposition::Fail {
        next_attempt_at: scene.clock.now(),
        message: "no".to_owned(),
    };
    scene.settle(30, failed.clone()).await;
    let bury = Disposition::Bury {
        reason: DeadReason::Rejected,
        message: "never".to_owned(),
    };
    scene.settle(40, bury).await;
    let given_back = Disposition::GiveBack {
        next_attempt_at: None,
        refusal: None,
    };
    scene.settle(50, given_back).await;
    // Claimed again, and then completed, failed, or left until the lease ends.
    scene.settle(10, failed).await;
    scene.settle(15, Disposition::Complete).await;
    store.claim(&ClaimRequest::new(20, LEASE)).await.unwrap();
    scene.clock.advance(LEASE);
    assert_eq!(store.rescue().await.unwrap().requeued, 20);
    scene.compare().await;
    let dead = store.fetch_events(OutboxStatus::Dead, None, None).await;
    let ids: Vec<_> = dead.unwrap().iter().map(|event| event.id).collect();
    assert_eq!(store.reset_for_retry(&ids[..15]).await.unwrap(), 15);
    assert_eq!(store.discard(&ids[15..20]).await.unwrap(), 5);
    scene.compare().await;
    let entities: Vec<_> = (1_200..1_300).map(Into::into).collect();
    store
        .delete_events_for_entities(&entities, None)
        .await
        .unwrap();
    scene.compare().await;
}

/// Like an import from an outbox that does not count attempts.
#[tokio::test]
async fn failed_events_without_attempts_are_counted_as_failed() {
    let scene = Scene::new().await;
    let store = &scene.made.store;
    scene.enqueue(0..MANY).await;
    let sql = "UPDATE outbox_events SET status = 1 WHERE seq % 3 = 0";
    scene.own.execute(sql, []).unwrap();
    scene.compare().await;
    scene.counted().await;
    assert_eq!(scene.blocks(), 2);
    scene.compare().await;
    scene.settle(700, Disposition::Complete).await;
    let given_back = Disposition::GiveBack {
        next_attempt_at: None,
        refusal: None,
    };
    scene.settle(50, given_back).await;
    let sql = "DELETE FROM outbox_events WHERE seq % 7 = 0";
    scene.own.execute(sql, []).unwrap();
    scene.compare().await;
    let left = store.statistics(None).await.unwrap().undelivered() as usize;
    scene.settle(left, Disposition::Complete).await;
    let end = store.statistics(None).await.unwrap();
    assert_eq!((end.undelivered(), end.failed_count), (0, 0));
}

#[tokio::test]
async fn events_of_other_writers_are_counted_and_rolled_back_ones_are_not() {
    let scene = Scene::filled().await;
    let mut own = scene.made.connect();
    let tx = own.transaction().unwrap();
    let notes: Vec<Note> = (MANY..2 * MANY).map(note).collect();
    enqueue_all(&notes).on(&tx).unwrap();
    scene.compare().await;
    tx.rollback().unwrap();
    scene.compare().await;

    let mut tx = own.transaction().unwrap();
    let kept: Vec<Note> = (MANY..MANY + 2_000).map(note).collect();
    enqueue_all(&kept).on(&tx).unwrap();
    let savepoint = tx.savepoint().unwrap();
    enqueue_all(&notes[2_000..]).on(&savepoint).unwrap();
    drop(savepoint);
    note_of("u2", 1).enqueue_sync().on(&tx).unwrap();
    tx.commit().unwrap();
    scene.compare().await;
    scene.counted().await;
    assert_eq!(scene.blocks(), 4);
    scene.compare().await;

    // An unsupported driver.
    let event = NewEvent::new("note", 1, "u3", Operation::Create);
    let (sql, params) = foreign_insert(&event);
    own.execute(sql, params).unwrap();
    scene.compare().await;

    // Another store on the same file, like another process.
    let other = SqliteStore::builder(&scene.made.path).clock(scene.clock.clone());
    let other = other.open().await.unwrap();
    let claims = other.claim(&ClaimRequest::new(500, LEASE)).await.unwrap();
    scene.compare().await;
    for claim in &claims[..100] {
        other.mark_as_completed(&claim.lease).await.unwrap();
    }
    scene.compare().await;
    assert_eq!(other.statistics(None).await.unwrap(), scene.recounted(None));
    other.close().await;
}

#[tokio::test]
async fn an_event_that_folds_into_a_counted_one_is_counted() {
    let scene = Scene::new().await;
    let draft =
        |operation| NewEvent::new("draft", 7, "u1", operation).with_coalesce(Coalesce::Latest);
    let store = &scene.made.store;
    store.create_event(draft(Operation::Create)).await.unwrap();
    scene.enqueue(100..MANY).await;
    scene.counted().await;
    // Created and deleted before the first attempt: completed.
    let tx = scene.own.unchecked_transaction().unwrap();
    outbox_runtime::EventSink::enqueue(&tx, Ok(draft(Operation::Delete))).unwrap();
    tx.commit().unwrap();
    assert_eq!(scene.recounted(None).completed_count, 1);
    scene.compare().await;
}

#[tokio::test]
async fn rows_deleted_by_sql_are_not_counted_and_new_ones_are() {
    let scene = Scene::filled().await;
    let delete = |from, to| {
        scene
            .own
            .execute(
                "DELETE FROM outbox_events WHERE seq BETWEEN ?1 AND ?2",
                [from, to],
            )
            .unwrap();
    };
    delete(500, 1_500);
    scene.compare().await;
    // The last rows are deleted, and new ones enter counted blocks.
    delete(1_700, MANY);
    assert_eq!(scene.blocks(), 1);
    scene.compare().await;
    scene.enqueue(2 * MANY..3 * MANY).await;
    scene.counted().await;
    scene.compare().await;
    delete(0, 10 * MANY);
    assert_eq!(scene.blocks(), 0);
    scene.compare().await;
    scene.enqueue(0..MANY).await;
    scene.counted().await;
    scene.compare().await;
}

#[tokio::test]
async fn events_are_counted_for_each_user_separately() {
    let scene = Scene::new().await;
    let store = &scene.made.store;
    for user in ["u1", "u2"] {
        let notes: Vec<Note> = (0..2_000).map(|id| note_of(user, id)).collect();
        enqueue_all(&notes).on(store).await.unwrap();
    }
    // The middle block has events of both users, and so is of use to neither.
    scene.counted().await;
    scene.compare().await;
    scene.settle(1_500, Disposition::Complete).await;
    assert_eq!(store.reassign_user("u1", "u3").await.unwrap(), 2_000);
    scene.compare().await;
    store.delete_all_events_for_user("u2").await.unwrap();
    scene.enqueue(0..MANY).await;
    scene.counted().await;
    scene.compare().await;
}

#[tokio::test]
async fn a_clock_that_jumps_does_not_mislead_the_counts() {
    let scene = Scene::new().await;
    let now = scene.clock.now();
    for (batch, minutes) in [0_i64, 30, -40, 10, 4, -3].into_iter().enumerate() {
        scene.clock.set(now + chrono::TimeDelta::minutes(minutes));
        let first = i64::try_from(batch).unwrap() * 700;
        scene.enqueue(first..first + 700).await;
    }
    scene.counted().await;
    for minutes in [-50, -36, 0, 5, 8, 12, 40] {
        scene.clock.set(now + chrono::TimeDelta::minutes(minutes));
        scene.compare().await;
    }
    scene.clock.set(now + chrono::TimeDelta::minutes(60));
    scene.settle(2_500, Disposition::Complete).await;
}

/// The comparison notices a wrong count, which proves that the answers come from blocks.
#[tokio::test]
async fn a_wrong_count_is_noticed() {
    for column in ["fresh", "retrying", "completed", "dead"] {
        let scene = Scene::filled().await;
        let off = format!("UPDATE outbox_tally SET {column} = {column} + 1 WHERE block = 1");
        scene.own.execute_batch(&off).unwrap();
        let told = scene.made.store.statistics(None).await.unwrap();
        assert_ne!(told, scene.recounted(None), "{column}");
        // A recount corrects it.
        scene.own.execute_batch("DELETE FROM outbox_tally").unwrap();
        scene.compare().await;
        scene.counted().await;
        scene.compare().await;
    }
}
