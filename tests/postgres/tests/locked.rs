//! Rows that transactions of an application hold locked, from which no worker can take an event.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests, too"
)]

use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox_postgres::PostgresStore;
use outbox_postgres_tests::{connect, open, soon};
use outbox_runtime::store::{Claim, ClaimRequest};
use outbox_runtime::{NewEvent, prelude::*};
use outbox_testing::ManualClock;

const LEASE: Duration = Duration::from_secs(60);

/// The longest pause between looks at what is locked.
const LONGEST: Duration = Duration::from_millis(500);

async fn create(store: &PostgresStore, event: NewEvent) -> OutboxEvent {
    store.create_event(event).await.unwrap()
}

fn event(id: i64) -> NewEvent {
    NewEvent::new("note", id, "u1", Operation::Update)
}

async fn claim(store: &PostgresStore, lease: Duration) -> Vec<Claim> {
    store.claim(&ClaimRequest::new(9, lease)).await.unwrap()
}

/// How long a worker without work sleeps; `None`: until it is woken.
async fn sleeps(store: &PostgresStore) -> Option<Duration> {
    let due: Option<DateTime<Utc>> = store.next_due(&ClaimRequest::new(9, LEASE)).await.unwrap();
    due.map(|due| (due - store.clock().now()).to_std().unwrap_or_default())
}

/// Asks until the pause has its full length.
async fn sleeps_at_last(store: &PostgresStore) {
    let mut asked = 0;
    soon("the pauses become long", async {
        loop {
            let pause = sleeps(store).await.unwrap();
            assert!(!pause.is_zero() && pause <= LONGEST, "{pause:?}");
            asked += 1;
            if pause > LONGEST / 2 {
                break;
            }
        }
    })
    .await;
    assert!(asked < 20, "{asked}");
}

#[tokio::test]
async fn a_worker_asks_less_and_less_for_an_expired_lease_whose_row_is_locked() {
    let clock = ManualClock::new();
    let store = open(|store| store.clock(clock.clone())).await;
    let outbox = store.outbox();
    let mut client = connect().await;
    let kept = create(&store, event(1)).await;
    let claimed = claim(&store, LEASE).await.remove(0);
    let tx = client.transaction().await.unwrap();
    claimed.event.complete_on(outbox.on(&tx)).await.unwrap();
    clock.advance(LEASE);
    assert_eq!(store.rescue().await.unwrap().requeued, 0);
    sleeps_at_last(&store).await;
    // Others are rescued when their leases end.
    create(&store, event(2)).await;
    let short = Duration::from_millis(20);
    assert_eq!(claim(&store, short).await.len(), 1);
    assert_eq!(sleeps(&store).await, Some(short));
    clock.advance(short);
    assert_eq!(sleeps(&store).await, Some(Duration::ZERO));
    assert_eq!(store.rescue().await.unwrap().requeued, 1);
    assert_eq!(claim(&store, LEASE).await.len(), 1);
    tx.rollback().await.unwrap();
    assert_eq!(sleeps(&store).await, Some(Duration::ZERO));
    assert_eq!(store.rescue().await.unwrap().requeued, 1);
    assert_eq!(claim(&store, LEASE).await[0].event.id, kept.id);
    assert_eq!(sleeps(&store).await, Some(LEASE));
}

#[tokio::test]
async fn a_worker_asks_less_and_less_for_a_due_event_whose_row_is_locked() {
    let clock = ManualClock::new();
    let store = open(|store| store.clock(clock.clone())).await;
    let mut client = connect().await;
    let delayed = create(&store, event(1).with_delay(LEASE)).await;
    let later = create(&store, event(2).with_delay(LEASE * 2)).await;
    let tx = client.transaction().await.unwrap();
    let lock = format!(
        "SELECT 1 FROM {}.events WHERE id = $1 FOR UPDATE",
        store.schema()
    );
    tx.execute(&lock, &[&delayed.id]).await.unwrap();
    clock.advance(LEASE);
    assert_eq!(claim(&store, LEASE).await.len(), 0);
    sleeps_at_last(&store).await;
    clock.advance(LEASE);
    assert_eq!(claim(&store, LEASE).await[0].event.id, later.id);
    tx.rollback().await.unwrap();
    assert_eq!(sleeps(&store).await, Some(Duration::ZERO));
    assert_eq!(claim(&store, LEASE).await[0].event.id, delayed.id);
}
