//! The mood entries that the programs save, and what holds for their events on every store.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use outbox_runtime::prelude::*;
use outbox_runtime::store::SystemClock;
use outbox_runtime::{Clock, HandlerSet, Order};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Answer, Program};
use crate::{hostile, within};

/// The tables of the application, for any database. A person who does not exist fails the commit.
pub const TABLES: &str = "
CREATE TABLE person (name TEXT PRIMARY KEY);
INSERT INTO person VALUES ('ada'), ('Zoë 😀');
CREATE TABLE mood_entry (
    id TEXT PRIMARY KEY,
    person TEXT NOT NULL REFERENCES person DEFERRABLE INITIALLY DEFERRED,
    score INTEGER NOT NULL CHECK (score BETWEEN 1 AND 5),
    note TEXT NOT NULL,
    revision INTEGER NOT NULL
);";

/// The entity as our program knows it.
#[derive(Debug, Clone, OutboxEntity)]
#[outbox(event_type = "moodEntry")]
pub struct MoodEntry {
    /// Its key.
    #[outbox(entity_id)]
    pub id: String,
    /// Its person.
    #[outbox(user_id)]
    pub person: String,
    /// From 1 to 5; none of a deleted one.
    #[outbox(metadata)]
    pub score: Option<i64>,
    /// A text.
    #[outbox(metadata)]
    pub note: Option<String>,
    /// Counts the changes, in the order of their commits.
    #[outbox(metadata)]
    pub revision: i64,
}

/// A change as a program is told it.
#[derive(Debug, Clone)]
pub struct Mood {
    /// The entry.
    pub id: String,
    /// Its person.
    pub user: String,
    /// None deletes the entry.
    pub score: Option<i64>,
    /// A text.
    pub note: Option<String>,
    /// The id of the event, if the program does not choose it.
    pub event: Option<Uuid>,
}

impl Mood {
    /// A change of an entry of Ada's.
    pub fn of(id: &str, score: i64, note: &str) -> Self {
        Self {
            id: id.to_owned(),
            user: "ada".to_owned(),
            score: Some(score),
            note: Some(note.to_owned()),
            event: None,
        }
    }

    fn deletion(id: &str) -> Self {
        Self {
            score: None,
            note: None,
            ..Self::of(id, 0, "")
        }
    }
}

/// A processor that delivers mood entries.
struct Deliveries {
    running: Running,
    records: mpsc::UnboundedReceiver<OutboxEvent>,
}

impl Deliveries {
    fn start(store: &(impl OutboxRepository + Clone)) -> Self {
        let (sender, records) = mpsc::unbounded_channel();
        let set = HandlerSet::new().with::<MoodEntry>(move |event: Event<MoodEntry>| {
            // A closed channel is that of a test which has ended.
            let _ = sender.send(event.into_record());
            async { Ok(()) }
        });
        let processor = Processor::builder(store.clone()).handlers(set).build();
        let running = processor.unwrap().start_all_users();
        Self { running, records }
    }

    async fn next(&mut self) -> OutboxEvent {
        within(self.records.recv()).await.unwrap()
    }

    /// Ends the run, and checks that it has delivered nothing else and left nothing.
    async fn end(mut self, store: &impl OutboxRepository) {
        self.running.stop().await.unwrap();
        assert!(self.records.try_recv().is_err(), "delivered once more");
        let statistics = store.statistics(None).await.unwrap();
        assert_eq!(statistics.dead_count, 0);
        assert!(
            store
                .fetch_pending_events(None, None)
                .await
                .unwrap()
                .is_empty()
        );
    }
}

