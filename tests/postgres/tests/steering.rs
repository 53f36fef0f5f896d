//! Controls of one process hold for the workers of all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests, too"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outbox_postgres::PostgresStore;
use outbox_postgres_tests::{connect, new_schema, open, open_in, soon};
use outbox_runtime::prelude::*;
use outbox_runtime::store::{ClaimRequest, Disposition, Settlement, SystemClock};
use outbox_runtime::{Clock, DeadReason, NewEvent, Pause, PauseScope, Running};

#[derive(OutboxEntity)]
#[outbox(event_type = "note")]
struct Note {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

/// Starts a run that counts its deliveries.
fn start(store: &PostgresStore) -> (Running, Arc<AtomicUsize>) {
    let delivered = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&delivered);
    let running = Processor::builder(store.clone())
        .handle::<Note>(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            async { Ok(()) }
        })
        .build()
        .unwrap()
        .start_all_users();
    (running, delivered)
}

async fn some_event_of(delivered: &AtomicUsize) {
    soon("the event is delivered", async {
        while delivered.load(Ordering::SeqCst) == 0 {
            SystemClock.sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

fn entities(claims: &[outbox_runtime::store::Claim]) -> Vec<i64> {
    let entities = claims.iter().map(|claim| &claim.event.entity_id);
    entities.map(|id| id.as_integer().unwrap()).collect()
}

/// Whether a claim would step over the event of this entity, because its row is locked. This blocks
/// its thread, and with it whatever the store has still to send from there.
fn is_locked(schema: &str, entity: i64) -> bool {
    let sql = format!(
        "SELECT id FROM {schema}.events WHERE entity_id = '{entity}' FOR NO KEY UPDATE SKIP LOCKED"
    );
    let looking = std::thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        runtime.block_on(async { connect().await.query(&sql, &[]).await.unwrap().is_empty() })
    });
    looking.join().unwrap()
}

// On one thread, so that nothing is sent once the store has answered.
#[tokio::test]
async fn a_refused_change_leaves_no_lock_that_a_claim_would_step_over() {
    let schema = new_schema();
    let store = open_in(&schema).await;
    let note = |entity: i64| NewEvent::new("note", entity, "u1", Operation::Create);
    let mut edited = store.create_event(note(1)).await.unwrap();
    edited.destination = Some("elsewhere".to_owned());
    store.update_event(&edited).await.unwrap_err();
    assert!(!is_locked(&schema, 1), "after a refused edit");

    let request = ClaimRequest::new(1, Duration::from_secs(60));
    let claims = store.claim(&request).await.unwrap();
    assert_eq!(entities(&claims), [1]);
    store.create_event(note(2)).await.unwrap();
    store.reassign_user("u1", "u2").await.unwrap_err();
    assert!(!is_locked(&schema, 2), "after a refused reassignment");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_for_every_claim_after_its_commit() {
    let schema = new_schema();
    let (operator, worker) = (open_in(&schema).await, open_in(&schema).await);
    for (entity, user) in [(1, "u1"), (2, "u2"), (3, "u1"), (4, "u2")] {
        let event = NewEvent::new("note", entity, user, Operation::Create);
        worker.create_event(event).await.unwrap();
    }
    let request = ClaimRequest::new(9, Duration::from_secs(60));
    for round in 0..20 {
        let user = if round % 2 == 0 { "u1" } else { "u2" };
        operator.pause(&Pause::user(user)).await.unwrap();
        // At once: no notification has to arrive first.
        let claims = match round % 3 {
            0 => worker.claim(&request.clone().with_turns(4, "")).await,
            1 => worker.claim(&request).await,
            _ => worker.settle_and_claim(Vec::new(), &request).await.claimed,
        };
        let claims = claims.unwrap();
        let expected = if user == "u1" { [2, 4] } else { [1, 3] };
        assert_eq!(entities(&claims), expected, "round {round}");
        let given_back = claims.iter().map(|claim| Settlement {
            lease: claim.lease,
            disposition: Disposition::GiveBack {
                next_attempt_at: None,
                refusal: None,
            },
        });
        // The outcomes are recorded, and the claim with them obeys a pause made in between.
        operator.pause(&Pause::everything()).await.unwrap();
        let exchange = worker
            .settle_and_claim(given_back.collect(), &request)
            .await;
        assert_eq!(exchange.settled.unwrap().len(), 2);
        assert_eq!(entities(&exchange.claimed.unwrap()), [0_i64; 0]);
        assert!(operator.unpause(&PauseScope::Everything).await.unwrap());
        let lifted = operator.unpause(&PauseScope::User(user.into())).await;
        assert!(lifted.unwrap());
    }
    assert_eq!(worker.claim(&request).await.unwrap().len(), 4);
}

/// A claim that meets a pause reads the pauses before it begins anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_one_connection_learns_of_a_pause() {
    let store = open(|store| store.pool_size(1)).await;
    let event = NewEvent::new("note", 1, "u1", Operation::Update);
    store.create_event(event).await.unwrap();
    store.pause(&Pause::user("u1")).await.unwrap();
    let request = ClaimRequest::new(9, Duration::from_secs(60));
    assert_eq!(entities(&store.claim(&request).await.unwrap()), [0_i64; 0]);
    let scope = PauseScope::User("u1".into());
    assert!(store.unpause(&scope).await.unwrap());
    assert_eq!(entities(&store.claim(&request).await.unwrap()), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeping_worker_learns_of_pauses_of_another_process() {
    let schema = new_schema();
    let (operator, worker) = (open_in(&schema).await, open_in(&schema).await);
    let (running, delivered) = start(&worker);
    operator.pause(&Pause::event_type("note")).await.unwrap();
    let user_id = "u1".to_owned();
    let event = Note { id: 1, user_id };
    event.enqueue_create().on(&operator).await.unwrap();
    let stays = running.flush(1, Duration::from_secs(30)).await.unwrap();
    assert!(
        matches!(stays, outbox_runtime::Flushed::Blocked(_)),
        "{stays:?}"
    );
    // Long enough for the worker to fall asleep.
    SystemClock.sleep(Duration::from_millis(200)).await;
    assert_eq!(delivered.load(Ordering::SeqCst), 0);
    let scope = PauseScope::EventType("note".to_owned());
    assert!(operator.unpause(&scope).await.unwrap());
    some_event_of(&delivered).await;
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeping_worker_learns_of_a_retry_by_another_process() {
    let schema = new_schema();
    let (operator, worker) = (open_in(&schema).await, open_in(&schema).await);
    let user_id = "u1".to_owned();
    let event = Note { id: 1, user_id };
    event.enqueue_create().on(&operator).await.unwrap();
    let request = ClaimRequest::new(1, Duration::from_secs(60));
    let claims = operator.claim(&request).await.unwrap();
    let refused = Settlement {
        lease: claims[0].lease,
        disposition: Disposition::Bury {
            reason: DeadReason::Rejected,
            message: "refused".to_owned(),
        },
    };
    operator.settle(vec![refused]).await.unwrap();
    let (running, delivered) = start(&worker);
    // Long enough for the worker to fall asleep.
    SystemClock.sleep(Duration::from_millis(500)).await;
    assert_eq!(delivered.load(Ordering::SeqCst), 0);
    let retried = operator.reset_for_retry(&[claims[0].event.id]).await;
    assert_eq!(retried.unwrap(), 1);
    some_event_of(&delivered).await;
    running.stop().await.unwrap();
}
