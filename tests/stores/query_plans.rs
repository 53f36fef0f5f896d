//! SQLite answers from its indices: no statement on an event's path reads unrelated rows, and none
//! sorts.

use std::time::Duration;

use outbox_import::{Import, ImportedEvent, Source, SourceRow, SourceTable};
use outbox_runtime::rusqlite::Connection;
use outbox_runtime::rusqlite::functions::FunctionFlags;
use outbox_runtime::store::{
    BatchSink, ClaimOrder, ClaimRequest, Disposition, EventTypes, Selector, Settlement,
};
use outbox_runtime::{
    Cancel, Coalesce, EventFilter, NewEvent, OnDead, Order, Refusal, RefusalClass, enqueue_all,
    prelude::*,
};
use outbox_tests::core_data::{CoreData, OldEvent};
use outbox_tests::{Temporary, note, note_of};

const LEASE: Duration = Duration::from_secs(60);

/// A connection that plans the store's statements: it has a stand-in for the writer's function.
fn planner(temporary: &Temporary) -> Connection {
    let conn = temporary.connect();
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    conn.create_scalar_function("outbox_listed", 2, flags, |_| Ok(false))
        .unwrap();
    conn
}

/// SQLite's plan for a statement, step by step.
fn plan(conn: &Connection, sql: &str) -> Vec<String> {
    let mut explained = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    // Without parameter values, which the plan does not depend on.
    let steps = explained.raw_query().mapped(|row| row.get(3));
    steps.map(Result::unwrap).collect()
}

/// Steps that scan the whole table.
fn table_scans(plan: &[String]) -> Vec<&String> {
    let is_scan =
        |step: &&String| step.starts_with("SCAN outbox_events") && !step.contains(" USING ");
    plan.iter().filter(is_scan).collect()
}

fn sorts(plan: &[String]) -> Vec<&String> {
    let is_sort = |step: &&String| step.contains("TEMP B-TREE");
    plan.iter().filter(is_sort).collect()
}

/// Occasional listings, for people and tools, which may sort.
fn is_listing(sql: &str) -> bool {
    sql.contains("LIMIT :limit")
        || sql.ends_with("ORDER BY seq")
        || sql.contains("entity_id = :entity")
}

/// The statements that may scan the whole table, each for its reason.
fn may_scan(sql: &str) -> bool {
    // An entity's history, finished events included: an index would cost every event, and few ever
    // ask.
    sql.contains("WHERE entity_id = :entity AND (:user")
        // Takes the write lock and reads no row.
        || sql.ends_with("WHERE false")
        // All pending deletes, at a restore: among all open and dead events.
        || sql.contains("operation = 2")
        || sql.starts_with("DELETE FROM outbox_events WHERE user_id")
        || sql.starts_with("DELETE FROM outbox_events WHERE entity_id")
        // The last 256 rows, and no more.
        || sql.contains("ORDER BY seq DESC LIMIT 1 OFFSET 255")
        // In seq order, whatever the limit: the table's own order.
        || (is_listing(sql) && sql.contains("completed_at IS NOT NULL"))
}

async fn settle(
    store: &SqliteStore,
    disposition: impl Fn() -> Disposition,
    request: &ClaimRequest,
) {
    let claims = store.claim(request).await.unwrap();
    assert!(!claims.is_empty());
    let settlements = claims.iter().map(|claim| Settlement {
        lease: claim.lease,
        disposition: disposition(),
    });
    let exchange = store.settle_and_claim(settlements.collect(), request).await;
    exchange.settled.unwrap();
    let leases: Vec<_> = exchange
        .claimed
        .unwrap()
        .iter()
        .map(|claim| claim.lease)
        .collect();
    store.extend(&leases, LEASE).await.unwrap();
    for lease in leases {
        store.mark_as_completed(&lease).await.unwrap();
    }
}

fn again(refusal: Option<Refusal>) -> Disposition {
    Disposition::GiveBack {
        next_attempt_at: None,
        refusal,
    }
}

/// Excludes what a claim skips while circuits are open, and selects what a probe is for.
fn selecting(request: ClaimRequest) -> ClaimRequest {
    let notes = EventTypes::Only(vec!["note".into()]);
    let selector = Selector::new().event_types(notes);
    let request = request
        .only(selector.clone().destination(None))
        .except(Selector::new().destination(Some("a")))
        .except(Selector::new().user("u8"))
        .except(selector.destination(Some("b")).user("u9"));
    (0..200).fold(request, |request, number| {
        let name = format!("x{number}");
        request
            .except(Selector::new().user(&name))
            .except(Selector::new().destination(Some(&name)))
    })
}

