//! A batch on a store, which writes several events in a statement, does what the same events do on
//! a connection of the application, where each has a statement of its own.

use std::time::Duration;

use outbox_runtime::rusqlite::{Connection, types::Value};
use outbox_runtime::store::{BatchSink, SqliteStoreBuilder};
use outbox_runtime::{Coalesce, NewEvent, OnDead, Order, RawMetadata, TraceContext, prelude::*};
use outbox_tests::Temporary;
use uuid::Uuid;

/// An event of the entity `number`, whose id is made of the number too.
fn event(number: u128) -> NewEvent {
    let entity = i64::try_from(number).unwrap();
    NewEvent::new("note", entity, "u1", Operation::Create)
        .with_id(Uuid::from_u128(number))
        .with_metadata(RawMetadata::from_bytes(format!("{{\"n\":{number}}}")))
}

fn events(numbers: std::ops::Range<u128>) -> Vec<NewEvent> {
    numbers.map(event).collect()
}

/// Events, of which the one at `index` is another.
fn with(mut events: Vec<NewEvent>, index: usize, other: NewEvent) -> Vec<NewEvent> {
    events[index] = other;
    events
}

/// The events that exist before, and the batch.
struct Scene {
    what: &'static str,
    before: Vec<NewEvent>,
    batch: Vec<NewEvent>,
}

fn scenes() -> Vec<Scene> {
    let again = |number: u128| event(number).with_id(Uuid::from_u128(1_000 + number));
    let scene = |what, before: &[NewEvent], batch: Vec<NewEvent>| Scene {
        what,
        before: before.to_vec(),
        batch,
    };
    let snapshot = |event: NewEvent| event.with_coalesce(Coalesce::Latest);
    let update = snapshot(NewEvent::new("note", 3, "u1", Operation::Update));
    let update = update.with_id(Uuid::from_u128(1_003));
    vec![
        scene("nothing special", &[], events(1..101)),
        scene("not a whole statement", &[], events(1..31)),
        scene(
            "some lanes have an event",
            &[again(3), again(40)],
            events(1..76),
        ),
        scene(
            "some ids are known",
            &[event(3), event(40), event(41)],
            events(1..76),
        ),
        scene("all ids are known", &events(1..76), events(1..76)),
        scene(
            "an id is taken",
            &[event(3)],
            with(events(1..76), 30, event(200).with_id(Uuid::from_u128(3))),
        ),
        scene(
            "an id is twice in it",
            &[],
            with(events(1..51), 20, event(10)),
        ),
        scene(
            "an id is twice in it, for two events",
            &[],
            with(events(1..51), 20, event(200).with_id(Uuid::from_u128(10))),
        ),
        scene(
            "an entity is twice in it",
            &[],
            with(events(1..51), 20, again(10)),
        ),
        scene(
            "an entity is twice in it, and the first is known",
            &[event(10)],
            with(events(1..51), 20, again(10)),
        ),
        scene(
            "some lanes have an event, and all are delayed",
            &[again(3)],
            events(1..51)
                .into_iter()
                .map(|event| event.with_delay(Duration::from_secs(60)))
                .collect(),
        ),
        scene(
            "with all options",
            &[],
            events(1..51)
                .into_iter()
                .map(|event| {
                    event
                        .with_priority(-3)
                        .with_max_attempts(9)
                        .with_metadata_version(7)
                        .with_on_dead(OnDead::Skip)
                        .with_destination("there")
                })
                .collect(),
        ),
        scene(
            "from different spans, and from none",
            &[],
            events(1..51)
                .into_iter()
                .enumerate()
                .map(|(index, event)| {
                    let parent = format!("00-0af7651916cd43dd8448eb211c80319c-{index:016x}-01");
                    event.with_trace_context(TraceContext::new(&parent).ok())
                })
                .collect(),
        ),
        scene(
            "one has headers",
            &[],
            with(events(1..76), 30, event(31).with_header("x-tenant", "7")),
        ),
        scene(
            "one differs",
            &[],
            with(events(1..76), 30, event(31).with_priority(4)),
        ),
        scene(
            "one of several users",
            &[],
            with(
                events(1..51),
                20,
                NewEvent::new("note", 10, "u2", Operation::Create).with_id(Uuid::from_u128(21)),
            ),
        ),
        scene(
            "one is invalid",
            &[],
            with(
                events(1..76),
                30,
                NewEvent::new("note", 31, "", Operation::Create),
            ),
        ),
        scene(
            "an id was folded",
            &[snapshot(event(3)), update.clone()],
            with(events(10..61), 30, update.clone()),
        ),
        scene(
            "another id was folded",
            &[snapshot(event(3)), update.clone()],
            events(10..61),
        ),
        scene("one folds", &[], with(events(1..51), 20, update.clone())),
        scene(
            "one has an elder",
            &[
                again(3).with_order(Order::None),
                again(4).with_order(Order::User),
            ],
            events(1..51),
        ),
        scene(
            "one becomes an elder",
            &[],
            with(events(1..76), 3, event(60).with_order(Order::None)),
        ),
    ]
}

/// All rows, without what is random: a lane is the first event in it.
fn rows(conn: &Connection) -> Vec<Vec<Value>> {
    let sql = "SELECT seq, status, slot, (SELECT min(seq) FROM outbox_events AS first WHERE first.lane = outbox_events.lane),
            (SELECT min(seq) FROM outbox_events AS first WHERE first.lane = outbox_events.entity_lane),
            entity_lane IS NULL, lane_order, on_dead, operation, priority, attempt_count, max_attempts,
            next_attempt_at - created_at, last_attempt_at, dead_reason, id, user_id, entity_id, event_type,
            crashes, deferrals, snoozes, metadata_version, metadata, destination,
            trace_context, headers
         FROM outbox_events ORDER BY seq";
    let mut rows = conn.prepare(sql).unwrap();
    let columns = rows.column_count();
    let rows = rows.query_map([], |row| (0..columns).map(|at| row.get(at)).collect());
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn a_batch_on_a_store_does_what_its_events_do_one_by_one() {
    let mut together = 0;
    for Scene {
        what,
        before,
        batch,
    } in scenes()
    {
        let ours = Temporary::open_with(SqliteStoreBuilder::count_statements).await;
        let theirs = Temporary::open().await;
        let conn = theirs.connect();
        for event in before {
            ours.store.create_event(event.clone()).await.unwrap();
            BatchSink::enqueue_all(&conn, std::iter::once(Ok(event))).unwrap();
        }
        let answers = BatchSink::enqueue_all(&ours.store, batch.iter().cloned().map(Ok)).await;
        let expected = BatchSink::enqueue_all(&conn, batch.into_iter().map(Ok));
        assert_eq!(format!("{answers:?}"), format!("{expected:?}"), "{what}");
        assert_eq!(rows(&ours.connect()), rows(&conn), "{what}");
        let texts = ours.store.statements().texts();
        together += usize::from(texts.iter().any(|sql| sql.contains("?101,")));
    }
    assert!(
        together > 10,
        "the control: {together} wrote several at once"
    );
}
