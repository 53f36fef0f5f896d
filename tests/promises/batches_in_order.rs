//! Batches that keep the order of their lanes: several events of one, and a failure holds back what
//! follows.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox_runtime::store::{ClaimRequest, Exchange, OutboxQueue, Revision, Settlement};
use outbox_runtime::{
    Batch, BatchOrder, Batching, Clock, DeadReason, HandlerSet, NewEvent, OnDead, Order, Processor,
    ProcessorBuilder, RetryPolicy, WaitsFor, prelude::*,
};
use outbox_testing::ManualClock;
use outbox_tests::{Note, note, on_each_store, within};
use tokio::sync::{mpsc, oneshot};

const SECOND: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_secs(30);

type Store = Arc<dyn OutboxRepository>;

/// A remote service that takes several notes in one call, answered by the test.
struct Service(mpsc::UnboundedReceiver<Call>);

/// One call, waiting for its answer.
struct Call {
    batch: Arc<Batch<Event<Note>>>,
    answer: oneshot::Sender<Result<(), HandlerError>>,
}

impl Service {
    async fn next(&mut self) -> Call {
        within(self.0.recv()).await.expect("the processor runs")
    }

    fn is_quiet(&mut self) -> bool {
        self.0.try_recv().is_err()
    }
}

impl Call {
    fn texts(&self) -> Vec<&str> {
        let events = self.batch.iter();
        events.map(|event| &*event.metadata().text).collect()
    }

    fn attempts(&self) -> Vec<u32> {
        let events = self.batch.iter();
        events.map(|event| event.attempt_count).collect()
    }

    fn answer(self, answer: Result<(), HandlerError>) {
        let _ = self.answer.send(answer);
    }
}

fn in_order(most: usize) -> Batching {
    Batching::of(most).in_order(BatchOrder::Keep)
}

fn start(
    store: &Store,
    batching: Batching,
    configure: impl FnOnce(ProcessorBuilder) -> ProcessorBuilder,
) -> (Service, Running) {
    let (sender, calls) = mpsc::unbounded_channel();
    let handlers = HandlerSet::new().with_batch::<Note>(batching, move |batch| {
        let sender = sender.clone();
        async move {
            let (answer, answered) = oneshot::channel();
            let batch = Arc::new(batch);
            let _ = sender.send(Call { batch, answer });
            answered
                .await
                .unwrap_or_else(|_| Err(HandlerError::offline()))
        }
    });
    let builder = Processor::builder(Arc::clone(store))
        .retry(RetryPolicy::default().without_jitter())
        .handlers(handlers);
    let running = configure(builder).build().unwrap().start("u1");
    (Service(calls), running)
}

/// A change of a note with this text.
fn change(id: i64, text: &str) -> NewEvent {
    let mut note = note(id);
    text.clone_into(&mut note.text);
    note.enqueue_update().into_event().unwrap()
}

/// Enqueues changes: the note is the first digit of the text.
async fn enqueue_all(store: &Store, texts: &[&str]) {
    for text in texts {
        let id = text[..1].parse().unwrap();
        store.create_event(change(id, text)).await.unwrap();
    }
}

/// The status and the counted attempts of each change, in order.
async fn states(store: &Store) -> Vec<(OutboxStatus, u32)> {
    let mut rows = Vec::new();
    for status in OutboxStatus::ALL {
        rows.extend(store.fetch_events(*status, None, None).await.unwrap());
    }
    rows.sort_by_key(|row| row.seq);
    rows.iter()
        .map(|row| (row.status, row.attempt_count))
        .collect()
}

async fn delivered(running: &Running, ids: &[i64]) {
    for id in ids {
        let flushed = within(running.flush(*id, SOON)).await.unwrap();
        assert!(flushed.is_delivered(), "{id}: {flushed:?}");
    }
}

/// Waits until the change at this place has this state.
async fn reached(store: &Store, place: usize, state: (OutboxStatus, u32)) {
    let is_reached = async {
        while states(store).await.get(place) != Some(&state) {
            tokio::task::yield_now().await;
        }
    };
    within(is_reached).await;
}