/// Runs every query of a store.
async fn exercise(store: &SqliteStore) {
    let notes: Vec<_> = (0..200).map(note).collect();
    enqueue_all(&notes).on(store).await.unwrap();
    for id in 0..20 {
        note(id).enqueue_update().on(store).await.unwrap();
        note_of("u2", id)
            .enqueue_sync()
            .delay(LEASE)
            .on(store)
            .await
            .unwrap();
    }
    for (id, order) in [(100, Order::User), (101, Order::User), (102, Order::None)] {
        let event = NewEvent::new("task", id, "u3", Operation::Update)
            .with_order(order)
            .with_on_dead(OnDead::Skip)
            .with_coalesce(Coalesce::Latest);
        store.create_event(event.clone()).await.unwrap();
        store
            .create_event(event.with_id(uuid::Uuid::now_v7()))
            .await
            .unwrap();
    }
    let all = ClaimRequest::new(5, LEASE);
    let requests = [
        all.clone(),
        all.clone().with_user("u1"),
        all.clone()
            .with_event_types(EventTypes::Only(vec!["note".into()])),
        all.clone()
            .with_user("u1")
            .with_event_types(EventTypes::AllExcept(vec!["x".into()])),
        all.clone().without_users(vec!["u9".into()]),
        all.clone()
            .without_users((0..1_000).map(|n| format!("v{n}")).collect()),
        all.clone().with_turns(3, "u1"),
        // The first event of user u3 has another type.
        all.clone()
            .with_event_types(EventTypes::Only(vec!["note".into()]))
            .without_users(vec!["u9".into()])
            .with_turns(3, ""),
        selecting(all.clone()),
        selecting(all.clone()).with_turns(3, "u1"),
        all.clone().only(Selector::new().user("u1")),
        all.clone().avoiding_users(vec!["u1".into()]),
    ];
    for request in &requests {
        store.next_due(request).await.unwrap();
        settle(store, || Disposition::Complete, request).await;
    }
    for order in [ClaimOrder::Newest, ClaimOrder::LeastRecent] {
        for request in [
            all.clone(),
            all.clone().with_user("u1"),
            selecting(all.clone()),
        ] {
            // Events that were given back are found among the attempted ones.
            let request = request.in_order(order).avoiding_users(vec!["u1".into()]);
            let refusal = Some(Refusal::new(RefusalClass::Timeout, "30 s"));
            settle(store, || again(refusal.clone()), &request).await;
        }
    }
    let due = store.clock().now() + chrono::TimeDelta::hours(1);
    let message = "no".to_owned();
    settle(
        store,
        || Disposition::Fail {
            next_attempt_at: due,
            message: message.clone(),
        },
        &all,
    )
    .await;
    settle(store, || again(None), &all).await;
    let refusal = Refusal::new(RefusalClass::Unavailable, "503");
    settle(
        store,
        || Disposition::Defer {
            next_attempt_at: due,
            refusal: refusal.clone(),
        },
        &all,
    )
    .await;
    let snoozed = || Disposition::Snooze {
        next_attempt_at: due,
    };
    settle(store, snoozed, &all).await;
    let reason = outbox_runtime::DeadReason::Rejected;
    settle(
        store,
        || Disposition::Bury {
            reason,
            message: message.clone(),
        },
        &all,
    )
    .await;
    store.rescue().await.unwrap();
    for user in [None, Some("u1")] {
        for status in OutboxStatus::ALL {
            store.fetch_events(*status, user, Some(3)).await.unwrap();
        }
        store.fetch_pending_events(user, None).await.unwrap();
        store
            .fetch_events_for_entity(&1.into(), None, user)
            .await
            .unwrap();
        store.statistics(user).await.unwrap();
        store.stale_events(user).await.unwrap();
        let mut filter = EventFilter::default();
        filter.user_id = user.map(str::to_owned);
        store.page(&filter, None, 3).await.unwrap();
        filter.statuses = vec![OutboxStatus::Dead];
        store.page(&filter, None, 3).await.unwrap();
        store.breakdown(user, 5).await.unwrap();
        store.pending_deletes(user).await.unwrap();
        store.explain(&1.into(), user).await.unwrap();
    }
    store.oldest_completed().await.unwrap();
    store.oldest_due().await.unwrap();
    let dead = store
        .fetch_events(OutboxStatus::Dead, None, None)
        .await
        .unwrap();
    let ids: Vec<_> = dead.iter().map(|event| event.id).collect();
    store.reset_for_retry(&ids[..1]).await.unwrap();
    store.discard(&ids[1..]).await.unwrap();
    let one = store
        .fetch_pending_events(None, Some(1))
        .await
        .unwrap()
        .remove(0);
    store.update_event(&one).await.unwrap();
    store.delete_event(one.id).await.unwrap();
    store
        .delete_completed_events(store.clock().now())
        .await
        .unwrap();
    store
        .delete_events_for_entities(&[3.into()], Some("u1"))
        .await
        .unwrap();
    store.delete_all_events_for_user("u2").await.unwrap();
    import(store).await;
}

