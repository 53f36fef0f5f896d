//! Many finished events whose rows and index entries are still there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests, too"
)]

use std::time::Duration;

use outbox_postgres::PostgresStore;
use outbox_postgres::tokio_postgres::{Client, IsolationLevel};
use outbox_postgres_tests::{connect, entries_read, is_indexed, open, soon};
use outbox_runtime::store::{
    BatchSink, Claim, ClaimRequest, Disposition, FollowRequest, OutboxQueue, Settlement,
    SystemClock,
};
use outbox_runtime::{Clock, EventSink, NewEvent, Operation};

const FINISHED: i64 = 60_000;

fn note(entity: i64) -> NewEvent {
    NewEvent::new("note", entity, "u1", Operation::Update)
}

/// Leaves index entries of candidates that are gone, and that no scan may forget while `client` has
/// its snapshot.
async fn finish_many(store: &PostgresStore, client: &Client) {
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class";
    client.batch_execute(begin).await.unwrap();
    let schema = store.schema();
    let finish = format!(
        "INSERT INTO {schema}.events (id, entity_lane, lane_order, event_type, operation, user_id, entity_id,
            priority, max_attempts, metadata_version, on_dead, created_at, due)
        SELECT gen_random_uuid(), i, 'n', 'note', 'u', 'u1', i::text, 0, 5, 1, 'h', now(), now()
        FROM generate_series(1, {FINISHED}) i;
        DELETE FROM {schema}.events"
    );
    connect().await.batch_execute(&finish).await.unwrap();
}

