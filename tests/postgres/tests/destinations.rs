//! Claims that leave destinations out: the same events with and without the index by destination,
//! and no scan of the backlog of a full destination again and again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests, too"
)]

use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox_postgres::PostgresStore;
use outbox_postgres::tokio_postgres::Client;
use outbox_postgres_tests::{connect, entries_read, index_by_destination, is_indexed, open, soon};
use outbox_runtime::store::{BatchSink, Claim, ClaimRequest, EventTypes, OutboxQueue, Selector};
use outbox_runtime::{
    Clock, EventSink, MemoryStore, NewEvent, Operation, OutboxRepository, Pause, PauseScope,
};
use outbox_testing::{ManualClock, SeededRng};

const LEASE: Duration = Duration::from_secs(60);

fn note_to(entity: i64, destination: &str) -> NewEvent {
    NewEvent::new("note", entity, "u1", Operation::Update).with_destination(destination)
}

fn to(destination: Option<&str>) -> Selector {
    Selector::new().destination(destination)
}

fn seqs(claims: &[Claim]) -> Vec<i64> {
    claims.iter().map(|claim| claim.event.seq).collect()
}

fn entities(claims: &[Claim]) -> Vec<i64> {
    let ids = claims
        .iter()
        .map(|claim| claim.event.entity_id.as_integer());
    ids.map(Option::unwrap).collect()
}

fn only_types(types: &[&str]) -> EventTypes {
    EventTypes::Only(types.iter().map(|&it| it.to_owned()).collect())
}

/// Claims random events of these destinations from a PostgreSQL store and from one in memory, until
/// none is left, and compares.
async fn take_the_same(destinations: &[Option<String>], has_index: bool, seed: u64) {
    let clock = ManualClock::new();
    let memory = MemoryStore::with_clock(clock.clone());
    let postgres = open(|store| store.clock(clock.clone())).await;
    if has_index {
        index_by_destination(postgres.schema()).await;
    }
    let mut rng = SeededRng::new(seed);
    let mut events = Vec::new();
    for entity in 0..400_i64 {
        let event_type = *rng.pick(&["note", "task"]);
        let user = *rng.pick(&["u1", "u2", "u3"]);
        let mut event = NewEvent::new(event_type, entity, user, Operation::Update)
            .with_priority(*rng.pick(&[-1, 0, 7]));
        if let Some(destination) = rng.pick(destinations) {
            event = event.with_destination(destination.as_str());
        }
        memory.create_event(event.clone()).await.unwrap();
        events.push(event);
        if rng.chance(50) {
            BatchSink::enqueue_all(&postgres, events.drain(..).map(Ok))
                .await
                .unwrap();
            clock.advance(Duration::from_micros(1));
        }
    }
    BatchSink::enqueue_all(&postgres, events.into_iter().map(Ok))
        .await
        .unwrap();
    let mut left = 400;
    while left > 0 {
        let limit = usize::try_from(1 + rng.below(9)).unwrap();
        let (one, other) = (
            rng.pick(destinations).clone(),
            rng.pick(destinations).clone(),
        );
        let (one, other) = (one.as_deref(), other.as_deref());
        let all = ClaimRequest::new(limit, LEASE);
        let request = match rng.below(8) {
            0 => all.except(to(one)),
            1 => all.except(to(one)).except(to(other)),
            2 => all.except(to(one).user("u1")).except(to(other)),
            3 => all
                .with_event_types(only_types(&["note"]))
                .except(to(one).event_types(only_types(&["note", "task"]))),
            4 => all.except(to(one).event_types(only_types(&["task"]))),
            5 => all.only(to(one)).except(to(other)),
            6 => all.with_turns(2, "u1").except(to(one)),
            // Whatever is left.
            _ => all,
        };
        let now = clock.now();
        let is_due = |due: Option<DateTime<Utc>>| due.is_some_and(|due| due <= now);
        assert_eq!(
            is_due(postgres.next_due(&request).await.unwrap()),
            is_due(memory.next_due(&request).await.unwrap()),
            "{request:?}"
        );
        let here = seqs(&postgres.claim(&request).await.unwrap());
        let there = seqs(&memory.claim(&request).await.unwrap());
        assert_eq!(here, there, "{request:?}");
        left -= here.len();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_by_destination_take_the_same_events_with_and_without_the_index() {
    let names = [None, Some("a"), Some("a!"), Some("b"), Some("ü")];
    let names = names.map(|name| name.map(str::to_owned));
    take_the_same(&names, true, 7).await;
    take_the_same(&names, false, 7).await;
}

/// More than are looked at one by one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_take_the_same_events_where_destinations_are_many() {
    let names: Vec<_> = (0..90).map(|nth| Some(format!("d{nth}"))).collect();
    take_the_same(&names, true, 8).await;
}

/// The indexes of candidates.
const INDEXES: &[&str] = &["events_ready", "events_by_destination"];

const BACKLOG: i64 = 20_000;

/// Urgent events for the destination `full`, each of a lane of its own.
async fn backlog_of_full(store: &PostgresStore, client: &Client) {
    let insert = format!(
        "INSERT INTO {}.events (id, entity_lane, lane_order, event_type, operation, user_id, entity_id,
            priority, max_attempts, metadata_version, on_dead, created_at, due, destination)
        SELECT gen_random_uuid(), i, 'n', 'note', 'u', 'u1', i::text, 9, 5, 1, 'h', now(), now(), 'full'
        FROM generate_series(1, {BACKLOG}) i",
        store.schema()
    );
    client.batch_execute(&insert).await.unwrap();
}

