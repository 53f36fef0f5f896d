//! The application's own statements on the outbox table cannot block a lane, and cannot write
//! invalid ids.

use std::time::Duration;

use outbox_runtime::rusqlite::{params_from_iter, types::Value};
use outbox_runtime::store::{ClaimRequest, Disposition, EventTypes, Settled, Settlement};
use outbox_runtime::{Clock, NewEvent, Order, prelude::*};
use outbox_testing::ManualClock;
use outbox_tests::{Temporary, foreign_insert, on_each_store};
use uuid::Uuid;

const LEASE: Duration = Duration::from_secs(60);
const ORDERS: [Order; 3] = [Order::Entity, Order::User, Order::None];

/// Statements that remove a row from the queue while it is not leased.
const TAKES_OUT: [&str; 2] = ["DELETE FROM outbox_events WHERE seq = ?1", DIES];

const DIES: &str =
    "UPDATE outbox_events SET status = 3, dead_reason = 2, slot = NULL, lane = NULL, entity_lane = NULL,
    completed_at = NULL WHERE seq = ?1";

/// Statements that do so while a handler has it.
const FINISHES: [&str; 3] = [
    TAKES_OUT[0],
    DIES,
    "UPDATE outbox_events SET status = 2, completed_at = created_at, slot = NULL, lane = NULL, entity_lane = NULL,
         dead_reason = NULL WHERE seq = ?1",
];

async fn scene() -> (Temporary, ManualClock) {
    let clock = ManualClock::new();
    let made = Temporary::open_with(|builder| builder.clock(clock.clone())).await;
    (made, clock)
}

/// The next change of entity 1.
async fn change(store: &SqliteStore, order: Order, delay: u64) -> i64 {
    let event = NewEvent::new("note", 1, "u1", Operation::Update)
        .with_order(order)
        .with_delay(Duration::from_secs(delay));
    store.create_event(event).await.unwrap().seq
}

async fn claimed(store: &SqliteStore) -> Vec<i64> {
    let claims = store.claim(&ClaimRequest::new(9, LEASE)).await.unwrap();
    claims.iter().map(|claim| claim.event.seq).collect()
}

#[tokio::test]
async fn removing_the_first_of_a_lane_by_sql_unblocks_the_next() {
    for sql in TAKES_OUT {
        for order in ORDERS {
            let (made, clock) = scene().await;
            let store = &made.store;
            let first = change(store, order, 3_600).await;
            let second = change(store, order, 7_200).await;
            let third = change(store, order, 60).await;
            let fourth = change(store, order, 0).await;
            made.connect().execute(sql, [first]).unwrap();
            made.connect().execute(sql, [second]).unwrap();
            let due = clock.now() + Duration::from_secs(60);
            let rest = match order {
                Order::None => {
                    assert_eq!(claimed(store).await, [fourth]);
                    vec![]
                }
                _ => {
                    assert!(claimed(store).await.is_empty(), "the third is not due");
                    vec![fourth]
                }
            };
            let request =
                ClaimRequest::new(9, LEASE).with_event_types(EventTypes::AllExcept(vec![]));
            assert_eq!(
                store.next_due(&request).await.unwrap(),
                Some(due),
                "{order:?}: {sql}"
            );
            clock.set(due);
            assert_eq!(claimed(store).await, [third], "{order:?}: {sql}");
            made.connect().execute(TAKES_OUT[0], [third]).unwrap();
            assert_eq!(claimed(store).await, rest, "{order:?}: {sql}");
        }
    }
}

#[tokio::test]
async fn removing_a_middle_event_by_sql_does_not_affect_the_others() {
    for sql in TAKES_OUT {
        for order in [Order::Entity, Order::User] {
            let (made, _) = scene().await;
            let first = change(&made.store, order, 0).await;
            let second = change(&made.store, order, 0).await;
            let third = change(&made.store, order, 0).await;
            made.connect().execute(sql, [second]).unwrap();
            assert_eq!(claimed(&made.store).await, [first], "{order:?}: {sql}");
            assert!(
                claimed(&made.store).await.is_empty(),
                "the first is in flight"
            );
            made.connect().execute(sql, [first]).unwrap();
            if sql.starts_with("DELETE") {
                assert_eq!(claimed(&made.store).await, [third], "{order:?}: {sql}");
            }
        }
    }
}