async fn claimed(store: &PostgresStore) -> Vec<i64> {
    let request = ClaimRequest::new(10, Duration::from_secs(60));
    let claims = store.claim(&request).await.unwrap();
    let entities = claims
        .iter()
        .map(|claim| claim.event.entity_id.as_integer());
    entities.map(Option::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_beside_an_old_snapshot_do_not_step_over_all_finished_events_each_time() {
    let store = open(|store| store.pool_size(1)).await;
    let (holder, client) = (connect().await, connect().await);
    finish_many(&store, &holder).await;
    let before = entries_read(&store, &client, &["events_ready"]).await;
    for entity in 1..=100 {
        (&store).enqueue(Ok(note(entity))).await.unwrap();
        claimed(&store).await;
    }
    let read = entries_read(&store, &client, &["events_ready"]).await - before;
    assert!(read >= FINISHED, "the first claim reads all: {read}");
    assert!(read < 50 * FINISHED, "one in two reads all: {read}");
}

/// The users whose events a claim by turns alone takes, of at most three users after this one.
async fn turns_after(store: &PostgresStore, user: &str) -> Vec<String> {
    let request = ClaimRequest::new(3, Duration::from_secs(60)).with_turns(3, user);
    let claims = store.claim(&request).await.unwrap();
    claims
        .into_iter()
        .map(|claim| claim.event.user_id)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turns_beside_an_old_snapshot_do_not_step_over_all_finished_events_each_time() {
    let store = open(|store| store.pool_size(2)).await;
    let (holder, client) = (connect().await, connect().await);
    turns_after(&store, "").await;
    is_indexed(&store, &client, "events_by_user").await;
    finish_many(&store, &holder).await;
    let before = entries_read(&store, &client, &["events_by_user"]).await;
    let mut last = String::new();
    for round in 0..100 {
        for user in ["u0", "u1", "u2"] {
            let event = NewEvent::new("note", round, user, Operation::Update);
            (&store).enqueue(Ok(event)).await.unwrap();
        }
        if round == 50 {
            let event = NewEvent::new("note", round, "newcomer", Operation::Update);
            (&store).enqueue(Ok(event)).await.unwrap();
        }
        soon("the events of all users are claimed", async {
            let mut left = if round == 50 { 4 } else { 3 };
            while left > 0 {
                let users = turns_after(&store, &last).await;
                left -= users.len();
                last = users.last().cloned().unwrap_or_default();
            }
        })
        .await;
    }
    let read = entries_read(&store, &client, &["events_by_user"]).await - before;
    assert!(read >= FINISHED, "the first look reads all: {read}");
    assert!(read < 50 * FINISHED, "one in two reads all: {read}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_becomes_due_earlier_than_claims_look_is_found_soon() {
    let store = open(|store| store).await;
    let (holder, mut client) = (connect().await, connect().await);
    finish_many(&store, &holder).await;
    let request = ClaimRequest::new(10, Duration::from_secs(60));
    for round in 0..20 {
        // It has an earlier due time than those that are claimed before its commit.
        let begin = client.build_transaction();
        let late = begin.isolation_level(IsolationLevel::ReadCommitted).start();
        let late = late.await.unwrap();
        let entity = 1_000 + round;
        store
            .outbox()
            .on(&late)
            .enqueue(Ok(note(entity)))
            .await
            .unwrap();
        for other in 1..=5 {
            (&store)
                .enqueue(Ok(note(round * 10 + other)))
                .await
                .unwrap();
            claimed(&store).await;
        }
        late.commit().await.unwrap();
        soon("the late event is claimed", async {
            loop {
                if claimed(&store).await.contains(&entity) {
                    break;
                }
                let due = store.next_due(&request).await.unwrap();
                let left = due.expect("a worker does not sleep") - store.clock().now();
                SystemClock.sleep(left.to_std().unwrap_or_default()).await;
            }
        })
        .await;
        assert_eq!(claimed(&store).await, [0; 0]);
    }
}

/// Completes these events one by one.
async fn complete(store: &PostgresStore, claims: &[Claim]) {
    for claim in claims {
        let settlement = Settlement {
            lease: claim.lease,
            disposition: Disposition::Complete,
        };
        store.settle(vec![settlement]).await.unwrap();
    }
}

/// The events of these lanes, the first of each leased. The statistics are from a time at which no
/// event was blocked or with a handler: to the planner, the indexes of those look empty.
async fn leased_fronts(
    store: &PostgresStore,
    client: &Client,
    (lanes, per_lane): (i64, i64),
) -> Vec<Claim> {
    let events = (0..lanes * per_lane).map(|nth| Ok(note(nth % lanes)));
    store.enqueue_all(events).await.unwrap();
    let analyze = format!("ANALYZE {}.events", store.schema());
    client.batch_execute(&analyze).await.unwrap();
    let claims = store.claim(&front_of_each(lanes)).await.unwrap();
    assert_eq!(claims.len() as i64, lanes, "the first event of each lane");
    claims
}

fn front_of_each(lanes: i64) -> ClaimRequest {
    ClaimRequest::new(lanes as usize, Duration::from_secs(60))
}

/// The number of entries that scans have read from each of these indexes.
async fn entries_of_each(store: &PostgresStore, client: &Client, indexes: &[&str]) -> Vec<i64> {
    let mut read = Vec::new();
    for index in indexes {
        read.push(entries_read(store, client, &[index]).await);
    }
    read
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcomes_read_no_index_whole_whatever_the_last_statistics_say() {
    let (lanes, per_lane) = (500, 20);
    let store = open(|store| store.pool_size(1)).await;
    let client = connect().await;
    let request = front_of_each(lanes);
    let claims = leased_fronts(&store, &client, (lanes, per_lane)).await;
    // It steps over the events behind them, and blocks them.
    assert_eq!(store.claim(&request).await.unwrap().len(), 0);
    let sql = format!(
        "SELECT count(*) FROM {}.events WHERE slot = 'b'",
        store.schema()
    );
    let blocked: i64 = client.query_one(&sql, &[]).await.unwrap().get(0);
    assert_eq!(blocked, lanes * (per_lane - 1));

    let indexes = [
        "events_blocked",
        "events_taken",
        "events_front",
        "events_ready",
    ];
    let before = entries_of_each(&store, &client, &indexes).await;
    let outcomes = 100;
    complete(&store, &claims[..outcomes]).await;
    let after = entries_of_each(&store, &client, &indexes).await;
    for ((index, before), after) in indexes.into_iter().zip(before).zip(after) {
        let read = after - before;
        let each = read / outcomes as i64;
        assert!(each < 50, "an outcome reads {each} entries of {index}");
    }
    let next = store.claim(&request).await.unwrap();
    assert_eq!(next.len(), outcomes, "the next events of their lanes");
}

/// Events of one user, and one of each of `others` that are less urgent.
fn urgent_and_others(count: i64, others: i64) -> impl Iterator<Item = NewEvent> {
    let urgent = (0..count).map(|nth| note(nth).with_priority(9));
    let others = (0..others).map(|nth| {
        let user = format!("other-{nth:02}");
        NewEvent::new("note", nth, user.as_str(), Operation::Update)
    });
    urgent.chain(others)
}

/// The first worker for all users of a large outbox creates the index for turns, which waits for
/// transactions that are open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turns_read_the_candidates_once_while_their_index_is_not_there() {
    let (backlog, others) = (4_000, 40);
    let store = open(|store| store.pool_size(2)).await;
    let (mut holder, client) = (connect().await, connect().await);
    let events = urgent_and_others(backlog, others).map(Ok);
    (&store).enqueue_all(events).await.unwrap();
    let open = holder.transaction().await.unwrap();
    let outbox = store.outbox();
    outbox.on(&open).enqueue(Ok(note(-1))).await.unwrap();

    let before = entries_read(&store, &client, &["events_ready"]).await;
    let (mut left, mut claims, mut last) = (others as usize, 0, String::new());
    soon("all users have had a turn", async {
        while left > 0 {
            let request = ClaimRequest::new(12, Duration::from_secs(60)).with_turns(4, &last);
            let claimed = store.claim(&request).await.unwrap();
            let users = claimed.iter().map(|claim| &claim.event.user_id);
            left -= users.filter(|user| user.starts_with("other")).count();
            claims += 1;
            last.clone_from(&claimed.last().unwrap().event.user_id);
        }
    })
    .await;
    let read = entries_read(&store, &client, &["events_ready"]).await - before;
    let most = claims * (backlog + others + 1_000);
    assert!(read < most, "{claims} claims read {read} entries");

    open.commit().await.unwrap();
    is_indexed(&store, &client, "events_by_user").await;
}

/// As above, for events that are leased behind others of their lanes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_of_lanes_read_no_index_whole_whatever_the_last_statistics_say() {
    let (lanes, per_lane, batch) = (400, 20, 10);
    let store = open(|store| store.pool_size(1)).await;
    let client = connect().await;
    let request = front_of_each(lanes);
    let firsts = leased_fronts(&store, &client, (lanes, per_lane)).await;
    let (others, measured) = firsts.split_at(350);
    for first in others {
        let request = FollowRequest::new(vec![first.lease], batch - 1);
        assert_eq!(store.follow(&request).await.unwrap().len(), batch - 1);
    }

    let indexes = [
        "events_following",
        "events_blocked",
        "events_taken",
        "events_front",
        "events_ready",
    ];
    let before = entries_of_each(&store, &client, &indexes).await;
    for first in measured {
        let request = FollowRequest::new(vec![first.lease], batch - 1);
        let mut claims = store.follow(&request).await.unwrap();
        claims.insert(0, first.clone());
        assert_eq!(claims.len(), batch);
        let done = claims.iter().map(|claim| Settlement {
            lease: claim.lease,
            disposition: Disposition::Complete,
        });
        store.settle(done.collect()).await.unwrap();
    }
    let after = entries_of_each(&store, &client, &indexes).await;
    for ((index, before), after) in indexes.into_iter().zip(before).zip(after) {
        let read = after - before;
        let each = read / measured.len() as i64;
        assert!(each < 150, "a batch reads {each} entries of {index}");
    }
    let next = store.claim(&request).await.unwrap();
    assert_eq!(next.len(), measured.len(), "the next events of their lanes");
}
