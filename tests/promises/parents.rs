//! No event is sent before the entities that it names exist at the service.

use std::time::Duration;

use outbox_runtime::rusqlite::params_from_iter;
use outbox_runtime::{
    Clock, Coalesce, Enqueue, EnqueueError, Flushed, HandlerSet, NewEvent, OnDead, Parent, Pause,
    PauseScope, Processor, RawMetadata, WaitsFor, prelude::*,
};
use outbox_testing::{FaultRates, Invariant, Simulation, simulate};
use outbox_tests::simulated::{first_violation, on_sqlite, with_flaw};
use outbox_tests::{
    Flaw, Note, Task, Temporary, enqueue, foreign_statement, note, on_each_store, within,
};
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(30);

/// A page of a journal, which had another name before, and perhaps of a folder.
#[derive(Debug, Clone, OutboxEntity)]
#[outbox(event_type = "journal", alias = ["diary"])]
struct Journal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[derive(Debug, Clone, OutboxEntity)]
#[outbox(event_type = "page", coalesce = "latest", snapshot)]
struct Page {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(after = Journal)]
    journal: i64,
    #[outbox(after = Self)]
    below: Option<i64>,
}

impl serde::Serialize for Page {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.id, &self.user_id, self.journal, self.below).serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Page {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (id, user_id, journal, below) = serde::Deserialize::deserialize(deserializer)?;
        Ok(Self {
            id,
            user_id,
            journal,
            below,
        })
    }
}

fn journal(id: i64) -> Journal {
    let user_id = "u1".to_owned();
    Journal { id, user_id }
}

fn page(id: i64, journal: i64, below: Option<i64>) -> Page {
    let user_id = "u1".to_owned();
    Page {
        id,
        user_id,
        journal,
        below,
    }
}

fn event_of(change: Enqueue) -> NewEvent {
    change.into_event().unwrap()
}

#[test]
fn the_fields_of_an_entity_name_its_parents() {
    let of_journal = Parent::of::<Journal>(7);
    assert_eq!(of_journal.aliases, ["diary"]);
    let first = event_of(page(1, 7, None).enqueue_create());
    assert_eq!(first.parents(), std::slice::from_ref(&of_journal));
    let second = event_of(page(2, 7, Some(1)).enqueue_delete());
    assert_eq!(
        second.parents(),
        [of_journal.clone(), Parent::of::<Page>(1)]
    );
    let more = event_of(
        page(1, 7, None)
            .enqueue_update()
            .after::<Note>(9)
            .after::<Journal>(7),
    );
    assert_eq!(more.parents(), [of_journal, Parent::of::<Note>(9)]);
    assert_eq!(Page::OPTIONS.after(), ["journal", "page"]);
    assert!(Journal::OPTIONS.after().is_empty());
    assert!(event_of(journal(7).enqueue_create()).parents().is_empty());
}