/// Enqueues an event for a free destination, and claims it past the backlog of the full one.
async fn claim_one_more(store: &PostgresStore, entity: i64) {
    let others = ClaimRequest::new(10, LEASE).except(to(Some("full")));
    store.enqueue(Ok(note_to(entity, "free"))).await.unwrap();
    let claims = store.claim(&others).await.unwrap();
    assert_eq!(entities(&claims), [entity]);
    // The end of the lease at the latest.
    assert!(store.next_due(&others).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_do_not_read_the_backlog_of_a_full_destination_each_time() {
    let store = open(|store| store.pool_size(1)).await;
    let client = connect().await;
    backlog_of_full(&store, &client).await;
    // The control: in claim order, each claim reads it.
    let start = entries_read(&store, &client, INDEXES).await;
    let in_order = 5;
    for entity in 0..in_order {
        claim_one_more(&store, entity).await;
    }
    is_indexed(&store, &client, "events_by_destination").await;
    let before = entries_read(&store, &client, INDEXES).await;
    assert!(before - start >= 3 * BACKLOG, "{}", before - start);

    let claims = 100;
    for nth in 0..claims {
        claim_one_more(&store, in_order + nth).await;
    }
    let read = entries_read(&store, &client, INDEXES).await - before;
    assert!(read < BACKLOG, "{claims} claims read {read} entries");
    // Once there is a place, the held events follow in order.
    let of_full = ClaimRequest::new(3, LEASE).only(to(Some("full")));
    let all = ClaimRequest::new(3, LEASE);
    assert_eq!(entities(&store.claim(&of_full).await.unwrap()), [1, 2, 3]);
    assert_eq!(entities(&store.claim(&all).await.unwrap()), [4, 5, 6]);
}

/// The same for a destination that an operator pauses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_destination_costs_claims_no_scan_of_its_backlog() {
    let store = open(|store| store.pool_size(1)).await;
    let client = connect().await;
    backlog_of_full(&store, &client).await;
    index_by_destination(store.schema()).await;
    store.pause(&Pause::destination("full")).await.unwrap();
    let claim_one_more = async |entity: i64| {
        (&store).enqueue(Ok(note_to(entity, "free"))).await.unwrap();
        let claims = store.claim(&ClaimRequest::new(10, LEASE)).await;
        assert_eq!(entities(&claims.unwrap()), [entity]);
    };
    // The first claim learns of the pause.
    claim_one_more(0).await;
    let before = entries_read(&store, &client, INDEXES).await;
    for entity in 1..=50 {
        claim_one_more(entity).await;
    }
    let read = entries_read(&store, &client, INDEXES).await - before;
    assert!(read < BACKLOG, "50 claims read {read} entries");
    let scope = PauseScope::Destination("full".to_owned());
    assert!(store.unpause(&scope).await.unwrap());
    let claims = store.claim(&ClaimRequest::new(2, LEASE)).await.unwrap();
    assert_eq!(entities(&claims), [1, 2]);
}

/// Some events of a lane are for a full destination, and some are not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_waits_for_its_event_at_a_full_destination() {
    let store = open(|store| store).await;
    index_by_destination(store.schema()).await;
    let others = ClaimRequest::new(10, LEASE).except(to(Some("full")));
    for destination in ["full", "free", "full"] {
        (&store).enqueue(Ok(note_to(7, destination))).await.unwrap();
    }
    (&store).enqueue(Ok(note_to(8, "free"))).await.unwrap();
    let other = store.claim(&others).await.unwrap();
    assert_eq!(
        entities(&other),
        [8],
        "the others wait for the first of their lane"
    );
    assert!(store.claim(&others).await.unwrap().is_empty());
    let all = ClaimRequest::new(10, LEASE);
    for destination in ["full", "free", "full"] {
        let claims = store.claim(&all).await.unwrap();
        let [claim] = &claims[..] else {
            panic!("{claims:?}");
        };
        assert_eq!(claim.event.destination.as_deref(), Some(destination));
        store.mark_as_completed(&claim.lease).await.unwrap();
    }
}