/// Waits until the run sleeps until this time.
async fn asleep(clock: &ManualClock, until: DateTime<Utc>) {
    within(clock.until_asleep(until)).await;
}

#[test]
fn a_batch_has_the_events_of_its_lanes_in_order() {
    on_each_store(|store, _| async move {
        enqueue_all(&store, &["1a", "1b", "2a", "1c", "3a", "2b", "1d"]).await;
        let (mut service, running) = start(&store, in_order(100), |builder| builder);
        let call = service.next().await;
        let of = |note: &str| -> Vec<&str> {
            let mut texts = call.texts();
            texts.retain(|text| text.starts_with(note));
            texts
        };
        assert_eq!(call.batch.len(), 7);
        assert_eq!(of("1"), ["1a", "1b", "1c", "1d"]);
        assert_eq!((of("2"), of("3")), (vec!["2a", "2b"], vec!["3a"]));
        assert_eq!(call.attempts(), [1; 7]);
        call.answer(Ok(()));
        delivered(&running, &[1, 2, 3]).await;
        assert_eq!(states(&store).await, [(OutboxStatus::Completed, 1); 7]);
        running.stop().await.unwrap();
    });
}

#[test]
fn a_lane_that_is_longer_than_a_batch_goes_on_in_the_next() {
    on_each_store(|store, _| async move {
        enqueue_all(&store, &["1a", "1b", "1c", "1d", "1e"]).await;
        let configure = |builder: ProcessorBuilder| builder.batch_size(1);
        let (mut service, running) = start(&store, in_order(2), configure);
        for texts in [&["1a", "1b"][..], &["1c", "1d"], &["1e"]] {
            let call = service.next().await;
            assert_eq!(call.texts(), texts);
            assert!(service.is_quiet(), "a lane has one call at a time");
            call.answer(Ok(()));
        }
        delivered(&running, &[1]).await;
        running.stop().await.unwrap();
    });
}

#[test]
fn a_batch_in_order_is_bounded_by_its_bytes() {
    on_each_store(|store, _| async move {
        for text in ["a", "b", "c", "d"] {
            store
                .create_event(change(1, &text.repeat(400)))
                .await
                .unwrap();
        }
        let batching = in_order(100).up_to_bytes(1_000);
        let (mut service, running) = start(&store, batching, |builder| builder);
        for _ in 0..2 {
            let call = service.next().await;
            assert_eq!(call.batch.len(), 2);
            call.answer(Ok(()));
        }
        delivered(&running, &[1]).await;
        running.stop().await.unwrap();
    });
}

#[test]
fn all_events_of_a_user_are_one_lane_if_their_type_says_so() {
    on_each_store(|store, _| async move {
        for id in [3, 1, 2, 1] {
            let event = change(id, &format!("{id}")).with_order(Order::User);
            store.create_event(event).await.unwrap();
        }
        let (mut service, running) = start(&store, in_order(100), |builder| builder);
        let call = service.next().await;
        assert_eq!(call.texts(), ["3", "1", "2", "1"]);
        call.answer(Ok(()));
        delivered(&running, &[1, 2, 3]).await;
        running.stop().await.unwrap();
    });
}

#[test]
fn what_comes_while_a_batch_waits_joins_it() {
    on_each_store(|store, clock| async move {
        let batching = in_order(3).within(2 * SECOND);
        let (mut service, running) = start(&store, batching, |builder| builder);
        let until = clock.now() + 2 * SECOND;
        for text in ["1a", "1b"] {
            enqueue_all(&store, &[text]).await;
            let is_gathered = async {
                let count = || async {
                    let statistics = store.statistics(None).await.unwrap();
                    statistics.pending_count
                };
                while count().await > 0 {
                    tokio::task::yield_now().await;
                }
            };
            within(is_gathered).await;
            let waits_for = running.explain(1).await.unwrap().waits_for;
            assert_eq!(waits_for, WaitsFor::Batch { until });
        }
        assert!(service.is_quiet());
        clock.set(until);
        let call = service.next().await;
        assert_eq!(call.texts(), ["1a", "1b"]);
        call.answer(Ok(()));
        delivered(&running, &[1]).await;
        // One that is full does not wait.
        enqueue_all(&store, &["1c", "1d", "1e"]).await;
        let call = service.next().await;
        assert_eq!(call.texts(), ["1c", "1d", "1e"]);
        call.answer(Ok(()));
        delivered(&running, &[1]).await;
        running.stop().await.unwrap();
    });
}