/// Such a child would wait for nobody. What a type can tell about its ids does not compile: see
/// `ui/fail/parents`.
#[test]
fn an_id_that_no_parent_has_is_refused() {
    #[derive(OutboxEntity)]
    #[outbox(event_type = "album", user_id = "u1")]
    struct Album {
        #[outbox(entity_id)]
        id: Uuid,
    }

    #[derive(OutboxEntity)]
    #[outbox(event_type = "seat", user_id = "u1", entity_id = (self.row, self.number))]
    struct Seat {
        row: String,
        number: u8,
    }

    #[derive(OutboxEntity)]
    #[outbox(event_type = "photo", user_id = "u1")]
    struct Photo {
        #[outbox(entity_id)]
        id: i64,
        #[outbox(after = Album)]
        album: String,
    }

    let id = Uuid::from_u128(0xab);
    let photo = |album: String| Photo { id: 1, album };
    let accepted = [
        photo(id.to_string()).enqueue_create(),
        page(1, 7, None).enqueue_create().after::<Album>(id),
        page(1, 7, None).enqueue_create().after::<Seat>(("a", 7)),
        page(1, 7, None).enqueue_create().after::<Journal>("8"),
        page(1, 7, None).enqueue_create().after::<Journal>(u64::MAX),
    ];
    for change in accepted {
        event_of(change).validate().unwrap();
    }
    let refused = [
        (
            photo(id.to_string().to_uppercase()).enqueue_create(),
            "UUIDs",
        ),
        (photo("7".to_owned()).enqueue_create(), "UUIDs"),
        (page(1, 7, None).enqueue_create().after::<Album>(7), "UUIDs"),
        (
            page(1, 7, None).enqueue_create().after::<Journal>(id),
            "integers",
        ),
        (
            page(1, 7, None).enqueue_create().after::<Journal>("7b"),
            "integers",
        ),
        (
            page(1, 7, None).enqueue_create().after::<Seat>("a7"),
            "ids of several parts",
        ),
    ];
    for (change, kind) in refused {
        let error = change.into_event().unwrap_err();
        let told = format!("but the ids of that type are {kind}, so");
        assert!(
            matches!(&error, EnqueueError::Invalid { field: "parents", reason, .. } if reason.contains(&told)),
            "{error}"
        );
    }
    on_each_store(|store, _| async move {
        let of_album = Parent::of::<Album>(7);
        let event = NewEvent::new("page", 1, "u1", Operation::Create).with_parent(of_album);
        let refused = store.create_event(event).await;
        assert!(matches!(
            refused,
            Err(EnqueueError::Invalid {
                field: "parents",
                ..
            })
        ));
    });
}

#[test]
fn a_handler_gets_a_child_only_after_its_parent_was_delivered() {
    on_each_store(|store, _| async move {
        let (mut remote, handlers) = outbox_tests::Remote::of::<Note>();
        let (mut of_tasks, task_handlers) = outbox_tests::Remote::of::<Task>();
        let processor = Processor::builder(store.clone())
            .handlers(handlers)
            .handlers(task_handlers)
            .build()
            .unwrap();
        let running = processor.start("u1");
        let task = Task {
            id: 1,
            user_id: "u1".to_owned(),
        };
        let parent = enqueue(&store, note(7).enqueue_create()).await;
        enqueue(&store, task.enqueue_create().after::<Note>(7)).await;
        let call = remote.next().await;
        assert_eq!(call.event.id, parent.id);
        assert!(of_tasks.is_quiet());
        let why = running.explain(1).await.unwrap();
        let WaitsFor::Parent { event_id, then, .. } = &why.waits_for else {
            panic!("{why}");
        };
        assert_eq!(*event_id, parent.id);
        assert!(matches!(**then, WaitsFor::Handler { .. }), "{why}");
        call.ok();
        of_tasks.next().await.ok();
        assert_eq!(running.flush(1, SOON).await.unwrap(), Flushed::Delivered);
        running.stop().await.unwrap();
    });
}

#[test]
fn a_flush_ends_where_only_a_decision_about_the_parent_helps() {
    on_each_store(|store, _| async move {
        let (mut remote, handlers) = outbox_tests::Remote::of::<Note>();
        let processor = Processor::builder(store.clone())
            .handlers(handlers)
            .handle::<Task>(|_| async { Ok(()) })
            .build()
            .unwrap();
        let running = processor.start("u1");
        let task = Task {
            id: 1,
            user_id: "u1".to_owned(),
        };
        let parent = enqueue(&store, note(7).enqueue_create()).await;
        enqueue(&store, task.enqueue_create().after::<Note>(7)).await;
        remote.next().await.fail(HandlerError::permanent("no"));
        let Flushed::Blocked(why) = within(running.flush(1, SOON)).await.unwrap() else {
            panic!("it waits for a decision");
        };
        let about = format!("event {}, which creates note 7", parent.id);
        assert!(why.to_string().contains(&about), "{why}");
        store.discard(&[parent.id]).await.unwrap();
        assert_eq!(running.flush(1, SOON).await.unwrap(), Flushed::Delivered);
        running.stop().await.unwrap();
    });
}