/// Events of every order, from another outbox.
async fn import(store: &SqliteStore) {
    let source = CoreData::with((0..3).map(OldEvent::new));
    let map = |row: &SourceRow, _: &Source| {
        let order = [Order::None, Order::Entity, Order::User][row.key() as usize % 3];
        let event = NewEvent::new("task", row.key(), "u1", Operation::Update).with_order(order);
        Ok(ImportedEvent::new(event, row.date("createdAt")?).into())
    };
    let events = SourceTable::entity("SDOutboxEvent");
    let report = Import::new(&source.path)
        .table(events)
        .run(store, map)
        .await;
    assert_eq!(report.unwrap().migrated(), 3);
}

/// Each turn is one seek in an index, however many events lie between one user and the next.
#[tokio::test]
async fn turns_cost_one_seek_per_user_and_no_scan_of_a_backlog() {
    let temporary =
        Temporary::open_with(outbox_runtime::store::SqliteStoreBuilder::count_statements).await;
    let store = &temporary.store;
    for (user, count) in [("a", 2), ("b", 30), ("c", 2)] {
        let notes: Vec<_> = (0..count).map(|id| note_of(user, id)).collect();
        enqueue_all(&notes).on(store).await.unwrap();
    }
    // The first claim with turns creates the index.
    let first = ClaimRequest::new(1, LEASE).with_turns(1, "a");
    assert_eq!(store.claim(&first).await.unwrap().len(), 1);
    let before = store.statements().get();
    let turns = ClaimRequest::new(3, LEASE).with_turns(3, "a");
    assert_eq!(store.claim(&turns).await.unwrap().len(), 3);
    let texts = store.statements().texts();
    let asked: Vec<_> = texts
        .iter()
        .filter(|sql| sql.contains("user_id > ?"))
        .collect();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(
        plan(&planner(&temporary), asked[0]),
        ["SEARCH outbox_events USING COVERING INDEX outbox_ready_user (user_id>?)"]
    );
    assert!(store.statements().get() - before < 20);
}

/// One seek for each destination, however many events wait for one that is full.
#[tokio::test]
async fn a_full_destination_costs_claims_no_scan_of_its_backlog() {
    let temporary =
        Temporary::open_with(outbox_runtime::store::SqliteStoreBuilder::count_statements).await;
    let store = &temporary.store;
    let events = (0..604).map(|id| {
        let destination = match id {
            0..600 => "full",
            600 | 601 => "a",
            _ => "b",
        };
        let event = NewEvent::new("note", id, "u1", Operation::Update);
        Ok(event.with_destination(destination))
    });
    BatchSink::enqueue_all(store, events).await.unwrap();
    let full = Selector::new().destination(Some("full"));
    let others = ClaimRequest::new(1, LEASE).except(full);
    // The first such claim creates the index.
    assert_eq!(store.claim(&others).await.unwrap().len(), 1);
    let before = store.statements().get();
    assert_eq!(store.claim(&others).await.unwrap().len(), 1);
    store.next_due(&others).await.unwrap();
    assert!(store.statements().get() - before < 60);
    let texts = store.statements().texts();
    let asked: Vec<_> = texts
        .iter()
        .filter(|sql| sql.contains("INDEXED BY outbox_ready_to"))
        .collect();
    // The destinations, the events of each for a claim, and for the next due time.
    assert_eq!(asked.len(), 3, "{asked:?}");
    for sql in asked {
        let plan = plan(&planner(&temporary), sql);
        let [step] = &plan[..] else {
            panic!("{sql}: {plan:?}");
        };
        let seek = "SEARCH outbox_events USING COVERING INDEX outbox_ready_to (destination";
        assert!(step.starts_with(seek), "{sql}: {plan:?}");
    }
}

