//! Events that a worker leases behind one that it has in their lane: as long as it has any, nobody
//! else gets an event of that lane, whatever an application or an operator does meanwhile.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests, too"
)]

use std::time::Duration;

use outbox_postgres::PostgresStore;
use outbox_postgres::tokio_postgres::Client;
use outbox_postgres_tests::{connect, new_schema, open, open_in, soon};
use outbox_runtime::store::{
    BatchSink, CheckDepth, Claim, ClaimRequest, Disposition, FollowRequest, Settled, Settlement,
    Severity, Subject,
};
use outbox_runtime::{
    Clock, DeadReason, NewEvent, Pause, PauseScope, RawMetadata, WaitsFor, prelude::*,
};
use outbox_testing::ManualClock;
use uuid::Uuid;

const LEASE: Duration = Duration::from_secs(60);

fn note(entity: i64) -> NewEvent {
    NewEvent::new("note", entity, "u1", Operation::Update)
}

async fn enqueue(store: &PostgresStore, event: NewEvent, count: usize) {
    let events = (0..count).map(|_| Ok(event.clone().with_id(Uuid::now_v7())));
    store.enqueue_all(events).await.unwrap();
}

async fn claim(store: &PostgresStore) -> Vec<Claim> {
    store.claim(&ClaimRequest::new(9, LEASE)).await.unwrap()
}

/// The events behind the last of these, at most `limit`.
async fn follow(store: &PostgresStore, claims: &[Claim], limit: usize) -> Vec<Claim> {
    let after = claims.last().map(|claim| claim.lease);
    let request = FollowRequest::new(after.into_iter().collect(), limit);
    store.follow(&request).await.unwrap()
}

/// Claims the only lane and leases `count` events of it.
async fn batch(store: &PostgresStore, count: usize) -> Vec<Claim> {
    let mut claims = claim(store).await;
    assert_eq!(claims.len(), 1, "one event of the lane can be claimed");
    claims.extend(follow(store, &claims, count - 1).await);
    assert_eq!(claims.len(), count);
    claims
}

fn seqs(claims: &[Claim]) -> Vec<i64> {
    claims.iter().map(|claim| claim.event.seq).collect()
}

fn with(claim: &Claim, disposition: Disposition) -> Settlement {
    Settlement {
        lease: claim.lease,
        disposition,
    }
}

fn done(claim: &Claim) -> Settlement {
    with(claim, Disposition::Complete)
}

fn back(claim: &Claim) -> Settlement {
    let disposition = Disposition::GiveBack {
        next_attempt_at: None,
        refusal: None,
    };
    with(claim, disposition)
}

async fn settle(store: &PostgresStore, settlements: Vec<Settlement>) -> Vec<Settled> {
    soon("outcomes", store.settle(settlements)).await.unwrap()
}

/// Claims and completes one event after the other until there is none. Returns their seqs.
async fn drain(store: &PostgresStore) -> Vec<i64> {
    let mut drained = Vec::new();
    loop {
        let claims = claim(store).await;
        if claims.is_empty() {
            return drained;
        }
        drained.extend(seqs(&claims));
        let settlements = claims.iter().map(done).collect();
        let settled = settle(store, settlements).await;
        assert!(settled.iter().all(|settled| *settled == Settled::Recorded));
    }
}

