//! Delivery order of imported events, and what they wait for.

use outbox_import::{Import, ImportedEvent, Source, SourceRow};
use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::types::Value;
use outbox_runtime::store::{ClaimRequest, SystemClock};
use outbox_runtime::{Clock, Coalesce, DeadReason, NewEvent, OnDead, Order};
use outbox_tests::Temporary;
use outbox_tests::core_data::{CREATED, CoreData, OldEvent, entity_id, event_id};

use crate::{LEASE, events, import, numbers};

#[tokio::test]
async fn events_of_an_entity_are_delivered_in_the_order_of_creation() {
    let of_one = |n: u128, seconds: f64, kind: &str, user: &str| OldEvent {
        created_at: Value::Real(CREATED as f64 + seconds),
        event_type: Value::Text(kind.into()),
        payload: Value::Blob(
            format!(r#"{{"id":"{}","user_id":"{user}"}}"#, entity_id(0)).into_bytes(),
        ),
        ..OldEvent::new(n)
    };
    // Neither the order of their keys nor that of their ids.
    let source = CoreData::with([
        of_one(3, 30.5, "mood.deleted", "user-1"),
        of_one(1, 10.0, "mood.created", "user-1"),
        of_one(2, 30.25, "mood.updated", "user-1"),
        of_one(4, 20.0, "mood.created", "user-2"),
    ]);
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    import(&source, store).await;
    let mut delivered = Vec::new();
    loop {
        let request = ClaimRequest::new(10, LEASE).with_user("user-1");
        let claims = store.claim(&request).await.unwrap();
        let Some(claim) = claims.first() else { break };
        assert_eq!(claims.len(), 1, "one event per entity at a time");
        delivered.push(claim.event.id);
        store.mark_as_completed(&claim.lease).await.unwrap();
    }
    assert_eq!(delivered, [event_id(1), event_id(2), event_id(3)]);
    let other = ClaimRequest::new(10, LEASE).with_user("user-2");
    assert_eq!(store.claim(&other).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_dead_event_holds_back_the_later_ones_of_its_entity() {
    let of_one = |n: u128, status: &str, retries| OldEvent {
        payload: OldEvent::new(1).payload,
        ..OldEvent::new(n).with_status(status, retries)
    };
    let source = CoreData::with([
        of_one(1, "completed", 5),
        of_one(2, "pending", 0),
        of_one(3, "completed", 5),
        of_one(4, "failed", 1),
    ]);
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    import(&source, store).await;
    let request = ClaimRequest::new(10, LEASE);
    let mut order = Vec::new();
    assert!(store.claim(&request).await.unwrap().is_empty());
    store.reset_for_retry(&[event_id(1)]).await.unwrap();
    for _ in 0..2 {
        for claim in store.claim(&request).await.unwrap() {
            order.push(claim.event.id);
            store.mark_as_completed(&claim.lease).await.unwrap();
        }
    }
    assert_eq!(order, [event_id(1), event_id(2)]);
    assert!(
        store.claim(&request).await.unwrap().is_empty(),
        "event 4 is blocked by event 3"
    );
    store.discard(&[event_id(3)]).await.unwrap();
    let claims = store.claim(&request).await.unwrap();
    assert_eq!(claims[0].event.id, event_id(4));
}

#[tokio::test]
async fn imported_events_of_other_orders_wait_as_if_they_had_been_enqueued() {
    let source = CoreData::with((1..=8).map(OldEvent::new));
    let mapper = |row: &SourceRow, _: &Source| {
        // Two events of each kind, the first of them dead or not due.
        let (order, on_dead) = match row.key() {
            1 | 2 => (Order::User, OnDead::Skip),
            3 | 4 => (Order::User, OnDead::Hold),
            5 | 6 => (Order::None, OnDead::Hold),
            _ => (Order::Entity, OnDead::Hold),
        };
        let user = format!("user-{}", (row.key() + 1) / 2);
        let event = NewEvent::new("task", 1, user, Operation::Update)
            .with_id(row.uuid("id")?)
            .with_order(order)
            .with_on_dead(on_dead)
            .with_coalesce(Coalesce::Latest);
        let event = ImportedEvent::new(event, row.date("createdAt")?);
        Ok(match row.key() {
            1 | 3 | 5 => event.dead(DeadReason::Rejected).into(),
            7 => event
                .due_at(row.date("createdAt")? + chrono::TimeDelta::days(36_500))
                .into(),
            _ => event.into(),
        })
    };
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    let import = Import::new(&source.path).table(events());
    let report = import.run(store, mapper).await.unwrap();
    assert_eq!(
        numbers(&report),
        [8, 8, 0, 0, 0],
        "no event is folded into another"
    );
    let claims = store.claim(&ClaimRequest::new(10, LEASE)).await.unwrap();
    let mut claimed: Vec<_> = claims.iter().map(|claim| claim.event.id).collect();
    claimed.sort();
    assert_eq!(claimed, [event_id(2), event_id(6)]);
    // Discarding a dead event unblocks its successor; a successor of an event that is not due stays
    // blocked.
    store.discard(&[event_id(3)]).await.unwrap();
    let claims = store.claim(&ClaimRequest::new(10, LEASE)).await.unwrap();
    let claimed: Vec<_> = claims.iter().map(|claim| claim.event.id).collect();
    assert_eq!(claimed, [event_id(4)]);
}

#[tokio::test]
async fn rows_dated_in_the_future_do_not_wait_for_their_date() {
    let ahead = |n: u128| OldEvent {
        created_at: Value::Integer(CREATED + 10_000_000_000 + i64::try_from(n).unwrap()),
        ..OldEvent::new(n)
    };
    let source = CoreData::with([
        ahead(1),
        // Behind the first event in its lane.
        OldEvent {
            payload: OldEvent::new(1).payload,
            ..ahead(2)
        },
        OldEvent {
            last_attempt_at: ahead(0).created_at,
            ..ahead(3).with_status("failed", 2)
        },
        ahead(4).with_status("failed", 2),
    ]);
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    assert_eq!(numbers(&import(&source, store).await), [4, 4, 0, 0, 0]);
    // An edit of another field does not make an event wait either.
    let mut first = store.fetch_event(event_id(1)).await.unwrap().unwrap();
    first.max_attempts = 7;
    store.update_event(&first).await.unwrap();
    let request = ClaimRequest::new(10, LEASE);
    let mut claimed = Vec::new();
    for _ in 0..2 {
        for claim in store.claim(&request).await.unwrap() {
            claimed.push(claim.event.id);
            store.mark_as_completed(&claim.lease).await.unwrap();
        }
    }
    assert_eq!(claimed, [3, 4, 1, 2].map(event_id));
}

#[tokio::test]
async fn delayed_rows_wait_for_their_due_time_even_if_dated_in_the_future() {
    let source = CoreData::with([OldEvent::new(1), OldEvent::new(2)]);
    let soon = SystemClock.now() + chrono::TimeDelta::days(1);
    let mapper = move |row: &SourceRow, _: &Source| {
        let event =
            NewEvent::new("task", row.key(), "user-1", Operation::Update).with_id(row.uuid("id")?);
        Ok(match row.key() {
            1 => ImportedEvent::new(event, soon).due_at(soon + chrono::TimeDelta::seconds(1)),
            _ => ImportedEvent::new(event.with_delay(LEASE), soon),
        }
        .into())
    };
    let temporary = Temporary::open().await;
    let import = Import::new(&source.path).table(events());
    import.run(&temporary.store, mapper).await.unwrap();
    let claims = temporary
        .store
        .claim(&ClaimRequest::new(10, LEASE))
        .await
        .unwrap();
    assert!(claims.is_empty());
}
