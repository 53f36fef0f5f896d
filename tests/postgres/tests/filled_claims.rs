//! A claim with turns is filled by one statement, and so by one commit, whatever its turns find.
//! Each statement of a claim has a lease token of its own.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use std::collections::BTreeSet;
use std::time::Duration;

use outbox_postgres::PostgresStore;
use outbox_postgres_tests::{connect, is_indexed, open};
use outbox_runtime::store::{BatchSink as _, Claim, ClaimRequest, OutboxQueue as _};
use outbox_runtime::{NewEvent, Operation};
use uuid::Uuid;

const USERS: [&str; 3] = ["u1", "u2", "u3"];
const LIMIT: usize = 20;
const IN_ORDER: usize = LIMIT - LIMIT / 4;

/// A claim in which a quarter of the places are turns.
async fn claim_after(store: &PostgresStore, user: &str) -> Vec<Claim> {
    let request = ClaimRequest::new(LIMIT, Duration::from_secs(60));
    let request = request.with_turns(LIMIT / 4, user);
    store.claim(&request).await.unwrap()
}

/// A store with so many events of each user, in turn, and the index by user.
async fn with_events(of_each: i64) -> PostgresStore {
    let store = open(|store| store).await;
    claim_after(&store, "").await;
    is_indexed(&store, &connect().await, "events_by_user").await;
    let note = |id, user| NewEvent::new("note", id, user, Operation::Update);
    let events = (0..of_each).flat_map(|id| USERS.map(|user| Ok(note(id, user))));
    store.enqueue_all(events).await.unwrap();
    store
}

/// The same after a claim that was filled: one after an empty outbox expects no more than a scan in
/// order finds.
async fn under_load(of_each: i64) -> PostgresStore {
    let store = with_events(of_each).await;
    assert_eq!(claim_after(&store, "").await.len(), LIMIT);
    store
}

fn statements(claims: &[Claim]) -> usize {
    let tokens = claims.iter().map(|claim| claim.lease.token.as_uuid());
    tokens.collect::<BTreeSet<_>>().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_statement_fills_a_claim_with_more_turns_than_users() {
    let store = under_load(100).await;
    for (after, turns) in [
        ("", ["u1", "u2", "u3"]),
        ("u1", ["u2", "u3", "u1"]),
        ("u2", ["u3", "u1", "u2"]),
        ("u3", ["u1", "u2", "u3"]),
        ("nobody", ["u1", "u2", "u3"]),
    ] {
        let claims = claim_after(&store, after).await;
        assert_eq!((claims.len(), statements(&claims)), (LIMIT, 1));
        let users: Vec<&str> = claims
            .iter()
            .map(|claim| claim.event.user_id.as_str())
            .collect();
        assert_eq!(users[IN_ORDER..][..3], turns, "the turns after {after:?}");
        let others = claims[..IN_ORDER].iter().chain(&claims[IN_ORDER + 3..]);
        let seqs: Vec<i64> = others.map(|claim| claim.event.seq).collect();
        assert!(seqs.is_sorted(), "the others are in order: {seqs:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_statement_fills_a_claim_while_others_take_the_first_event_of_each_user() {
    let store = under_load(100).await;
    let mut other = connect().await;
    let taking = other.transaction().await.unwrap();
    let first = format!(
        "SELECT id FROM {}.events WHERE slot = 'r' ORDER BY seq LIMIT {} FOR NO KEY UPDATE",
        store.schema(),
        USERS.len()
    );
    let firsts = taking.query(&first, &[]).await.unwrap();
    let mut locked: BTreeSet<Uuid> = firsts.iter().map(|row| row.get(0)).collect();
    assert_eq!(locked.len(), USERS.len());
    let claims = claim_after(&store, "u1").await;
    assert_eq!((claims.len(), statements(&claims)), (LIMIT, 1));
    assert!(claims.iter().all(|claim| !locked.contains(&claim.event.id)));
    taking.rollback().await.unwrap();
    for claim in claim_after(&store, "u1").await {
        locked.remove(&claim.event.id);
    }
    assert!(locked.is_empty(), "what was locked is claimed later");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rest_of_a_backlog_is_claimed_once() {
    let store = with_events(9).await;
    let first = claim_after(&store, "u2").await;
    let rest = claim_after(&store, "u2").await;
    assert_eq!((first.len(), rest.len()), (LIMIT, 7));
    let ids: BTreeSet<_> = first
        .iter()
        .chain(&rest)
        .map(|claim| claim.event.id)
        .collect();
    assert_eq!(ids.len(), 27);
    assert_eq!(claim_after(&store, "u2").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_beyond_one_scan_keeps_its_limit() {
    const LARGE: usize = 4_000;
    let store = under_load(3_000).await;
    let request = ClaimRequest::new(LARGE, Duration::from_secs(60));
    let request = request.with_turns(LARGE / 4, "u1");
    let claims = store.claim(&request).await.unwrap();
    assert_eq!(claims.len(), LARGE);
}
