//! Events without a handler delay no other events, however many there are.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use outbox_runtime::{Clock, NewEvent, Processor, ProcessorBuilder, prelude::*};
use outbox_testing::{ManualClock, StoreCall};
use outbox_tests::{Counting, Remote, Temporary, enqueue, note, on_each_store, within};
use tokio::task::JoinSet;

const MANY: i64 = 10_000;
/// Maximum number of claims until an event behind the unhandled ones is delivered, however many
/// they are.
const FEW: usize = 12;
const CLEAN_UP: Duration = Duration::from_secs(300);

/// Handles only notes, and reveals that only when asked about a type.
struct Untyped<H>(H);

#[outbox_runtime::async_trait]
impl<H: OutboxEventHandler> OutboxEventHandler for Untyped<H> {
    fn can_handle(&self, event_type: &str) -> bool {
        self.0.can_handle(event_type)
    }

    async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError> {
        self.0.handle(event).await
    }
}

/// Number of distinct types among the unhandled events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Types {
    One,
    AsManyAsEvents,
}

/// Urgent events of unknown types, in one batch.
async fn enqueue_unknown(store: &Arc<dyn OutboxRepository>, types: Types, ids: Range<i64>) {
    let mut enqueueing = JoinSet::new();
    for id in ids {
        let event_type = match types {
            Types::One => "mood.created".to_owned(),
            Types::AsManyAsEvents => format!("mood.{id}"),
        };
        let event = NewEvent::new(event_type, id, "u1", Operation::Create).with_priority(9);
        let store = Arc::clone(store);
        enqueueing.spawn(async move { store.create_event(event).await.unwrap() });
    }
    enqueueing.join_all().await;
}

async fn check_note_behind_many(store: Arc<dyn OutboxRepository>, clock: ManualClock) {
    for types in [Types::One, Types::AsManyAsEvents] {
        enqueue_unknown(&store, types, 0..MANY).await;
        for is_typed in [true, false] {
            for all_users in [true, false] {
                check_note_is_delivered(&store, &clock, types, is_typed, all_users).await;
            }
        }
        store.delete_all_events_for_user("u1").await.unwrap();
    }
}

async fn check_note_is_delivered(
    store: &Arc<dyn OutboxRepository>,
    clock: &ManualClock,
    types: Types,
    is_typed: bool,
    all_users: bool,
) {
    let what = format!("{types:?}, typed: {is_typed}, all users: {all_users}");
    let inner = store;
    let store = Arc::new(Counting::new(Arc::clone(inner), StoreCall::Claim));
    let claims = || store.calls();
    enqueue(store.as_ref(), note(20_000).enqueue_sync()).await;
    let (mut remote, handlers) = Remote::new();
    let builder = Processor::builder(Arc::clone(&store));
    let builder: ProcessorBuilder = match is_typed {
        true => builder.handlers(handlers),
        false => builder.handler(Untyped(handlers)),
    };
    let processor = builder.build().unwrap();
    let running = match all_users {
        true => processor.start_all_users(),
        false => processor.start("u1"),
    };
    remote.next().await.ok();
    within(clock.until_asleep(clock.now() + CLEAN_UP)).await;
    let at_first = claims();
    assert!(at_first <= FEW, "{at_first} claims: {what}");
    // No event keeps a lease or loses an attempt.
    let left = store.fetch_events(OutboxStatus::Processing, None, None);
    assert_eq!(left.await.unwrap(), [], "{what}");
    // The next note needs as few claims.
    enqueue(store.as_ref(), note(20_001).enqueue_sync()).await;
    remote.next().await.ok();
    within(clock.until_asleep(clock.now() + CLEAN_UP)).await;
    let then = claims() - at_first;
    assert!(then <= FEW, "{then} claims: {what}");
    // A type that appears later is noticed and skipped too.
    enqueue_unknown(inner, Types::AsManyAsEvents, 30_000..30_100).await;
    enqueue(store.as_ref(), note(20_002).enqueue_sync()).await;
    remote.next().await.ok();
    within(clock.until_asleep(clock.now() + CLEAN_UP)).await;
    let later = claims() - at_first - then;
    assert!(later <= 2 * FEW, "{later} claims: {what}");
    running.stop().await.unwrap();
    let untouched = store.fetch_pending_events(None, None).await.unwrap();
    assert_eq!(untouched.len() as i64, MANY + 100, "{what}");
    assert!(
        untouched.iter().all(|event| event.attempt_count == 0),
        "{what}"
    );
    let ids: Vec<_> = (30_000..30_100).map(EntityId::from).collect();
    store.delete_events_for_entities(&ids, None).await.unwrap();
}

#[test]
fn an_event_behind_ten_thousand_unhandled_ones_takes_a_few_claims() {
    on_each_store(check_note_behind_many);
}

#[tokio::test]
async fn an_event_behind_ten_thousand_unhandled_ones_takes_a_few_statements() {
    for (types, is_typed, most) in [
        // Some of them look for types without a handler, once at the start of the run.
        (Types::One, true, 80),
        (Types::One, false, 140),
        (Types::AsManyAsEvents, false, 140),
    ] {
        let clock = ManualClock::new();
        let made =
            Temporary::open_with(|builder| builder.clock(clock.clone()).count_statements()).await;
        let store: Arc<dyn OutboxRepository> = Arc::new(made.store.clone());
        enqueue_unknown(&store, types, 0..MANY).await;
        enqueue(store.as_ref(), note(20_000).enqueue_sync()).await;
        let before = made.store.statements().get();
        let (mut remote, handlers) = Remote::new();
        let builder = Processor::builder(Arc::clone(&store));
        let builder = match is_typed {
            true => builder.handlers(handlers),
            false => builder.handler(Untyped(handlers)),
        };
        let running = builder.build().unwrap().start_all_users();
        remote.next().await.ok();
        within(clock.until_asleep(clock.now() + CLEAN_UP)).await;
        let statements = made.store.statements().get() - before;
        assert!(
            statements <= most,
            "{statements} statements: {types:?}, typed: {is_typed}"
        );
        running.stop().await.unwrap();
    }
}