#[test]
fn a_failure_holds_back_what_follows_in_its_lane() {
    on_each_store(|store, clock| async move {
        use OutboxStatus::{Completed, Failed, Pending};
        enqueue_all(&store, &["1a", "1b", "1c", "1d", "2a"]).await;
        let (mut service, running) = start(&store, in_order(100), |builder| builder);
        let call = service.next().await;
        for (index, text) in call.texts().into_iter().enumerate() {
            match text {
                "1b" => call.batch.fail(index, HandlerError::retry("HTTP 500")),
                "1d" => {}
                _ => call.batch.ok(index), // of 1c too, which the service accepted
            }
        }
        call.answer(Ok(()));
        let due = clock.now() + SECOND;
        asleep(&clock, due).await;
        let expected = [
            (Completed, 1),
            (Failed, 1),
            (Pending, 0),
            (Pending, 0),
            (Completed, 1),
        ];
        assert_eq!(states(&store).await, expected);
        assert!(service.is_quiet());
        clock.set(due);
        let call = service.next().await;
        assert_eq!(call.texts(), ["1b", "1c", "1d"]);
        assert_eq!(
            call.attempts(),
            [2, 1, 1],
            "what was held back lost no attempt"
        );
        call.answer(Ok(()));
        delivered(&running, &[1, 2]).await;
        running.stop().await.unwrap();
    });
}

#[test]
fn a_dead_letter_holds_its_lane_back_or_lets_it_pass() {
    on_each_store(|store, _| async move {
        use OutboxStatus::{Completed, Dead, Pending};
        for (id, on_dead) in [(1, OnDead::Hold), (2, OnDead::Skip)] {
            for text in ["a", "b"] {
                let event = change(id, &format!("{id}{text}")).with_on_dead(on_dead);
                store.create_event(event).await.unwrap();
            }
        }
        enqueue_all(&store, &["3a"]).await;
        let (mut service, running) = start(&store, in_order(100), |builder| builder);
        let call = service.next().await;
        for (index, text) in call.texts().into_iter().enumerate() {
            match text {
                "1a" | "2a" => call.batch.fail(index, HandlerError::permanent("HTTP 422")),
                _ => call.batch.ok(index),
            }
        }
        call.answer(Ok(()));
        let call = service.next().await;
        assert_eq!(call.texts(), ["2b"]);
        assert_eq!(call.attempts(), [1]);
        call.answer(Ok(()));
        reached(&store, 3, (Completed, 1)).await;
        let expected = [
            (Dead, 1),
            (Pending, 0),
            (Dead, 1),
            (Completed, 1),
            (Completed, 1),
        ];
        assert_eq!(states(&store).await, expected);
        running.stop().await.unwrap();
    });
}

#[test]
fn a_refused_lane_is_searched_from_its_beginning() {
    on_each_store(|store, _| async move {
        use OutboxStatus::{Completed, Dead, Pending};
        let texts = ["1a", "1b", "1c", "1d", "1e", "1f", "1g", "1h"];
        enqueue_all(&store, &texts).await;
        let (mut service, running) = start(&store, in_order(100), |builder| builder);
        let mut accepted = Vec::new();
        let mut calls = Vec::new();
        // The service refuses a call with the poisoned note as a whole.
        while calls
            .last()
            .is_none_or(|last: &Vec<String>| *last != ["1f"])
        {
            let call = service.next().await;
            let texts: Vec<String> = call.texts().into_iter().map(str::to_owned).collect();
            let is_refused = texts.contains(&"1f".to_owned());
            if !is_refused {
                accepted.extend(texts.clone());
            }
            calls.push(texts);
            call.answer(match is_refused {
                true => Err(HandlerError::permanent("HTTP 422")),
                false => Ok(()),
            });
        }
        let sizes: Vec<usize> = calls.iter().map(Vec::len).collect();
        assert_eq!(sizes, [8, 4, 2, 1, 1], "{calls:?}");
        assert_eq!(
            accepted,
            ["1a", "1b", "1c", "1d", "1e"],
            "in order, each once"
        );
        reached(&store, 5, (Dead, 1)).await;
        let mut expected = vec![(Completed, 1); 5];
        expected.extend([(Dead, 1), (Pending, 0), (Pending, 0)]);
        assert_eq!(states(&store).await, expected);
        let events = store.fetch_events(Dead, None, None).await.unwrap();
        assert_eq!(events[0].dead_reason, Some(DeadReason::Rejected));
        running.stop().await.unwrap();
    });
}