#[tokio::test]
async fn finishing_a_leased_event_by_sql_unblocks_the_next_when_its_handler_ends() {
    for sql in FINISHES {
        let (made, _) = scene().await;
        let first = change(&made.store, Order::Entity, 0).await;
        let second = change(&made.store, Order::Entity, 0).await;
        let claims = made
            .store
            .claim(&ClaimRequest::new(9, LEASE))
            .await
            .unwrap();
        made.connect().execute(sql, [first]).unwrap();
        let lease = claims[0].lease;
        let disposition = Disposition::Complete;
        let settled = made.store.settle(vec![Settlement { lease, disposition }]);
        assert_eq!(settled.await.unwrap(), [Settled::LeaseLost]);
        assert_eq!(claimed(&made.store).await, [second], "{sql}");
    }
}

#[tokio::test]
async fn one_statement_can_unblock_many_lanes() {
    let (made, _) = scene().await;
    let mut seconds = Vec::new();
    for entity in 0..50 {
        for first in [true, false] {
            let event = NewEvent::new("note", entity, "u1", Operation::Update);
            let event = match first {
                true => event.with_priority(7),
                false => event,
            };
            let seq = made.store.create_event(event).await.unwrap().seq;
            if !first {
                seconds.push(seq);
            }
        }
    }
    let own = made.connect();
    let sql = "DELETE FROM outbox_events WHERE priority = 7";
    assert_eq!(own.execute(sql, []).unwrap(), 50);
    let claims = made.store.claim(&ClaimRequest::new(99, LEASE)).await;
    let claimed: Vec<_> = claims
        .unwrap()
        .iter()
        .map(|claim| claim.event.seq)
        .collect();
    assert_eq!(claimed, seconds);
}

#[tokio::test]
async fn moving_an_event_to_another_lane_by_sql_leaves_neither_lane_stuck() {
    for column in ["user_id = 'u2'", "entity_id = 2"] {
        let (made, _) = scene().await;
        let first = change(&made.store, Order::Entity, 3_600).await;
        let second = change(&made.store, Order::Entity, 0).await;
        let third = change(&made.store, Order::Entity, 0).await;
        let sql = format!("UPDATE outbox_events SET {column} WHERE seq = ?1");
        made.connect().execute(&sql, [first]).unwrap();
        assert_eq!(claimed(&made.store).await, [second], "{column}");
        // In its new lane it is not the first.
        made.connect().execute(&sql, [third]).unwrap();
        assert!(claimed(&made.store).await.is_empty(), "{column}");
    }
}

#[tokio::test]
async fn an_event_given_another_order_by_sql_goes_after_its_elders() {
    for order in [1, 2] {
        let (made, clock) = scene().await;
        let [first, second, third, fourth] = [
            change(&made.store, Order::Entity, 3_600).await,
            change(&made.store, Order::Entity, 0).await,
            change(&made.store, Order::Entity, 0).await,
            change(&made.store, Order::Entity, 0).await,
        ];
        let own = made.connect();
        let sql = format!("UPDATE outbox_events SET lane_order = {order} WHERE seq = ?1");
        own.execute(&sql, [first]).unwrap();
        assert!(claimed(&made.store).await.is_empty(), "{order}");
        own.execute(TAKES_OUT[0], [first]).unwrap();
        assert_eq!(claimed(&made.store).await, [second], "{order}");
        own.execute(&sql, [third]).unwrap();
        assert!(claimed(&made.store).await.is_empty(), "{order}");
        own.execute(TAKES_OUT[0], [second]).unwrap();
        assert_eq!(claimed(&made.store).await, [third], "{order}");
        clock.advance(LEASE);
        made.store.rescue().await.unwrap();
        own.execute(DIES, [third]).unwrap();
        assert_eq!(claimed(&made.store).await, [fourth], "{order}");
    }
}

