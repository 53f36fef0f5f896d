//! A claim is one row, and rewrites no event; the store and SQL agree on what handlers have.

use std::time::Duration;

use outbox_runtime::rusqlite::Connection;
use outbox_runtime::store::{
    BatchSink, Claim, ClaimRequest, Disposition, EventTypes, Rescued, Selector, Settled, Settlement,
};
use outbox_runtime::{Clock, NewEvent, Order, prelude::*};
use outbox_testing::{ManualClock, SeededRng};
use outbox_tests::{Temporary, foreign_insert};
use uuid::Uuid;

const LEASE: Duration = Duration::from_secs(60);

struct Scene {
    made: Temporary,
    clock: ManualClock,
    own: Connection,
}

impl Scene {
    async fn open() -> Self {
        let clock = ManualClock::new();
        let made = Temporary::open_with(|builder| builder.clock(clock.clone())).await;
        let own = made.connect();
        Self { made, clock, own }
    }

    async fn enqueue(&self, entity: i64, user: &str) -> OutboxEvent {
        let event = NewEvent::new("note", entity, user.to_owned(), Operation::Update);
        self.made.store.create_event(event).await.unwrap()
    }

    async fn claim(&self, limit: usize) -> Vec<Claim> {
        let request = ClaimRequest::new(limit, LEASE);
        self.made.store.claim(&request).await.unwrap()
    }

    async fn complete(&self, claim: &Claim) -> Settled {
        let store = &self.made.store;
        store.mark_as_completed(&claim.lease).await.unwrap()
    }