async fn check_is_clean(store: &PostgresStore) {
    let findings = store.check(CheckDepth::Full).await.unwrap();
    let wrong = |subject| matches!(subject, Subject::Lanes | Subject::Statistics);
    let wrong: Vec<_> = findings.iter().filter(|it| wrong(it.subject)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

async fn execute(client: &Client, store: &PostgresStore, sql: &str) {
    let sql = sql.replace("{s}", store.schema());
    client.batch_execute(&sql).await.unwrap();
}

#[tokio::test]
async fn the_outcomes_of_a_batch_lead_to_the_next_events_of_the_lane() {
    let store = open(|store| store).await;
    enqueue(&store, note(1), 9).await;
    let first = batch(&store, 3).await;
    let request = ClaimRequest::new(9, LEASE);
    let settlements = first.iter().map(done).collect();
    let exchange = store.settle_and_claim(settlements, &request).await;
    assert_eq!(exchange.settled.unwrap(), [Settled::Recorded; 3]);
    let mut second = exchange.claimed.unwrap();
    assert_eq!(seqs(&second), [4], "the claim of the same transaction");
    second.extend(follow(&store, &second, 3).await);
    // Filled again behind the last one.
    second.extend(follow(&store, &second, 1).await);
    assert_eq!(seqs(&second), [4, 5, 6, 7, 8]);
    let fail = Disposition::Fail {
        next_attempt_at: store.clock().now(),
        message: "no".into(),
    };
    let mut outcomes = vec![done(&second[0]), with(&second[1], fail)];
    outcomes.extend(second[2..].iter().map(back));
    assert_eq!(settle(&store, outcomes).await, [Settled::Recorded; 5]);
    let failed = store.fetch_event(second[1].event.id).await.unwrap();
    let given_back = store.fetch_event(second[2].event.id).await.unwrap();
    assert_eq!(failed.unwrap().attempt_count, 1);
    assert_eq!(given_back.unwrap().attempt_count, 0);
    assert_eq!(drain(&store).await, [5, 6, 7, 8, 9]);
    check_is_clean(&store).await;
}

#[tokio::test]
async fn a_batch_is_cut_at_the_limits_and_where_an_event_does_not_follow() {
    let store = open(|store| store).await;
    let big = note(1).with_metadata(RawMetadata::from_bytes(format!("\"{}\"", "x".repeat(98))));
    enqueue(&store, big, 4).await;
    enqueue(&store, note(2), 3).await;
    enqueue(&store, NewEvent::new("goal", 3, "u1", Operation::Update), 1).await;
    enqueue(&store, note(3), 2).await;
    let first = claim(&store).await;
    assert_eq!(seqs(&first), [1, 5, 8]);
    let after: Vec<_> = first.iter().map(|claim| claim.lease).collect();
    let request = FollowRequest::new(after.clone(), 9).up_to_bytes(250);
    let followers = store.follow(&request).await.unwrap();
    assert_eq!(seqs(&followers), [2, 3], "the third has no room");
    for (claim, lease) in followers.iter().zip([after[0]; 2]) {
        assert_eq!(claim.lease.token, lease.token);
        assert_eq!(claim.lease.expires_at, lease.expires_at);
        assert_eq!(claim.event.attempt_count, 1);
    }
    let last = followers[1].lease;
    let request = FollowRequest::new(vec![last, after[2], after[1]], 2);
    let followers = store.follow(&request).await.unwrap();
    // The lane of the goal ends at once, after more rows than the limit were looked at.
    assert_eq!(seqs(&followers), [4, 6]);
    let stale = FollowRequest::new(vec![after[1]], 9);
    assert_eq!(store.follow(&stale).await.unwrap(), [], "not the last one");
    let pause = Pause::new(PauseScope::EventType("note".into()));
    store.pause(&pause).await.unwrap();
    let request = FollowRequest::new(vec![followers[1].lease], 9);
    assert_eq!(store.follow(&request).await.unwrap(), []);
    assert!(store.unpause(pause.scope()).await.unwrap());
    assert_eq!(seqs(&store.follow(&request).await.unwrap()), [7]);
}

#[tokio::test]
async fn the_lane_is_held_while_an_application_completes_one_of_several() {
    for (nth, commits) in [
        (0, true),
        (0, false),
        (1, true),
        (1, false),
        (2, true),
        (2, false),
    ] {
        let store = open(|store| store).await;
        let other = open_in(store.schema()).await;
        let mut client = connect().await;
        enqueue(&store, note(1), 4).await;
        let claims = batch(&store, 3).await;
        let tx = client.transaction().await.unwrap();
        let outbox = store.outbox();
        claims[nth].event.complete_on(outbox.on(&tx)).await.unwrap();
        let settled = settle(&store, claims.iter().map(done).collect()).await;
        let locked = settled.iter().map(|it| *it == Settled::Locked);
        let expected: Vec<bool> = (0..3).map(|it| it == nth).collect();
        assert_eq!(locked.collect::<Vec<_>>(), expected, "{settled:?}");
        assert_eq!(claim(&other).await, [], "the lane is not free yet");
        let settled = match commits {
            true => {
                tx.commit().await.unwrap();
                Settled::AlreadyCompleted
            }
            false => {
                tx.rollback().await.unwrap();
                Settled::Recorded
            }
        };
        assert_eq!(settle(&store, vec![done(&claims[nth])]).await, [settled]);
        let next = soon("the next event", async {
            loop {
                let claims = claim(&other).await;
                if !claims.is_empty() {
                    break claims;
                }
            }
        });
        assert_eq!(seqs(&next.await), [4]);
        check_is_clean(&store).await;
    }
}

#[tokio::test]
async fn no_event_goes_back_in_line_while_an_application_has_all_that_were_leased_behind_it() {
    let store = open(|store| store).await;
    let other = open_in(store.schema()).await;
    let mut client = connect().await;
    enqueue(&store, note(1), 3).await;
    let claims = batch(&store, 2).await;
    let tx = client.transaction().await.unwrap();
    let outbox = store.outbox();
    claims[1].event.complete_on(outbox.on(&tx)).await.unwrap();
    let settled = settle(&store, vec![back(&claims[0])]).await;
    assert_eq!(settled, [Settled::Locked], "it would be beside the second");
    assert_eq!(claim(&other).await, []);
    tx.rollback().await.unwrap();
    let settled = settle(&store, vec![back(&claims[0])]).await;
    assert_eq!(settled, [Settled::Recorded]);
    assert_eq!(claim(&other).await, [], "the second is still leased");
    let settled = settle(&store, vec![back(&claims[1])]).await;
    assert_eq!(settled, [Settled::Recorded]);
    assert_eq!(drain(&other).await, [1, 2, 3]);
}

#[tokio::test]
async fn one_that_goes_back_in_line_is_not_claimed_beside_those_behind_it() {
    let store = open(|store| store).await;
    enqueue(&store, note(1), 5).await;
    let claims = batch(&store, 4).await;
    assert_eq!(
        settle(&store, vec![back(&claims[0])]).await,
        [Settled::Recorded]
    );
    assert_eq!(claim(&store).await, []);
    assert_eq!(
        settle(&store, vec![back(&claims[2])]).await,
        [Settled::Recorded]
    );
    assert_eq!(claim(&store).await, []);
    let bury = Disposition::Bury {
        reason: DeadReason::Rejected,
        message: "no".into(),
    };
    assert_eq!(
        settle(&store, vec![with(&claims[3], bury)]).await,
        [Settled::Recorded]
    );
    assert_eq!(claim(&store).await, []);
    assert_eq!(
        settle(&store, vec![done(&claims[1])]).await,
        [Settled::Recorded]
    );
    assert_eq!(drain(&store).await, [1, 3], "then the dead one holds");
    let dead = claims[3].event.id;
    assert_eq!(store.reset_for_retry(&[dead]).await.unwrap(), 1);
    assert_eq!(drain(&store).await, [4, 5]);
    check_is_clean(&store).await;
}

#[tokio::test]
async fn one_that_an_application_completes_first_leaves_the_lane_to_the_others() {
    let store = open(|store| store).await;
    let other = open_in(store.schema()).await;
    enqueue(&store, note(1), 4).await;
    let claims = batch(&store, 3).await;
    let outbox = store.outbox();
    let client = connect().await;
    claims[0]
        .event
        .complete_on(outbox.on(&client))
        .await
        .unwrap();
    // It looks for what the completion left to be unblocked.
    assert_eq!(claim(&other).await, []);
    assert_eq!(claim(&other).await, []);
    let settled = settle(&store, claims.iter().map(done).collect()).await;
    let (before, now) = (Settled::AlreadyCompleted, Settled::Recorded);
    assert_eq!(settled, [before, now, now]);
    assert_eq!(drain(&other).await, [4]);
    check_is_clean(&store).await;
}

#[tokio::test]
async fn the_children_of_creations_are_free_once_these_are_completed_in_a_batch() {
    let client = connect().await;
    for completes_itself in [false, true] {
        let store = open(|store| store).await;
        for id in [1, 2] {
            let journal = NewEvent::new("journal", id, "u1", Operation::Create);
            enqueue(&store, journal.with_order(Order::User), 1).await;
        }
        for id in [1, 2] {
            let page = NewEvent::new("page", id, "u1", Operation::Create);
            enqueue(&store, page.with_after("journal", id), 1).await;
        }
        let claims = batch(&store, 2).await;
        assert_eq!(claim(&store).await, [], "the pages wait from now on");
        if completes_itself {
            for claimed in claims.iter().rev() {
                let outbox = store.outbox();
                claimed.event.complete_on(outbox.on(&client)).await.unwrap();
            }
        }
        settle(&store, claims.iter().map(done).collect()).await;
        let pages = soon("both pages", async {
            let mut pages = Vec::new();
            while pages.len() < 2 {
                pages.extend(seqs(&claim(&store).await));
            }
            pages
        });
        assert_eq!(pages.await, [3, 4]);
        check_is_clean(&store).await;
    }
}

#[tokio::test]
async fn deletions_leave_the_lane_to_those_that_are_still_leased() {
    let store = open(|store| store).await;
    let other = open_in(store.schema()).await;
    enqueue(&store, note(1), 5).await;
    let claims = batch(&store, 4).await;
    for nth in [0, 2] {
        assert!(other.delete_event(claims[nth].event.id).await.unwrap());
        assert_eq!(claim(&other).await, []);
    }
    let settled = settle(&store, claims.iter().map(done).collect()).await;
    let (lost, recorded) = (Settled::LeaseLost, Settled::Recorded);
    assert_eq!(settled, [lost, recorded, lost, recorded]);
    assert_eq!(drain(&other).await, [5]);
    enqueue(&store, note(1), 3).await;
    batch(&store, 2).await;
    let deleted = other.delete_events_for_entities(&[1.into()], None).await;
    assert_eq!(deleted.unwrap(), 6, "all there are");
    check_is_clean(&store).await;
}

#[tokio::test]
async fn an_earlier_event_that_commits_late_goes_before_more_are_leased() {
    let store = open(|store| store).await;
    let mut client = connect().await;
    enqueue(&store, note(1), 1).await;
    let late = client.transaction().await.unwrap();
    let outbox = store.outbox();
    outbox.on(&late).enqueue(Ok(note(1))).await.unwrap();
    enqueue(&store, note(1), 2).await;
    let claims = batch(&store, 2).await;
    assert_eq!(seqs(&claims), [1, 3]);
    late.commit().await.unwrap();
    assert_eq!(follow(&store, &claims, 9).await, []);
    assert_eq!(claim(&store).await, [], "it is blocked behind them");
    settle(&store, vec![done(&claims[0]), back(&claims[1])]).await;
    assert_eq!(drain(&store).await, [2, 3, 4]);
}

#[tokio::test]
async fn a_lease_is_rescued_after_an_application_lets_go_of_those_behind_it() {
    let clock = ManualClock::new();
    let store = open(|store| store.clock(clock.clone())).await;
    let mut client = connect().await;
    enqueue(&store, note(1), 3).await;
    let claims = batch(&store, 2).await;
    let request = ClaimRequest::new(9, LEASE);
    let due = store.next_due(&request).await.unwrap();
    assert_eq!(due, Some(clock.now() + LEASE));
    let tx = client.transaction().await.unwrap();
    let outbox = store.outbox();
    claims[1].event.complete_on(outbox.on(&tx)).await.unwrap();
    clock.advance(LEASE);
    assert_eq!(store.rescue().await.unwrap().requeued, 0);
    let due = store.next_due(&request).await.unwrap();
    assert!(due.is_some_and(|due| due > clock.now()), "no worker spins");
    tx.rollback().await.unwrap();
    assert_eq!(store.rescue().await.unwrap().requeued, 2);
    let again = claim(&store).await;
    assert_eq!(seqs(&again), [1]);
    assert_eq!(follow(&store, &again, 9).await, [], "it is sent alone");
    settle(&store, vec![done(&again[0])]).await;
    assert_eq!(drain(&store).await, [2, 3]);
}

#[tokio::test]
async fn one_of_several_leases_is_rescued_without_letting_others_in() {
    let clock = ManualClock::new();
    let store = open(|store| store.clock(clock.clone())).await;
    enqueue(&store, note(1), 4).await;
    let claims = batch(&store, 3).await;
    clock.advance(LEASE);
    for nth in [1, 0, 2] {
        assert_eq!(claim(&store).await, [], "before that of {nth}");
        let only = [claims[nth].lease];
        let (_, rescued) = store.rescue_others(&[], Some(&only)).await.unwrap();
        assert_eq!(rescued.requeued, 1);
    }
    assert_eq!(drain(&store).await, [1, 2, 3, 4]);
    check_is_clean(&store).await;
}

#[tokio::test]
async fn lanes_whose_first_leased_event_other_sql_deleted_are_found_and_mended() {
    let clock = ManualClock::new();
    let store = open(|store| store.clock(clock.clone())).await;
    let client = connect().await;
    enqueue(&store, note(1), 4).await;
    batch(&store, 3).await;
    execute(&client, &store, "DELETE FROM {s}.events WHERE seq = 1").await;
    let findings = store.check(CheckDepth::Full).await.unwrap();
    let lanes = findings.iter().find(|it| it.subject == Subject::Lanes);
    assert_eq!(lanes.unwrap().severity, Severity::Fault);
    assert_eq!(store.repair().await.unwrap().lanes, 1);
    assert_eq!(claim(&store).await, []);
    clock.advance(LEASE);
    assert_eq!(store.rescue().await.unwrap().requeued, 2);
    assert_eq!(drain(&store).await, [2, 3, 4]);
}

#[tokio::test]
async fn counts_explanations_and_processes_know_of_all_that_are_leased() {
    let store = open(|store| store).await;
    enqueue(&store, note(1).with_order(Order::User), 1).await;
    enqueue(&store, note(2).with_order(Order::User), 2).await;
    let claims = batch(&store, 2).await;
    for user in [None, Some("u1")] {
        let counts = store.statistics(user).await.unwrap();
        let (pending, processing) = (counts.pending_count, counts.processing_count);
        assert_eq!((pending, processing), (1, 2), "{user:?}");
    }
    store.finish_counting(LEASE).await;
    let counts = store.statistics(None).await.unwrap();
    assert_eq!(counts.processing_count, 2);
    for user in [None, Some("u1")] {
        let explained = store.explain(&2.into(), user).await.unwrap();
        assert_eq!(explained.first.unwrap().status, OutboxStatus::Processing);
        let handler = matches!(explained.waits_for, WaitsFor::Handler { .. });
        assert!(handler, "{:?}", explained.waits_for);
    }
    let processes = store.processes().await.unwrap();
    assert_eq!(processes.iter().map(|it| it.leases).sum::<u64>(), 2);
    // An event of the same entity under another order waits for the one that is leased.
    enqueue(&store, note(2), 1).await;
    assert_eq!(claim(&store).await, []);
    settle(&store, claims.iter().map(done).collect()).await;
    assert_eq!(drain(&store).await, [3, 4]);
}

#[tokio::test]
async fn two_stores_never_share_a_lane_however_they_settle() {
    let schema = new_schema();
    let (one, two) = (open_in(&schema).await, open_in(&schema).await);
    enqueue(&one, note(1), 4).await;
    let claims = batch(&one, 3).await;
    // The other knows nothing of the batch.
    let settled = settle(&two, vec![done(&claims[0])]).await;
    assert_eq!(settled, [Settled::Recorded]);
    assert_eq!(claim(&two).await, []);
    let settled = settle(&one, claims[1..].iter().map(done).collect()).await;
    assert_eq!(settled, [Settled::Recorded; 2]);
    assert_eq!(drain(&two).await, [4]);
}