#[test]
fn a_search_splits_between_lanes_first() {
    on_each_store(|store, _| async move {
        enqueue_all(&store, &["1a", "2a", "1b", "2b", "1c", "2c"]).await;
        let (mut service, running) = start(&store, in_order(100), |builder| builder);
        let call = service.next().await;
        assert_eq!(call.batch.len(), 6);
        call.answer(Err(HandlerError::permanent("HTTP 422")));
        let call = service.next().await;
        assert_eq!(call.texts(), ["1a", "1b", "1c"]);
        call.answer(Ok(()));
        // So the blame is on the other lane, whose first half goes first.
        let call = service.next().await;
        assert_eq!(call.texts(), ["2a"]);
        call.answer(Err(HandlerError::retry("HTTP 500")));
        delivered(&running, &[1]).await;
        // The second half was not sent.
        reached(&store, 3, (OutboxStatus::Pending, 0)).await;
        reached(&store, 5, (OutboxStatus::Pending, 0)).await;
        assert!(service.is_quiet());
        running.stop().await.unwrap();
    });
}

#[test]
fn an_outage_gives_a_batch_back_in_order_and_uncounted() {
    on_each_store(|store, clock| async move {
        enqueue_all(&store, &["1a", "1b", "1c"]).await;
        let (mut service, running) = start(&store, in_order(100), |builder| builder);
        service.next().await.answer(Err(HandlerError::offline()));
        let is_back = async {
            loop {
                let statistics = store.statistics(None).await.unwrap();
                if statistics.processing_count == 0 {
                    break;
                }
                if let Some(next) = clock.next_deadline() {
                    clock.set(next.max(clock.now()));
                }
                tokio::task::yield_now().await;
            }
        };
        within(is_back).await;
        assert_eq!(states(&store).await, [(OutboxStatus::Pending, 0); 3]);
        running.online();
        let mut seen = Vec::new();
        while seen.len() < 3 {
            let call = service.next().await;
            seen.extend(call.texts().into_iter().map(str::to_owned));
            assert!(call.attempts().iter().all(|attempt| *attempt == 1));
            call.answer(Ok(()));
        }
        assert_eq!(seen, ["1a", "1b", "1c"]);
        delivered(&running, &[1]).await;
        running.stop().await.unwrap();
    });
}

#[test]
fn a_stop_gives_a_batch_back_in_order_and_uncounted() {
    on_each_store(|store, _| async move {
        enqueue_all(&store, &["1a", "1b", "1c"]).await;
        let configure = |builder: ProcessorBuilder| builder.stop_deadline(Duration::ZERO);
        let (mut service, running) = start(&store, in_order(100), configure);
        let call = service.next().await;
        assert_eq!(call.batch.len(), 3);
        running.stop().await.unwrap();
        drop(call);
        assert_eq!(states(&store).await, [(OutboxStatus::Pending, 0); 3]);
        let (mut service, running) = start(&store, in_order(100), |builder| builder);
        let call = service.next().await;
        assert_eq!(call.texts(), ["1a", "1b", "1c"]);
        assert_eq!(call.attempts(), [1; 3]);
        call.answer(Ok(()));
        delivered(&running, &[1]).await;
        running.stop().await.unwrap();
    });
}