    fn number(&self, sql: &str) -> i64 {
        self.own.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// Every stored row, as SQL shows it.
    fn rows(&self) -> Vec<String> {
        let sql =
            "SELECT printf('%d %d %d %d %s', seq, status, slot, attempt_count, last_attempt_at)
             FROM outbox_events ORDER BY seq";
        let mut rows = self.own.prepare(sql).unwrap();
        let rows = rows.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }
}

fn seqs(claims: &[Claim]) -> Vec<i64> {
    claims.iter().map(|claim| claim.event.seq).collect()
}

#[tokio::test]
async fn a_claim_writes_one_row_and_no_event() {
    let scene = Scene::open().await;
    for entity in 1..=5 {
        scene.enqueue(entity, "u1").await;
    }
    let before = scene.rows();
    let claims = scene.claim(5).await;
    assert_eq!(scene.rows(), before);
    assert_eq!(scene.number("SELECT count(*) FROM outbox_claims"), 1);
    let listed = "SELECT seqs = ',1,2,3,4,5,' FROM outbox_claims";
    assert_eq!(scene.number(listed), 1);
    // All outcomes of the claim are recorded, and its row is gone.
    for claim in &claims {
        assert_eq!(scene.complete(claim).await, Settled::Recorded);
        assert_eq!(scene.complete(claim).await, Settled::LeaseLost);
    }
    assert_eq!(scene.number("SELECT count(*) FROM outbox_claims"), 0);
}

#[tokio::test]
async fn a_newcomer_with_the_seq_of_a_deleted_claimed_event_is_not_held() {
    let scene = Scene::open().await;
    let deleted = scene.enqueue(1, "u1").await;
    let claims = scene.claim(1).await;
    assert!(scene.made.store.delete_event(deleted.id).await.unwrap());
    let newcomer = scene.enqueue(2, "u1").await;
    assert_eq!(newcomer.seq, deleted.seq, "SQLite gives the seq away again");
    assert_eq!(scene.complete(&claims[0]).await, Settled::LeaseLost);
    let found = scene.made.store.fetch_event(newcomer.id).await.unwrap();
    assert_eq!(found.unwrap().status, OutboxStatus::Pending);
    assert_eq!(seqs(&scene.claim(1).await), [newcomer.seq]);
    assert_eq!(scene.complete(&claims[0]).await, Settled::LeaseLost);
}

#[tokio::test]
async fn the_parts_of_a_claim_are_extended_and_rescued_one_by_one() {
    let scene = Scene::open().await;
    for entity in 1..=4 {
        scene.enqueue(entity, "u1").await;
    }
    let claims = scene.claim(4).await;
    let store = &scene.made.store;
    let kept = [claims[0].lease, claims[2].lease];
    let extended = store.extend(&kept, 3 * LEASE).await.unwrap();
    assert!(extended.iter().all(Option::is_some));
    scene.clock.advance(2 * LEASE);
    assert_eq!(store.rescue().await.unwrap(), Rescued::new(2, 0));
    assert_eq!(scene.complete(&claims[1]).await, Settled::LeaseLost);
    assert_eq!(scene.complete(&claims[0]).await, Settled::Recorded);
    assert_eq!(scene.complete(&claims[2]).await, Settled::Recorded);
    assert_eq!(seqs(&scene.claim(9).await), [2, 4]);
}

#[tokio::test]
async fn many_claimed_events_are_stepped_over_or_parked_and_each_is_delivered_once() {
    let scene = Scene::open().await;
    for entity in 0..300 {
        scene.enqueue(entity, "u1").await;
    }
    let mut all = scene.claim(100).await;
    // Small claims beside many events with handlers park those.
    for _ in 0..20 {
        let some = scene.claim(1).await;
        assert_eq!(some.len(), 1);
        all.extend(some);
    }
    let parked = "SELECT count(*) FROM outbox_events WHERE slot = 4";
    assert!(scene.number(parked) > 0);
    all.extend(scene.claim(999).await);
    let mut found = seqs(&all);
    found.sort_unstable();
    assert_eq!(found, (1..=300).collect::<Vec<_>>());
    let given_back = |claim: &Claim| Settlement {
        lease: claim.lease,
        disposition: Disposition::GiveBack {
            next_attempt_at: None,
            refusal: None,
        },
    };
    let settled = scene
        .made
        .store
        .settle(all.iter().map(given_back).collect());
    assert!(
        settled
            .await
            .unwrap()
            .iter()
            .all(|it| *it == Settled::Recorded)
    );
    assert_eq!(scene.number(parked), 0);
    assert_eq!(scene.claim(999).await.len(), 300);
}

#[tokio::test]
async fn deleting_the_claims_by_sql_makes_their_events_claimable_and_uncounted() {
    let scene = Scene::open().await;
    let event = scene.enqueue(1, "u1").await;
    let claims = scene.claim(1).await;
    let store = &scene.made.store;
    // A renewed lease parks its event.
    assert!(store.extend(&[claims[0].lease], LEASE).await.unwrap()[0].is_some());
    scene.own.execute("DELETE FROM outbox_claims", []).unwrap();
    assert_eq!(scene.complete(&claims[0]).await, Settled::LeaseLost);
    store.rescue().await.unwrap();
    let again = scene.claim(1).await;
    assert_eq!(again[0].event.id, event.id);
    assert_eq!(again[0].event.attempt_count, 1);
}

#[tokio::test]
async fn events_of_other_drivers_find_their_place_among_those_of_the_store() {
    for order in [Order::Entity, Order::User, Order::None] {
        let scene = Scene::open().await;
        let event =
            |entity: i64| NewEvent::new("note", entity, "u1", Operation::Update).with_order(order);
        let foreign = |entity: i64| {
            let (sql, params) = foreign_insert(&event(entity));
            let params = outbox_runtime::rusqlite::params_from_iter(params);
            assert_eq!(scene.own.execute(sql, params).unwrap(), 1);
        };
        let store = &scene.made.store;
        foreign(1);
        store.create_event(event(1)).await.unwrap();
        foreign(1);
        foreign(2);
        let request = ClaimRequest::new(9, LEASE);
        let due = store.next_due(&request).await.unwrap();
        assert!(due.is_some_and(|due| due <= outbox_runtime::store::SystemClock.now()));
        let expected: &[i64] = match order {
            Order::Entity => &[1, 4],
            Order::User => &[1],
            _ => &[1, 2, 3, 4],
        };
        scene.clock.set(due.unwrap().max(scene.clock.now()));
        let mut claims = scene.claim(9).await;
        let mut found = seqs(&claims);
        found.sort_unstable();
        assert_eq!(found, expected, "{order:?}");
        let mut delivered = Vec::new();
        while !claims.is_empty() {
            for claim in &claims {
                assert_eq!(scene.complete(claim).await, Settled::Recorded);
                delivered.push(claim.event.seq);
            }
            claims = scene.claim(9).await;
        }
        delivered.sort_unstable();
        assert_eq!(delivered, [1, 2, 3, 4], "{order:?}");
    }
}

#[tokio::test]
async fn an_event_folds_into_one_that_another_driver_wrote_but_not_into_a_claimed_one() {
    let scene = Scene::open().await;
    let update = || {
        NewEvent::new("note", 1, "u1", Operation::Update)
            .with_coalesce(outbox_runtime::Coalesce::Latest)
            .with_id(Uuid::now_v7())
    };
    let (sql, params) = foreign_insert(&update());
    let params = outbox_runtime::rusqlite::params_from_iter(params);
    scene.own.execute(sql, params).unwrap();
    let folded = scene.made.store.create_event(update()).await.unwrap();
    assert_eq!((folded.seq, folded.revision), (1, 1));
    scene.clock.set(outbox_runtime::store::SystemClock.now());
    // The row of a claimed event is that of one that was never claimed.
    assert_eq!(seqs(&scene.claim(1).await), [1]);
    assert_eq!(
        scene.made.store.create_event(update()).await.unwrap().seq,
        2
    );
}

/// The lane is a number; the ids decide what folds.
#[tokio::test]
async fn two_lanes_with_one_number_wait_for_each_other_and_do_not_fold() {
    let scene = Scene::open().await;
    let update = |entity: i64| {
        NewEvent::new("note", entity, "u1", Operation::Update)
            .with_coalesce(outbox_runtime::Coalesce::Latest)
    };
    let store = &scene.made.store;
    let first = store.create_event(update(1)).await.unwrap();
    // A collision, which nobody can find: the other entity's number, given to this event.
    let second = store.create_event(update(2)).await.unwrap();
    let collide = "UPDATE outbox_events SET lane = (SELECT lane FROM outbox_events WHERE seq = 2), slot = 1 WHERE seq = 1";
    scene.own.execute(collide, []).unwrap();
    let block = "UPDATE outbox_events SET slot = 3 WHERE seq = 2";
    scene.own.execute(block, []).unwrap();
    let third = store.create_event(update(2)).await.unwrap();
    assert_eq!(third.id, second.id, "it folds into the newest of its lane");
    scene
        .own
        .execute("DELETE FROM outbox_events WHERE seq = 2", [])
        .unwrap();
    let fourth = store.create_event(update(2)).await.unwrap();
    assert_ne!(fourth.id, first.id, "of another entity");
    let claims = scene.claim(9).await;
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].event.id, first.id);
    assert_eq!(scene.complete(&claims[0]).await, Settled::Recorded);
    assert_eq!(scene.claim(9).await[0].event.id, fourth.id);
}