#[test]
fn what_keeps_a_parent_from_its_handler_explains_its_child() {
    on_each_store(|store, _| async move {
        let processor = Processor::builder(store.clone())
            .handle::<Task>(|_| async { Ok(()) })
            .build()
            .unwrap();
        let running = processor.start("u1");
        let task = Task {
            id: 1,
            user_id: "u1".to_owned(),
        };
        enqueue(&store, note(7).enqueue_create()).await;
        enqueue(&store, task.enqueue_create().after::<Note>(7)).await;
        let Flushed::Blocked(why) = within(running.flush(1, SOON)).await.unwrap() else {
            panic!("nobody delivers the parent");
        };
        let of_run = why.waits_for.at_last();
        let is_known =
            matches!(of_run, WaitsFor::Registration { event_type } if event_type == "note");
        assert!(is_known, "{why}");
        running.stop().await.unwrap();
    });
}

#[test]
fn a_flush_of_a_child_ends_where_its_parent_is_paused() {
    on_each_store(|store, _| async move {
        let processor = Processor::builder(store.clone())
            .handle::<Note>(|_| async { Ok(()) })
            .handle::<Task>(|_| async { Ok(()) })
            .build()
            .unwrap();
        let task = Task {
            id: 1,
            user_id: "u1".to_owned(),
        };
        store.pause(&Pause::event_type("note")).await.unwrap();
        enqueue(&store, note(7).enqueue_create()).await;
        enqueue(&store, task.enqueue_create().after::<Note>(7)).await;
        let running = processor.start("u1");
        let Flushed::Blocked(why) = within(running.flush(1, SOON)).await.unwrap() else {
            panic!("nobody delivers the parent");
        };
        let at_last = why.waits_for.at_last();
        assert!(matches!(at_last, WaitsFor::Pause(_)), "{why}");
        let paused = PauseScope::EventType("note".to_owned());
        store.unpause(&paused).await.unwrap();
        assert_eq!(running.flush(1, SOON).await.unwrap(), Flushed::Delivered);
        running.stop().await.unwrap();
    });
}

#[test]
fn a_child_starts_when_the_handler_of_its_parent_completes_it_in_a_transaction() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let made = Temporary::open().await;
        let store = made.store.clone();
        let of_handler = store.clone();
        let handlers = HandlerSet::new()
            .with::<Journal>(move |event| {
                let store = of_handler.clone();
                async move {
                    let event = OutboxEvent::clone(&event);
                    let done = store
                        .transaction(move |tx| Ok(event.complete_on(tx)?))
                        .await;
                    done.or_retry()
                }
            })
            .with::<Page>(|_| async { Ok(()) });
        let processor = Processor::builder(store.clone())
            .handlers(handlers)
            .build()
            .unwrap();
        let running = processor.start("u1");
        store
            .transaction(|tx| {
                journal(7).enqueue_create().on(tx)?;
                page(1, 7, None).enqueue_create().on(tx)?;
                page(2, 7, Some(1)).enqueue_create().on(tx)?;
                Ok(())
            })
            .await
            .unwrap();
        for id in [2, 1] {
            let flushed = within(running.flush_entity(&page(id, 7, None), SOON)).await;
            assert_eq!(flushed.unwrap(), Flushed::Delivered);
        }
        running.stop().await.unwrap();
    });
}