#[tokio::test]
async fn renaming_a_type_by_sql_keeps_its_lanes_and_stops_nothing() {
    for (was, is) in [
        (Order::Entity, Order::User),
        (Order::User, Order::None),
        (Order::None, Order::Entity),
    ] {
        for all in [true, false] {
            let (made, _) = scene().await;
            let older = change(&made.store, was, 0).await;
            let newer = change(&made.store, is, 0).await;
            let sql = "UPDATE outbox_events SET event_type = 'memo' WHERE seq <= ?1";
            let last = if all { newer } else { older };
            made.connect().execute(sql, [last]).unwrap();
            let expected = if all { vec![older] } else { vec![older, newer] };
            assert_eq!(claimed(&made.store).await, expected, "{was:?}, then {is:?}");
        }
    }
}

/// Values that another program may use as an entity id, and that no id is.
const NO_IDS: [&str; 4] = ["NULL", "x'0102'", "x''", "''"];

#[tokio::test]
async fn an_unreadable_entity_id_is_refused_at_enqueue_and_each_other_has_one_lane() {
    let (made, _) = scene().await;
    let own = made.connect();
    let insert = |id: &str| {
        let sql = format!(
            "INSERT INTO outbox_events (entity_id, user_id, id, event_type, operation, created_at, next_attempt_at,
                 max_attempts)
             VALUES ({id}, 'u1', randomblob(16), 'note', 0, 0, 0, 5)"
        );
        own.execute(&sql, [])
    };
    for id in NO_IDS {
        let refused = insert(id);
        assert!(refused.is_err(), "{id}");
    }
    let long = format!("'{}'", "é".repeat(128));
    assert!(insert(&long).is_err(), "256 bytes");
    let ids = [
        "7",
        "-9223372036854775808",
        "'007'",
        "'-0'",
        "'goal:7'",
        "'9223372036854775808'",
        "'6ba7b810-9dad-11d1-80b4-00c04fd430c8'",
        "'6BA7B810-9DAD-11D1-80B4-00C04FD430C8'",
    ];
    for id in ids {
        insert(id).unwrap();
    }
    // The same ones, from elsewhere.
    insert("'7'").unwrap();
    let seven = NewEvent::new("note", 7, "u1", Operation::Update);
    made.store.create_event(seven).await.unwrap();
    let claims = made.store.claim(&ClaimRequest::new(99, LEASE)).await;
    let claims = claims.unwrap();
    assert_eq!(
        claims.len(),
        ids.len(),
        "each is readable, and first of its own lane"
    );
    assert_eq!(claims[0].event.entity_id, 7.into());
    let uuid = Uuid::from_u128(0x6ba7_b810_9dad_11d1_80b4_00c0_4fd4_30c8);
    assert_eq!(claims[6].event.entity_id, uuid.into());
}

#[tokio::test]
async fn the_insert_for_other_drivers_fails_if_a_driver_changes_the_id_type() {
    let (made, _) = scene().await;
    let own = made.connect();
    let event = NewEvent::new("note", 7, "u1", Operation::Create);
    let with_id = |id: Value| {
        let (sql, mut params) = foreign_insert(&event);
        params[0] = id;
        own.execute(sql, params_from_iter(params))
    };
    let refused = with_id(Value::Blob(b"7".to_vec())).unwrap_err();
    assert!(
        refused.to_string().contains("cannot store BLOB"),
        "{refused}"
    );
    assert_eq!(with_id(Value::Text("7".to_owned())).unwrap(), 1);
}

#[test]
fn one_id_has_one_lane_whatever_its_type_in_the_application() {
    on_each_store(|store, _| async move {
        let uuid = Uuid::now_v7();
        let pairs: [(EntityId, EntityId); 4] = [
            (uuid.into(), uuid.to_string().into()),
            (uuid.to_string().into(), EntityId::Text(uuid.to_string())),
            (EntityId::from(-7), "-7".into()),
            (EntityId::Text("1".to_owned()), EntityId::from(1)),
        ];
        for (older, newer) in pairs {
            let event = |id: EntityId| NewEvent::new("note", id, "u1", Operation::Update);
            let first = store.create_event(event(older)).await.unwrap();
            let second = store.create_event(event(newer)).await.unwrap();
            assert_eq!(first.entity_id, second.entity_id);
            let claims = store.claim(&ClaimRequest::new(9, LEASE)).await.unwrap();
            assert_eq!(claims.len(), 1);
            assert_eq!(claims[0].event.id, first.id);
            store.delete_all_events_for_user("u1").await.unwrap();
        }
    });
}