#[tokio::test]
async fn the_index_by_user_exists_only_where_a_claim_needed_it() {
    const EXISTS: &str = "SELECT count(*) FROM sqlite_schema WHERE name = 'outbox_ready_user'";
    let scene = Scene::open().await;
    let of_user = |user: &str| ClaimRequest::new(3, LEASE).only(Selector::new().user(user));
    let store = &scene.made.store;
    for entity in 0..200 {
        scene.enqueue(entity, "u1").await;
    }
    // One user alone, and turns where nothing is left for a turn.
    assert_eq!(store.claim(&of_user("u1")).await.unwrap().len(), 3);
    store.next_due(&of_user("u1")).await.unwrap();
    assert_eq!(scene.claim(3).await.len(), 3);
    let all = ClaimRequest::new(999, LEASE).with_turns(99, "");
    assert_eq!(store.claim(&all).await.unwrap().len(), 194);
    assert_eq!(scene.number(EXISTS), 0);
    // One user behind the backlog of another.
    let backlog =
        (200..1_400).map(|entity: i64| Ok(NewEvent::new("note", entity, "u1", Operation::Update)));
    BatchSink::enqueue_all(store, backlog).await.unwrap();
    scene.enqueue(1, "u2").await;
    assert_eq!(store.claim(&of_user("u2")).await.unwrap().len(), 1);
    assert_eq!(scene.number(EXISTS), 1);
    // Dropping it harms nothing; a backlog of all users brings it back.
    scene
        .own
        .execute_batch("DROP INDEX outbox_ready_user")
        .unwrap();
    scene.enqueue(2, "u2").await;
    let turns = ClaimRequest::new(4, LEASE).with_turns(2, "");
    let claims = store.claim(&turns).await.unwrap();
    let users: Vec<_> = claims.iter().map(|claim| &*claim.event.user_id).collect();
    assert_eq!(users, ["u1", "u1", "u1", "u2"]);
    assert_eq!(scene.number(EXISTS), 1);
}

const HAS_INDEX_BY_DESTINATION: &str =
    "SELECT count(*) FROM sqlite_schema WHERE name = 'outbox_ready_to'";

fn to(destination: Option<&str>) -> Selector {
    Selector::new().destination(destination)
}