#[tokio::test]
async fn a_child_that_another_driver_enqueues_waits_alike() {
    let made = Temporary::open().await;
    let driver = made.connect();
    for event in [
        event_of(journal(7).enqueue_create()),
        event_of(page(1, 7, None).enqueue_create()),
    ] {
        let (sql, values) = foreign_statement(&event);
        assert_eq!(driver.execute(sql, params_from_iter(values)).unwrap(), 1);
    }
    let store = &made.store;
    let why = store.explain(&1.into(), None).await.unwrap();
    assert!(matches!(why.waits_for, WaitsFor::Parent { .. }), "{why}");
    let request = outbox_runtime::store::ClaimRequest::new(9, SOON);
    let claims = store.claim(&request).await.unwrap();
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].event.event_type, "journal");
    // Its other statements count as well: the parent is deleted.
    let delete = "DELETE FROM outbox_events WHERE event_type = 'journal'";
    assert_eq!(driver.execute(delete, []).unwrap(), 1);
    let claims = store.claim(&request).await.unwrap();
    assert_eq!(claims[0].event.event_type, "page");
    let left: i64 = driver
        .query_row("SELECT count(*) FROM outbox_waits", [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_waiting_child_is_not_stuck_and_a_forgotten_one_is_repaired() {
    let made = Temporary::open().await;
    let store = &made.store;
    journal(7).enqueue_create().on(store).await.unwrap();
    page(1, 7, None).enqueue_create().on(store).await.unwrap();
    let request = outbox_runtime::store::ClaimRequest::new(9, SOON);
    let held = store.claim(&request).await.unwrap().remove(0);
    assert_eq!(held.event.event_type, "journal");
    let full = outbox_runtime::store::CheckDepth::Full;
    assert_eq!(store.check(full).await.unwrap(), []);
    // An UPDATE that completes an event goes unnoticed.
    let driver = made.connect();
    driver
        .execute_batch(
            "DELETE FROM outbox_claims;
             UPDATE outbox_events SET status = 2, slot = NULL, lane = NULL, completed_at = 0 WHERE event_type = 'journal';",
        )
        .unwrap();
    let found = store.check(full).await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(store.repair().await.unwrap().lanes, 1);
    let claims = store.claim(&request).await.unwrap();
    assert_eq!(claims[0].event.event_type, "page");
}

#[test]
fn the_wire_form_keeps_the_parents() {
    let child = event_of(page(2, 7, Some(1)).enqueue_create());
    let row = child.into_pending(outbox_runtime::store::SystemClock.now());
    let json = serde_json::to_value(&row).unwrap();
    let parents = serde_json::json!([
        {"eventType": "journal", "aliases": ["diary"], "entityID": "7"},
        {"eventType": "page", "entityID": "1"},
    ]);
    assert_eq!(json["parents"], parents);
    let read: OutboxEvent = serde_json::from_value(json).unwrap();
    assert_eq!(read.parents, row.parents);
}

/// Changes of three types in a chain, of which the last has parents of both others.
fn changes_with_parents(simulation: Simulation) -> Simulation {
    simulation.changes(|draw, user| {
        let id = draw.below(4) as i64;
        let operation = *draw.pick(&[
            Operation::Create,
            Operation::Create,
            Operation::Update,
            Operation::Delete,
        ]);
        let kind = draw.below(3);
        let name = ["shelf", "journal", "page"][kind as usize];
        let order = *draw.pick(&[Order::Entity, Order::Entity, Order::User, Order::None]);
        let mut event = NewEvent::new(name, id, user, operation)
            .with_max_attempts(1 + draw.below(4) as u32)
            .with_priority(draw.below(3) as i32)
            .with_order(order)
            .with_on_dead(*draw.pick(&[OnDead::Hold, OnDead::Skip]))
            .with_coalesce([Coalesce::Latest, Coalesce::Never, Coalesce::Latest][kind as usize])
            .with_metadata(RawMetadata::from_bytes(format!(
                "{{\"n\":{}}}",
                draw.word()
            )));
        if kind > 0 {
            event = event.with_after("shelf", draw.below(4) as i64);
        }
        if kind > 1 {
            event = event.with_after("journal", draw.below(4) as i64);
            if draw.chance(300) {
                event = event.with_after("page", draw.below(4) as i64);
            }
        }
        Ok(event)
    })
}

#[test]
fn no_event_goes_before_its_parents_and_none_waits_for_ever_whatever_fails() {
    let report = simulate(0..400, changes_with_parents);
    println!("{report}");
    assert!(report.dead > 0 && report.delivered > 0 && report.crashes > 0);
    let on_sqlite = simulate(0..40, |simulation| {
        on_sqlite(changes_with_parents(simulation))
    });
    assert!(on_sqlite.delivered > 0);
}

#[test]
fn a_store_that_forgets_parents_is_caught() {
    for (flaw, expected) in [
        (Flaw::ForgetsParents, Some(Invariant::ParentFirst)),
        (Flaw::None, None),
    ] {
        let found = first_violation(60, |simulation| {
            with_flaw(
                changes_with_parents(simulation).faults(FaultRates::default()),
                flaw,
            )
        });
        assert_eq!(found, expected, "{flaw:?}");
    }
}
