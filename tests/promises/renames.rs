//! An event type is renamed or given up while rows of it still wait.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_runtime::store::Announcement;
use outbox_runtime::support::{Retired, Retirement};
use outbox_runtime::{
    BuildError, Clock, DeadReason, Flushed, HandlerSet, NewEvent, Processor, RawMetadata,
    RunOutcome, WaitsFor, prelude::*,
};
use outbox_tests::{Log, Remote, enqueue, on_each_store, within};

const SOON: Duration = Duration::from_secs(30);

/// It was called `mood` and then `mood_entry` in earlier releases.
#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry", alias = ["mood", "mood_entry"], version = 2, upcast(1 = MoodV1))]
#[outbox(retry = ["7s"], charge = "always", timeout = "3s", lease = "40s")]
struct Mood {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    valence: f64,
}

#[derive(serde::Deserialize)]
struct MoodV1 {
    mark: f64,
}

impl From<MoodV1> for MoodMetadata {
    fn from(old: MoodV1) -> Self {
        Self { valence: old.mark }
    }
}

#[derive(OutboxEvents)]
#[outbox(retired("journal" = drop, "draft" = dead, "chat" = hold))]
enum LumeEvent {
    Mood(Event<Mood>),
}

struct Deliver;

impl LumeEventHandler for Deliver {
    async fn mood(&self, _: Event<Mood>) -> Result<(), HandlerError> {
        Ok(())
    }
}

fn mood(id: i64) -> Mood {
    Mood {
        id,
        user_id: "u1".to_owned(),
        valence: 0.5,
    }
}