#[test]
fn the_leases_of_a_batch_in_order_are_renewed_together() {
    on_each_store(|store, clock| async move {
        enqueue_all(&store, &["1a", "1b", "1c"]).await;
        let configure = |builder: ProcessorBuilder| builder.timeout(59 * SECOND);
        let (mut service, running) = start(&store, in_order(100), configure);
        let call = service.next().await;
        for _ in 0..5 {
            asleep(&clock, clock.next_deadline().unwrap()).await;
            clock.advance(10 * SECOND);
        }
        let until_renewed = async {
            loop {
                let rows = store.fetch_events(OutboxStatus::Processing, None, None);
                let rows = rows.await.unwrap();
                let ends: Vec<_> = rows.iter().map(|row| row.lease_expires_at).collect();
                assert_eq!(ends.len(), 3);
                if ends
                    .iter()
                    .all(|ends| *ends > Some(clock.now() + 30 * SECOND))
                {
                    break;
                }
                tokio::task::yield_now().await;
            }
        };
        within(until_renewed).await;
        call.answer(Ok(()));
        delivered(&running, &[1]).await;
        running.stop().await.unwrap();
    });
}

#[test]
fn an_event_that_cannot_be_decoded_keeps_what_follows_from_the_handler() {
    on_each_store(|store, _| async move {
        use OutboxStatus::{Completed, Dead, Pending};
        enqueue_all(&store, &["1a"]).await;
        // A row that a newer version of the app wrote.
        let newer = NewEvent::new("note", 1, "u1", Operation::Update);
        store.create_event(newer).await.unwrap();
        enqueue_all(&store, &["1c", "2a"]).await;
        let (mut service, running) = start(&store, in_order(100), |builder| builder);
        let call = service.next().await;
        assert_eq!(call.texts(), ["1a", "2a"]);
        call.answer(Ok(()));
        delivered(&running, &[2]).await;
        let expected = [(Completed, 1), (Dead, 1), (Pending, 0), (Completed, 1)];
        reached(&store, 2, (Pending, 0)).await;
        assert_eq!(states(&store).await, expected);
        running.stop().await.unwrap();
    });
}

/// A store that says that it cannot lease more than the first event of a lane.
#[derive(Debug)]
struct Plain(Store);

macro_rules! plain {
    (OutboxRepository: $($call:ident: $method:ident($($arg:ident: $type:ty),*) -> $answer:ty, $error:ty;)+) => {
        #[outbox_runtime::async_trait]
        impl OutboxRepository for Plain {
            $(async fn $method(&self, $($arg: $type),*) -> Result<$answer, $error> {
                self.0.$method($($arg),*).await
            })+
        }
    };
    (OutboxQueue: $($call:ident: $method:ident($($arg:ident: $type:ty),*) -> $answer:ty, $error:ty;)+) => {
        #[outbox_runtime::async_trait]
        impl OutboxQueue for Plain {
            $(async fn $method(&self, $($arg: $type),*) -> Result<$answer, $error> {
                self.0.$method($($arg),*).await
            })+

            async fn settle_and_claim(
                &self,
                settlements: Vec<Settlement>,
                request: &ClaimRequest,
            ) -> Exchange {
                self.0.settle_and_claim(settlements, request).await
            }

            fn can_follow(&self) -> bool {
                false
            }

            fn clock(&self) -> Arc<dyn Clock> {
                self.0.clock()
            }

            fn revision(&self) -> Revision {
                self.0.revision()
            }

            async fn changed(&self, seen: Revision) -> Revision {
                self.0.changed(seen).await
            }
        }
    };
}
outbox_testing::__store_calls!(plain);

#[test]
fn a_store_that_cannot_follow_makes_batches_of_first_events() {
    on_each_store(|store, _| async move {
        enqueue_all(&store, &["1a", "1b", "2a"]).await;
        let plain: Store = Arc::new(Plain(Arc::clone(&store)));
        assert!(store.can_follow() && !plain.can_follow());
        let (mut service, running) = start(&plain, in_order(100), |builder| builder);
        for texts in [&["1a", "2a"][..], &["1b"]] {
            let call = service.next().await;
            assert_eq!(call.texts(), texts);
            call.answer(Ok(()));
        }
        delivered(&running, &[1, 2]).await;
        running.stop().await.unwrap();
    });
}