/// Saves, changes and deletes entries, then delivers: each event once, those of an entry in their
/// order, with everything that the program wrote.
pub async fn deliver_in_order(program: &mut Program, store: &(impl OutboxRepository + Clone)) {
    let began = SystemClock.now();
    let mut changes = vec![
        (Mood::of("m1", 4, "so-so"), Operation::Create, 1),
        // An integer's text, not that of a real number.
        (
            Mood::of("7", 1, "\u{0001} \"quoted\" \\ \r\n\t /"),
            Operation::Create,
            1,
        ),
        (Mood::of("m1", 5, "better"), Operation::Update, 2),
        (Mood::deletion("m1"), Operation::Delete, 3),
        (Mood::of("m1", 2, "again"), Operation::Create, 1),
    ];
    for text in hostile::KEYS {
        let mut mood = Mood::of(text, 3, text);
        mood.user = "Zoë 😀".to_owned();
        changes.push((mood, Operation::Create, 1));
    }
    let mut expected = HashMap::<String, Vec<_>>::new();
    let count = changes.len();
    for (mood, operation, revision) in changes {
        let event = program.save(&mood).await;
        let metadata = json!({ "score": mood.score, "note": mood.note, "revision": revision });
        let entity = expected.entry(mood.id).or_default();
        entity.push((event, operation, mood.user, metadata));
    }
    let ended = SystemClock.now();
    let mut deliveries = Deliveries::start(store);
    let mut delivered = HashMap::<String, Vec<_>>::new();
    for _ in 0..count {
        let record = deliveries.next().await;
        assert_is_as_written(program, &record, began, ended);
        let metadata = record.metadata.as_ref().unwrap().as_str().unwrap();
        let metadata: Value = serde_json::from_str(metadata).unwrap();
        let entity = delivered.entry(record.entity_id.to_string()).or_default();
        entity.push((record.id, record.operation, record.user_id, metadata));
    }
    assert_eq!(delivered, expected, "{}", program.name);
    deliveries.end(store).await;
}

/// Compares what is the same for all events of the programs.
fn assert_is_as_written(
    program: &Program,
    record: &OutboxEvent,
    began: DateTime<Utc>,
    ended: DateTime<Utc>,
) {
    let name = &program.name;
    assert_eq!(record.event_type, "moodEntry", "{name}");
    assert_eq!((record.priority, record.max_attempts), (3, 5), "{name}");
    assert_eq!(record.metadata_version, 1, "{name}");
    assert_eq!(record.order, Order::Entity, "{name}");
    assert_eq!(record.destination, None, "{name}");
    assert_eq!((record.attempt_count, record.crashes), (1, 0), "{name}");
    // JavaScript's clock has milliseconds; the server's is this machine's.
    let early = began - TimeDelta::milliseconds(1);
    assert!(
        early <= record.created_at && record.created_at <= ended,
        "{name}: {record:?}"
    );
    assert_eq!(record.next_attempt_at, record.created_at, "{name}");
}

/// A change that fails after the event was written, or before, leaves none; the program goes on.
pub async fn leave_no_event_of_a_failed_change(
    program: &mut Program,
    store: &impl OutboxRepository,
) {
    let nobody = Mood {
        user: "nobody".to_owned(),
        ..Mood::of("of nobody", 3, "refused by the commit")
    };
    for refused in [nobody, Mood::of("too high", 9, "refused before the event")] {
        program.send(&refused);
        let answer = program.answer().await;
        assert!(
            matches!(answer, Answer::Failed(_)),
            "{}: {answer:?}",
            program.name
        );
        let pending = store.fetch_pending_events(None, None).await.unwrap();
        assert!(pending.is_empty(), "{}: {pending:?}", program.name);
    }
    let event = program.save(&Mood::of("good", 3, "accepted")).await;
    let pending = store.fetch_pending_events(None, None).await.unwrap();
    let ids: Vec<_> = pending.iter().map(|event| event.id).collect();
    assert_eq!(ids, [event], "{}", program.name);
}