/// A row as an earlier release wrote it.
fn old(event_type: &'static str, id: i64) -> NewEvent {
    let metadata = RawMetadata::from_bytes(br#"{"mark":0.25}"#.to_vec());
    NewEvent::new(event_type, id, "u1", Operation::Update).with_metadata(metadata)
}

fn lume(store: &(impl OutboxRepository + Clone)) -> Processor {
    Processor::builder(store.clone())
        .handlers(LumeEvent::handled_by(Deliver))
        .build()
        .unwrap()
}

#[test]
fn rows_under_an_older_name_are_delivered_as_the_entity_that_has_it() {
    on_each_store(|store, _| async move {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let handled = Arc::clone(&seen);
        let running = Processor::builder(store.clone())
            .handle::<Mood>(move |event: Event<Mood>| {
                let row = (event.event_type.clone(), event.metadata().valence);
                handled.lock().unwrap().push(row);
                async { Ok(()) }
            })
            .build()
            .unwrap()
            .start("u1");
        for (name, id) in [("mood", 1), ("mood_entry", 2)] {
            store.create_event(old(name, id)).await.unwrap();
            assert!(running.flush(id, SOON).await.unwrap().is_delivered());
        }
        enqueue(&store, mood(3).enqueue_update()).await;
        assert!(running.flush(3, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
        let expected = [("mood", 0.25), ("mood_entry", 0.25), ("moodEntry", 0.5)];
        let expected = expected.map(|(name, valence)| (name.to_owned(), valence));
        assert_eq!(*seen.lock().unwrap(), expected);
    });
}

#[test]
fn events_of_both_names_of_an_entity_keep_their_order() {
    on_each_store(|store, _| async move {
        let (mut remote, handlers) = Remote::of::<Mood>();
        store.create_event(old("mood_entry", 7)).await.unwrap();
        enqueue(&store, mood(7).enqueue_update().priority(100)).await;
        store.create_event(old("mood", 7)).await.unwrap();
        let processor = Processor::builder(store.clone()).handlers(handlers);
        let running = processor.build().unwrap().start("u1");
        for expected in ["mood_entry", "moodEntry", "mood"] {
            let call = remote.next().await;
            assert_eq!(call.event.event_type, expected);
            assert!(remote.is_quiet(), "the others wait for it");
            call.ok();
        }
        assert!(running.flush(7, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
    });
}

#[test]
fn the_options_of_the_entity_hold_for_its_older_names() {
    on_each_store(|store, clock| async move {
        let (mut remote, handlers) = Remote::of::<Mood>();
        let stored = store.create_event(old("mood", 1)).await.unwrap();
        let processor = Processor::builder(store.clone()).handlers(handlers);
        let running = processor.build().unwrap().start("u1");
        let mut outcomes = running.outcomes();
        let call = remote.next().await;
        let lease = call.event.lease_expires_at.unwrap() - clock.now();
        assert_eq!(lease.num_seconds(), 40);
        call.fail(HandlerError::retry("500"));
        let failed = within(outcomes.next()).await.unwrap();
        let RunOutcome::Failed { event, .. } = failed else {
            panic!("{failed:?}");
        };
        assert_eq!(event.id, stored.id);
        let wait = event.next_attempt_at - clock.now();
        // The delay of the schedule, with jitter.
        assert!((7_000..14_000).contains(&wait.num_milliseconds()), "{wait}");
        running.stop().await.unwrap();
    });
}

#[test]
fn a_set_decodes_rows_of_older_names() {
    let of = |name: &'static str| {
        on_one(move |store| async move {
            let row = store.create_event(old(name, 1)).await.unwrap();
            let metadata = LumeEventMetadata::decode(&row).unwrap();
            let LumeEvent::Mood(event) = LumeEvent::decode(row).unwrap();
            (metadata, event.metadata().valence)
        })
    };
    for name in ["mood", "mood_entry", "moodEntry"] {
        let (metadata, valence) = of(name);
        let LumeEventMetadata::Mood(typed) = metadata else {
            panic!("{metadata:?}");
        };
        assert_eq!((typed.valence, valence), (0.25, 0.25));
    }
    let tagged: LumeEventMetadata = serde_json::from_str(r#"{"mood":{"valence":1.0}}"#).unwrap();
    assert_eq!(
        serde_json::to_string(&tagged).unwrap(),
        r#"{"moodEntry":{"valence":1.0}}"#
    );
}

fn on_one<T, F: Future<Output = T>>(case: impl FnOnce(MemoryStore) -> F) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(case(MemoryStore::new()))
}

#[test]
fn a_run_announces_its_older_names_and_what_it_retires() {
    on_each_store(|store, _| async move {
        let running = lume(&store).start("u1");
        running.unhandled_types().await.unwrap();
        let processes = store.processes().await.unwrap();
        let run = &processes[0].runs[0];
        let types = run.event_types.clone().unwrap();
        assert_eq!(
            types,
            ["draft", "journal", "mood", "moodEntry", "mood_entry"]
        );
        assert_eq!(run.held_types, ["chat"]);
        assert!(run.handles("mood") && run.handles("draft") && !run.handles("chat"));
        running.stop().await.unwrap();
    });
}

#[test]
fn an_event_of_a_dropped_type_is_completed_without_a_delivery_and_told() {
    on_each_store(|store, _| async move {
        let running = lume(&store).start("u1");
        let mut outcomes = running.outcomes();
        let stored = store.create_event(old("journal", 7)).await.unwrap();
        let told = within(outcomes.next()).await.unwrap();
        let RunOutcome::Retired { event } = told else {
            panic!("{told:?}");
        };
        assert_eq!(
            (event.id, event.status),
            (stored.id, OutboxStatus::Completed)
        );
        let kept = store.fetch_event(stored.id).await.unwrap().unwrap();
        assert_eq!(kept, *event, "it is shown as it is stored");
        // The events behind it go on.
        enqueue(&store, mood(7).enqueue_update()).await;
        assert!(running.flush(7, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
    });
}

#[test]
fn an_event_of_a_dropped_type_is_gone_where_delivered_events_are_not_kept() {
    on_each_store(|store, _| async move {
        let processor = Processor::builder(store.clone())
            .handlers(LumeEvent::handled_by(Deliver))
            .keep_completed(Duration::ZERO);
        let running = processor.build().unwrap().start("u1");
        let mut outcomes = running.outcomes();
        let stored = store.create_event(old("journal", 7)).await.unwrap();
        let told = within(outcomes.next()).await.unwrap();
        assert!(matches!(told, RunOutcome::Retired { .. }), "{told:?}");
        assert_eq!(store.fetch_event(stored.id).await.unwrap(), None);
        running.stop().await.unwrap();
    });
}

#[test]
fn an_event_of_a_dead_type_becomes_a_dead_letter_with_that_reason() {
    on_each_store(|store, _| async move {
        let dead = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&dead);
        let processor = Processor::builder(store.clone())
            .handlers(LumeEvent::handled_by(Deliver))
            .on_dead(move |event| noted.lock().unwrap().push(event.dead_reason));
        let running = processor.build().unwrap().start("u1");
        let stored = store.create_event(old("draft", 7)).await.unwrap();
        let blocked = running.flush(7, SOON).await.unwrap();
        let Flushed::Blocked(explanation) = blocked else {
            panic!("{blocked:?}");
        };
        let WaitsFor::Decision {
            event_id,
            reason,
            message,
        } = explanation.waits_for
        else {
            panic!("{explanation}");
        };
        assert_eq!((event_id, reason), (stored.id, DeadReason::Retired));
        assert_eq!(message.unwrap(), "the event type \"draft\" is retired");
        running.stop().await.unwrap();
        assert_eq!(*dead.lock().unwrap(), [Some(DeadReason::Retired)]);
        let row = store.fetch_event(stored.id).await.unwrap().unwrap();
        assert_eq!(row.dead_reason, Some(DeadReason::Retired));
    });
}

#[test]
fn an_event_of_a_held_type_stays_as_it_is_and_says_so() {
    on_each_store(|store, _| async move {
        let stored = store.create_event(old("chat", 7)).await.unwrap();
        enqueue(&store, mood(7).enqueue_update()).await;
        enqueue(&store, mood(8).enqueue_update()).await;
        let running = lume(&store).start("u1");
        assert!(running.flush(8, SOON).await.unwrap().is_delivered());
        let blocked = running.flush(7, SOON).await.unwrap();
        let Flushed::Blocked(explanation) = blocked else {
            panic!("{blocked:?}");
        };
        let held = WaitsFor::Retired {
            event_type: "chat".to_owned(),
        };
        assert_eq!(explanation.waits_for, held);
        assert!(explanation.to_string().contains("\"chat\" is retired"));
        assert_eq!(explanation.undelivered, 2, "the mood waits behind it");
        assert_eq!(store.fetch_event(stored.id).await.unwrap(), Some(stored));
        running.stop().await.unwrap();
    });
}

/// Takes every type but `note`, without naming them.
struct Relay;

#[async_trait]
impl OutboxEventHandler for Relay {
    fn can_handle(&self, event_type: &str) -> bool {
        event_type == "relayed"
    }

    async fn handle(&self, _: &OutboxEvent) -> Result<(), HandlerError> {
        Ok(())
    }
}

#[test]
fn retirement_holds_beside_a_handler_that_does_not_name_its_types() {
    on_each_store(|store, _| async move {
        let held = store.create_event(old("chat", 1)).await.unwrap();
        let dropped = store.create_event(old("journal", 2)).await.unwrap();
        let relayed = store.create_event(old("relayed", 3)).await.unwrap();
        store.create_event(old("gone", 4)).await.unwrap();
        let processor = Processor::builder(store.clone())
            .handlers(LumeEvent::handled_by(Deliver))
            .handler(Relay);
        let running = processor.build().unwrap().start("u1");
        for event in [&dropped, &relayed] {
            let flushed = running.flush_event(event.id, SOON).await.unwrap();
            assert!(flushed.is_delivered(), "{flushed:?}");
        }
        let unhandled = running.unhandled_types().await.unwrap();
        assert_eq!(unhandled.types.len(), 1);
        assert_eq!(unhandled.types[0].event_type, "gone");
        running.stop().await.unwrap();
        assert_eq!(store.fetch_event(held.id).await.unwrap(), Some(held));
    });
}

#[test]
fn a_type_that_is_retired_and_taken_is_refused_before_anything_runs() {
    on_one(|store| async move {
        let retire = |name| HandlerSet::new().retire(&[Retired::new(name, Retirement::Drop)]);
        let refused = |builder: outbox_runtime::ProcessorBuilder| {
            let error = builder.handlers(LumeEvent::handled_by(Deliver)).build();
            match error.unwrap_err() {
                BuildError::RetiredAndTaken { event_type } => event_type,
                other => panic!("{other}"),
            }
        };
        let builder = || Processor::builder(store.clone());
        assert_eq!(refused(builder().handlers(retire("mood"))), "mood");
        assert_eq!(refused(builder().handlers(retire("chat"))), "chat");
        let by_relay = builder().handlers(retire("relayed")).handler(Relay);
        assert_eq!(refused(by_relay), "relayed");
    });
}

#[test]
fn a_run_that_has_not_looked_at_all_events_says_so() {
    on_each_store(|store, _| async move {
        let (log, _guard) = Log::of_this_thread();
        let mut enqueueing = tokio::task::JoinSet::new();
        for id in 0..2_001 {
            let store = std::sync::Arc::clone(&store);
            let event = old("mood", id).with_delay(Duration::from_secs(3_600));
            enqueueing.spawn(async move { store.create_event(event).await.unwrap() });
        }
        enqueueing.join_all().await;
        store.create_event(old("gone", 3_000)).await.unwrap();
        let running = lume(&store).start("u1");
        let found = within(running.unhandled_types()).await.unwrap();
        assert!(!found.is_complete);
        running.stop().await.unwrap();
        let text = log.text();
        let mut lines = text.lines();
        let told = lines.find(|line| line.contains("outbox_runtime::unhandled_types"));
        let told = told.expect("it says that there may be more");
        let words = format!("looked_at={}", found.counted);
        assert!(told.contains("INFO") && told.contains(&words), "{told}");
    });
}

#[test]
fn a_run_tells_once_at_its_start_which_stored_types_nobody_handles() {
    on_each_store(|store, clock| async move {
        let (log, _guard) = Log::of_this_thread();
        for (name, id) in [
            ("mood", 1),
            ("gone", 2),
            ("gone", 3),
            ("elsewhere", 4),
            ("chat", 5),
        ] {
            store.create_event(old(name, id)).await.unwrap();
        }
        let other = Announcement::new(clock.now()).with_event_types(vec!["elsewhere".to_owned()]);
        store.announce(&other).await.unwrap();
        let running = lume(&store).start("u1");
        let found = within(running.unhandled_types()).await.unwrap();
        let of = |types: &[outbox_runtime::TypeCounts]| -> Vec<(String, u64)> {
            let types = types.iter();
            types
                .map(|it| (it.event_type.clone(), it.pending))
                .collect()
        };
        assert_eq!(of(&found.types), [("gone".to_owned(), 2)]);
        assert_eq!(of(&found.held), [("chat".to_owned(), 1)]);
        assert_eq!(found.counted, 5);
        assert!(found.is_complete);
        // Later ones are told when they are met, not here.
        store.create_event(old("later", 6)).await.unwrap();
        enqueue(&store, mood(7).enqueue_update()).await;
        assert!(running.flush(7, SOON).await.unwrap().is_delivered());
        assert_eq!(within(running.unhandled_types()).await.unwrap(), found);
        running.stop().await.unwrap();

        let text = log.text();
        let told: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("outbox_runtime::unhandled_types"))
            .collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(
            told[0].contains("WARN") && told[0].contains("[\"gone\"]"),
            "{told:?}"
        );
        let counts = "types_count=1 events=2";
        assert!(told[0].contains(counts), "{told:?}");
        assert!(
            told[1].contains("INFO") && told[1].contains("[\"chat\"]"),
            "{told:?}"
        );
        store.withdraw(other.run_id).await.unwrap();
    });
}