/// The events of an entity are found by their lane, however many others wait.
#[tokio::test]
async fn a_cancellation_of_an_entity_reads_no_event_of_others() {
    let temporary =
        Temporary::open_with(outbox_runtime::store::SqliteStoreBuilder::count_statements).await;
    let store = &temporary.store;
    let notes: Vec<_> = (0..200).map(note).collect();
    enqueue_all(&notes).on(store).await.unwrap();
    // Under another order, and without a place, as other programs write it.
    let reordered = NewEvent::new("task", 7, "u1", Operation::Update).with_order(Order::User);
    store.create_event(reordered).await.unwrap();
    let unplaced = NewEvent::new("task", 7, "u1", Operation::Update);
    let unplaced = store.create_event(unplaced).await.unwrap();
    let forget = "UPDATE outbox_events SET slot = 0, lane = 0, entity_lane = NULL WHERE id = ?1";
    temporary.connect().execute(forget, [unplaced.id]).unwrap();
    let before = store.statements().texts();
    let canceled = Cancel::entity("u1", 7).on(store).await.unwrap();
    assert_eq!(canceled.canceled.len(), 3, "{canceled:?}");
    let texts = store.statements().texts();
    let is_read = |sql: &&String| {
        sql.starts_with("SELECT") && sql.contains("entity_id = ?") && !before.contains(sql)
    };
    let reads: Vec<_> = texts.iter().filter(is_read).collect();
    // By lane, by the lane under the usual order, and the skipped dead letters.
    assert_eq!(reads.len(), 3, "{reads:?}");
    let conn = planner(&temporary);
    let seeks = |sql: &str| {
        let plan = plan(&conn, sql);
        let of_events = plan.iter().filter(|step| step.contains("outbox_events"));
        let is_seek = |step: &String| step.starts_with("SEARCH") && step.contains("=?");
        of_events.clone().count() == 1 && of_events.into_iter().all(is_seek)
    };
    for sql in reads {
        assert!(seeks(sql), "{sql}: {:?}", plan(&conn, sql));
    }
    // The control: every undelivered event.
    let all = "SELECT seq FROM outbox_events INDEXED BY outbox_lane WHERE lane IS NOT NULL AND entity_id = ?1";
    assert!(!seeks(all), "{:?}", plan(&conn, all));
}

#[tokio::test]
async fn no_statement_scans_the_table_and_none_on_the_path_of_an_event_sorts() {
    let temporary =
        Temporary::open_with(outbox_runtime::store::SqliteStoreBuilder::count_statements).await;
    exercise(&temporary.store).await;
    let conn = planner(&temporary);
    let texts = temporary.store.statements().texts();
    let asked: Vec<&String> = texts
        .iter()
        .filter(|sql| sql.contains("outbox_events") && !sql.starts_with("CREATE"))
        // SQLite reports statements of triggers as comments.
        .filter(|sql| !sql.starts_with("--"))
        .collect();
    assert!(
        asked.len() > 40,
        "only {} statements were seen",
        asked.len()
    );
    let mut bad = Vec::new();
    for sql in asked {
        let plan = plan(&conn, sql);
        if (!may_scan(sql) && !table_scans(&plan).is_empty())
            || (!is_listing(sql) && !sorts(&plan).is_empty())
        {
            bad.push(format!("{sql}\n{plan:#?}"));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n\n"));
    // The positive controls: the check recognizes a scan and a sort.
    let scanned = plan(
        &conn,
        "SELECT 1 FROM outbox_events WHERE error_message = 'x'",
    );
    assert_eq!(table_scans(&scanned).len(), 1, "{scanned:?}");
    let sorted = plan(
        &conn,
        "SELECT seq FROM outbox_events WHERE slot = 1 ORDER BY created_at",
    );
    assert_eq!(sorts(&sorted).len(), 1, "{sorted:?}");
}