/// A look at a destination may end before the first event that can be taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_destination_goes_first_because_events_of_another_wait_in_their_lane() {
    let store = open(|store| store).await;
    index_by_destination(store.schema()).await;
    let one_by_one = (0..41).map(|_| note_to(0, "a"));
    let free = (1..=4).map(|entity| note_to(entity, "a"));
    let later = (5..50).map(|entity| note_to(entity, "b"));
    let events = one_by_one.chain(free).chain(later).map(Ok);
    BatchSink::enqueue_all(&store, events).await.unwrap();
    let others = |limit| ClaimRequest::new(limit, LEASE).except(to(Some("full")));
    assert_eq!(entities(&store.claim(&others(1)).await.unwrap()), [0]);
    // So that the next claim has to step over them.
    let unblock = format!(
        "UPDATE {}.events SET slot = 'r' WHERE slot = 'b'",
        store.schema()
    );
    connect().await.batch_execute(&unblock).await.unwrap();
    let next = store.claim(&others(4)).await.unwrap();
    assert_eq!(entities(&next), [1, 2, 3, 4]);
}

/// Workers whose claims meet do not take what another one has locked for the end of the events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_by_destination_step_over_events_that_somebody_has_locked() {
    let store = open(|store| store).await;
    index_by_destination(store.schema()).await;
    let events = (0..200).map(|entity| Ok(note_to(entity, "free")));
    BatchSink::enqueue_all(&store, events).await.unwrap();
    let mut client = connect().await;
    let locking = client.transaction().await.unwrap();
    let lock = format!(
        "SELECT 1 FROM {}.events WHERE seq <= (SELECT min(seq) + 149 FROM {}.events) FOR UPDATE",
        store.schema(),
        store.schema()
    );
    assert_eq!(locking.query(&lock, &[]).await.unwrap().len(), 150);
    let others = ClaimRequest::new(4, LEASE).except(to(Some("full")));
    let claims = store.claim(&others).await.unwrap();
    assert_eq!(entities(&claims), [150, 151, 152, 153]);
    locking.commit().await.unwrap();
    let claims = store.claim(&others).await.unwrap();
    assert_eq!(entities(&claims), [0, 1, 2, 3]);
}

/// Nobody needs the index for good: a store that misses it creates it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_by_destination_that_was_dropped_is_created_again_where_it_is_needed() {
    let store = open(|store| store.pool_size(1)).await;
    let client = connect().await;
    backlog_of_full(&store, &client).await;
    index_by_destination(store.schema()).await;
    claim_one_more(&store, 0).await;
    let drop = format!("DROP INDEX {}.events_by_destination", store.schema());
    client.batch_execute(&drop).await.unwrap();
    let exists = format!(
        "SELECT to_regclass('{}.events_by_destination') IS NOT NULL",
        store.schema()
    );
    soon("the index is there again", async {
        for entity in 1.. {
            claim_one_more(&store, entity).await;
            if client.query_one(&exists, &[]).await.unwrap().get(0) {
                break;
            }
        }
    })
    .await;
}