/// A change that is repeated under the same event id, as after a lost acknowledgment, is one event.
pub async fn repeat_without_a_second_event(
    program: &mut Program,
    store: &(impl OutboxRepository + Clone),
) {
    let id = Uuid::now_v7();
    let mood = Mood {
        event: Some(id),
        ..Mood::of("repeated", 3, "once")
    };
    assert_eq!(program.save(&mood).await, id, "{}", program.name);
    let mut deliveries = Deliveries::start(store);
    assert_eq!(deliveries.next().await.id, id);
    // Also when the event has been delivered.
    for _ in 0..2 {
        program.send(&mood);
        let answer = program.answer().await;
        assert!(
            matches!(answer, Answer::Saved(event, false) if event == id),
            "{}: {answer:?}",
            program.name
        );
    }
    let after = program.save(&Mood::of("after", 3, "the repetition")).await;
    assert_eq!(deliveries.next().await.id, after, "{}", program.name);
    deliveries.end(store).await;
}

/// All programs change one entry and one of their own each while the processor delivers. `ours`
/// does the same in this process. The events of the entry arrive in the order of the commits, each
/// once.
pub async fn write_side_by_side<F>(
    programs: &mut [Program],
    store: &(impl OutboxRepository + Clone),
    ours: impl Fn(i64) -> F,
) where
    F: Future<Output = ()>,
{
    const ROUNDS: i64 = 25;
    let mut deliveries = Deliveries::start(store);
    for round in 0..ROUNDS {
        for program in &mut *programs {
            program.send(&Mood::of("shared", round % 5 + 1, &program.name.clone()));
            program.send(&Mood::of(&program.name.clone(), round % 5 + 1, "own"));
        }
        ours(round).await;
    }
    let mut enqueued = BTreeSet::new();
    for program in &mut *programs {
        for _ in 0..2 * ROUNDS {
            match program.answer().await {
                Answer::Saved(event, true) => assert!(enqueued.insert(event)),
                answer => panic!("{}: {answer:?}", program.name),
            }
        }
    }
    let writers = i64::try_from(programs.len()).unwrap() + 1;
    let total = (writers - 1) * 2 * ROUNDS + ROUNDS;
    let mut revisions = HashMap::<String, Vec<i64>>::new();
    for _ in 0..total {
        let record = deliveries.next().await;
        enqueued.remove(&record.id);
        let metadata = record.metadata.as_ref().unwrap().as_str().unwrap();
        let metadata: Value = serde_json::from_str(metadata).unwrap();
        let entity = revisions.entry(record.entity_id.to_string()).or_default();
        entity.push(metadata["revision"].as_i64().unwrap());
    }
    assert_eq!(enqueued, BTreeSet::new(), "not delivered");
    let shared: Vec<_> = (1..=writers * ROUNDS).collect();
    assert_eq!(revisions.remove("shared"), Some(shared));
    for (entity, revisions) in revisions {
        let own: Vec<_> = (1..=ROUNDS).collect();
        assert_eq!(revisions, own, "{entity}");
    }
    deliveries.end(store).await;
}

/// The times from the program's acknowledgment of a commit to the handler, while the processor has
/// nothing else to do: the median and the longest of 21. To be printed, not compared.
pub async fn wake_latency(
    program: &mut Program,
    store: &(impl OutboxRepository + Clone),
) -> (Duration, Duration) {
    let mut deliveries = Deliveries::start(store);
    let mut times = Vec::new();
    for turn in 0..21 {
        // Long enough that nobody expects a commit any more, and at no fixed point of a period.
        SystemClock
            .sleep(Duration::from_millis(700 + turn * 37))
            .await;
        let event = program.save(&Mood::of("measured", 3, "how long")).await;
        let committed = SystemClock.now();
        assert_eq!(deliveries.next().await.id, event, "{}", program.name);
        let time = SystemClock.now() - committed;
        times.push(time.to_std().unwrap_or_default());
    }
    deliveries.end(store).await;
    times.sort();
    (times[times.len() / 2], times[times.len() - 1])
}