#[tokio::test]
async fn the_index_by_destination_exists_only_where_a_claim_needed_it() {
    let scene = Scene::open().await;
    let store = &scene.made.store;
    let enqueue = async |entities: std::ops::Range<i64>, destination: &str| {
        let events = entities.map(|entity| {
            let event = NewEvent::new("note", entity, "u1", Operation::Update);
            Ok(event.with_destination(destination))
        });
        BatchSink::enqueue_all(store, events).await.unwrap();
    };
    let others = ClaimRequest::new(3, LEASE).except(to(Some("full")));
    enqueue(0..50, "full").await;
    enqueue(50..51, "free").await;
    assert_eq!(store.claim(&others).await.unwrap().len(), 1);
    // A claim of everything steps over nothing, and one of a single user has an index of its own.
    enqueue(51..1_400, "full").await;
    enqueue(1_400..1_404, "free").await;
    assert_eq!(scene.claim(40).await.len(), 40);
    let of_user = others.clone().with_user("u1");
    assert_eq!(store.claim(&of_user).await.unwrap().len(), 3);
    assert_eq!(scene.number(HAS_INDEX_BY_DESTINATION), 0);
    // Many events for a full destination before those for others.
    assert_eq!(store.claim(&others).await.unwrap().len(), 1);
    assert_eq!(scene.number(HAS_INDEX_BY_DESTINATION), 1);
    // Dropping it harms nothing; the next such claim brings it back.
    scene
        .own
        .execute_batch("DROP INDEX outbox_ready_to")
        .unwrap();
    assert!(store.claim(&others).await.unwrap().is_empty());
    assert_eq!(scene.number(HAS_INDEX_BY_DESTINATION), 1);
    enqueue(1_404..1_405, "new").await;
    let only = ClaimRequest::new(3, LEASE).only(to(Some("new")));
    assert!(store.next_due(&others).await.unwrap().is_some());
    assert!(store.next_due(&only).await.unwrap().is_some());
    let claims = store.claim(&others).await.unwrap();
    assert_eq!(claims[0].event.destination.as_deref(), Some("new"));
    // The others are for the full destination, or with handlers.
    let due = store.next_due(&others).await.unwrap();
    assert_eq!(due, Some(claims[0].lease.expires_at));
}

#[tokio::test]
async fn claims_by_destination_take_the_same_events_with_and_without_the_index() {
    const NAMES: [Option<&str>; 5] = [None, Some("a"), Some("a!"), Some("b"), Some("ü")];
    let scene = Scene::open().await;
    let memory = MemoryStore::with_clock(scene.clock.clone());
    let sqlite = &scene.made.store;
    scene
        .own
        .execute_batch(
            "CREATE INDEX outbox_ready_to
             ON outbox_events (destination, priority DESC, next_attempt_at) WHERE slot = 1",
        )
        .unwrap();
    let mut rng = SeededRng::new(7);
    for entity in 0..400_i64 {
        let event_type = *rng.pick(&["note", "task"]);
        let user = *rng.pick(&["u1", "u2", "u3"]);
        let mut event = NewEvent::new(event_type, entity, user, Operation::Update)
            .with_priority(*rng.pick(&[-1, 0, 7]));
        if let Some(destination) = rng.pick(&NAMES) {
            event = event.with_destination(*destination);
        }
        memory.create_event(event.clone()).await.unwrap();
        sqlite.create_event(event).await.unwrap();
        if rng.chance(300) {
            scene.clock.advance(Duration::from_micros(1));
        }
    }
    let only = |types: &[&str]| EventTypes::Only(types.iter().map(|&it| it.to_owned()).collect());
    let mut left = 400;
    while left > 0 {
        let limit = usize::try_from(1 + rng.below(9)).unwrap();
        let (one, other) = (*rng.pick(&NAMES), *rng.pick(&NAMES));
        let all = ClaimRequest::new(limit, LEASE);
        let request = match rng.below(7) {
            0 => all.except(to(one)),
            1 => all.except(to(one)).except(to(other)),
            2 => all.except(to(one).user("u1")).except(to(other)),
            3 => all
                .with_event_types(only(&["note"]))
                .except(to(one).event_types(only(&["note", "task"]))),
            4 => all.except(to(one).event_types(only(&["task"]))),
            5 => all.only(to(one)).except(to(other)),
            // Whatever is left.
            _ => all,
        };
        assert_eq!(
            sqlite.next_due(&request).await.unwrap().is_some(),
            memory.next_due(&request).await.unwrap().is_some(),
            "{request:?}"
        );
        let here = seqs(&sqlite.claim(&request).await.unwrap());
        let there = seqs(&memory.claim(&request).await.unwrap());
        assert_eq!(here, there, "{request:?}");
        left -= here.len();
    }
}
