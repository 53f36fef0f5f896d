//! Layers: code of the application around every attempt.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_runtime::support::{Retired, Retirement};
use outbox_runtime::{
    Answer, AnswerClass, Batch, Batching, Clock, DeadReason, HandlerSet, NewEvent, NextBatch,
    Processor, ProcessorBuilder, RetryPolicy, prelude::*,
};
use outbox_testing::ManualClock;
use outbox_tests::{Note, Remote, enqueue, note, on_each_store, within};

const SOON: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);

/// Notes, in the order in which they happen.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn note(&self, text: impl Into<String>) {
        self.0.lock().unwrap().push(text.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// Notes when it begins, and what it sees in the end.
struct Named(&'static str, Diary);

#[async_trait]
impl Layer for Named {
    async fn attempt(&self, event: &OutboxEvent, next: Next<'_>) -> Answer {
        let Self(name, diary) = self;
        diary.note(format!("{name} begins {}", event.entity_id));
        let answer = next.run().await;
        diary.note(format!("{name} sees {}", answer.class()));
        answer
    }

    async fn attempt_batch(&self, batch: &Batch<OutboxEvent>, next: NextBatch<'_>) -> Answer {
        let Self(name, diary) = self;
        diary.note(format!("{name} begins {}", batch.len()));
        let answer = next.run().await;
        let own: Vec<&str> = (0..batch.len())
            .map(|index| batch.answered(index).map_or("none", AnswerClass::as_str))
            .collect();
        diary.note(format!("{name} sees {own:?} and {}", answer.class()));
        answer
    }
}

/// Answers without running what is inside.
struct Instead(fn() -> Answer);

#[async_trait]
impl Layer for Instead {
    async fn attempt(&self, _: &OutboxEvent, _: Next<'_>) -> Answer {
        (self.0)()
    }

    async fn attempt_batch(&self, _: &Batch<OutboxEvent>, _: NextBatch<'_>) -> Answer {
        (self.0)()
    }
}

/// A processor of notes with a handler that counts its calls.
fn counted(
    store: &Arc<dyn OutboxRepository>,
    layers: impl FnOnce(ProcessorBuilder) -> ProcessorBuilder,
) -> (Arc<AtomicUsize>, Running) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let builder = Processor::builder(Arc::clone(store))
        .retry(RetryPolicy::default().without_jitter())
        .handle::<Note>(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            std::future::ready(Ok(()))
        });
    let running = layers(builder).build().unwrap().start("u1");
    (calls, running)
}

async fn stored(store: &dyn OutboxRepository, event: &OutboxEvent) -> OutboxEvent {
    store.fetch_event(event.id).await.unwrap().unwrap()
}

/// Enqueues a change, and waits until the run has recorded the outcome of an attempt.
async fn attempted(
    store: &dyn OutboxRepository,
    running: &Running,
    change: outbox_runtime::Enqueue,
) -> OutboxEvent {
    let mut outcomes = running.outcomes();
    let event = enqueue(store, change).await;
    within(outcomes.next()).await.expect("an outcome");
    stored(store, &event).await
}

#[test]
fn the_layer_that_is_added_first_is_the_outermost_and_those_of_the_processor_are_outside() {
    on_each_store(|store, _| async move {
        let diary = Diary::default();
        let named = |name| Named(name, diary.clone());
        let set = HandlerSet::new()
            .layer(named("third"))
            .with::<Note>({
                let diary = diary.clone();
                move |_| {
                    diary.note("handler");
                    std::future::ready(Err(HandlerError::obsolete()))
                }
            })
            .layer(named("fourth"));
        let running = Processor::builder(Arc::clone(&store))
            .layer(named("first"))
            .handlers(set)
            .layer(named("second"))
            .build()
            .unwrap()
            .start("u1");
        enqueue(&*store, note(7).enqueue_sync()).await;
        let flushed = within(running.flush(7, SOON)).await.unwrap();
        assert!(flushed.is_delivered());
        let names = ["first", "second", "third", "fourth"];
        let begins = names.iter().map(|name| format!("{name} begins 7"));
        let handler = std::iter::once("handler".to_owned());
        let sees = names
            .iter()
            .rev()
            .map(|name| format!("{name} sees obsolete"));
        let all: Vec<String> = begins.chain(handler).chain(sees).collect();
        assert_eq!(diary.take(), all);
        within(running.stop()).await.unwrap();
    });
}

#[tokio::test]
async fn a_layer_sees_the_class_of_every_answer() {
    let classes: [(fn() -> HandlerError, AnswerClass); 8] = [
        (|| HandlerError::retry("x"), AnswerClass::Retry),
        (|| HandlerError::permanent("x"), AnswerClass::Rejected),
        (|| HandlerError::unavailable("x"), AnswerClass::Unavailable),
        (HandlerError::offline, AnswerClass::Offline),
        (HandlerError::unauthenticated, AnswerClass::Unauthenticated),
        (
            || HandlerError::rate_limited(SECOND),
            AnswerClass::RateLimited,
        ),
        (HandlerError::obsolete, AnswerClass::Obsolete),
        (|| HandlerError::snooze(SECOND), AnswerClass::Snoozed),
    ];
    let store = MemoryStore::new();
    let event = enqueue(&store, note(1).enqueue_sync()).await;
    for (error, class) in classes {
        let diary = Diary::default();
        let set = HandlerSet::new()
            .with::<Note>(move |_| std::future::ready(Err(error())))
            .layer(Named("it", diary.clone()));
        let answer = Answer::from(set.handle(&event).await);
        assert_eq!(answer.class(), class);
        assert_eq!(answer.is_delivered(), class == AnswerClass::Obsolete);
        assert!(answer.error().is_some());
        assert_eq!(diary.take()[1], format!("it sees {class}"));
    }
    // What does not reach a handler is an answer as well.
    let diary = Diary::default();
    let set = HandlerSet::new().layer(Named("it", diary.clone()));
    assert!(set.handle(&event).await.is_err());
    let mut damaged = event.clone();
    damaged.metadata = None;
    let set = set.with::<Note>(|_| std::future::ready(Ok(())));
    assert!(set.handle(&damaged).await.is_err());
    set.handle(&event).await.unwrap();
    let seen = diary.take();
    let seen: Vec<&str> = seen.iter().skip(1).step_by(2).map(String::as_str).collect();
    assert_eq!(
        seen,
        [
            "it sees no_handler",
            "it sees undecodable",
            "it sees delivered"
        ]
    );
}

#[test]
fn a_layer_may_answer_without_the_handler() {
    on_each_store(|store, _| async move {
        let (calls, running) = counted(&store, |builder| {
            builder.layer(Instead(|| HandlerError::permanent("sold out").into()))
        });
        let dead = attempted(&*store, &running, note(1).enqueue_sync()).await;
        assert_eq!(dead.dead_reason, Some(DeadReason::Rejected));
        assert_eq!(dead.error_message.as_deref(), Some("sold out"));
        assert_eq!(calls.load(Ordering::SeqCst), 0);
        within(running.stop()).await.unwrap();

        // It may even say that nothing needs to be sent.
        let (calls, running) = counted(&store, |builder| {
            builder.layer(Instead(|| Answer::Delivered))
        });
        enqueue(&*store, note(2).enqueue_sync()).await;
        assert!(within(running.flush(2, SOON)).await.unwrap().is_delivered());
        assert_eq!(calls.load(Ordering::SeqCst), 0);
        within(running.stop()).await.unwrap();
    });
}

/// Takes every rejection for an outdated event.
struct Lenient;

#[async_trait]
impl Layer for Lenient {
    async fn attempt(&self, _: &OutboxEvent, next: Next<'_>) -> Answer {
        match next.run().await.class() {
            AnswerClass::Rejected => HandlerError::obsolete().into(),
            class if class.is_delivered() => Answer::Delivered,
            _ => HandlerError::retry("something else").into(),
        }
    }
}

#[test]
fn a_layer_may_replace_the_answer() {
    on_each_store(|store, _| async move {
        let set = HandlerSet::new()
            .with::<Note>(|_| std::future::ready(Err(HandlerError::permanent("409"))))
            .layer(Lenient);
        let processor = Processor::builder(Arc::clone(&store)).handlers(set);
        let running = processor.build().unwrap().start("u1");
        enqueue(&*store, note(1).enqueue_sync()).await;
        assert!(within(running.flush(1, SOON)).await.unwrap().is_delivered());
        within(running.stop()).await.unwrap();
    });
}

/// Panics before or after the handler.
struct Panics {
    after: bool,
}

#[async_trait]
impl Layer for Panics {
    async fn attempt(&self, event: &OutboxEvent, next: Next<'_>) -> Answer {
        assert!(self.after, "before {}", event.entity_id);
        let _ = next.run().await;
        panic!("after {}", event.entity_id);
    }
}

#[test]
fn a_panic_in_a_layer_is_a_panic_of_the_attempt() {
    on_each_store(|store, _| async move {
        for (after, text) in [(false, "before"), (true, "after")] {
            let id = i64::from(after);
            let (_, running) = counted(&store, |builder| {
                // Every failure counts, so that the first one is recorded.
                builder
                    .charge(outbox_runtime::Charge::Always)
                    .layer(Panics { after })
            });
            let failed = attempted(&*store, &running, note(id).enqueue_sync()).await;
            let told = format!("the handler panicked: {text} {id}");
            assert_eq!(failed.error_message, Some(told));
            assert_eq!(
                (failed.status, failed.attempt_count),
                (OutboxStatus::Failed, 1)
            );
            within(running.stop()).await.unwrap();
        }
    });
}

/// Notes when it is dropped.
struct Dropped(Diary, &'static str);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.note(self.1);
    }
}

/// Waits on the clock before the handler.
struct Delays(ManualClock, Duration, Diary);

#[async_trait]
impl Layer for Delays {
    async fn attempt(&self, _: &OutboxEvent, next: Next<'_>) -> Answer {
        let Self(clock, duration, diary) = self;
        let _dropped = Dropped(diary.clone(), "layer dropped");
        diary.note("layer begins");
        clock.sleep(*duration).await;
        next.run().await
    }
}

#[test]
fn the_timeout_of_an_attempt_includes_its_layers() {
    on_each_store(|store, clock| async move {
        let diary = Diary::default();
        let (calls, running) = counted(&store, |builder| {
            builder
                .timeout(SECOND)
                .charge(outbox_runtime::Charge::Always)
                .layer(Delays(clock.clone(), SECOND * 2, diary.clone()))
        });
        let mut outcomes = running.outcomes();
        let event = enqueue(&*store, note(1).enqueue_sync()).await;
        within(clock.until_asleep(clock.now() + SECOND * 2)).await;
        within(clock.until_asleep(clock.now() + SECOND)).await;
        clock.advance(SECOND);
        within(outcomes.next()).await.expect("an outcome");
        let failed = stored(&*store, &event).await;
        assert_eq!(failed.error_message.as_deref(), Some("no answer within 1s"));
        assert_eq!(calls.load(Ordering::SeqCst), 0);
        assert_eq!(diary.take(), ["layer begins", "layer dropped"]);
        within(running.stop()).await.unwrap();
    });
}

/// Gives up on what is inside after some time.
struct Impatient(ManualClock);

#[async_trait]
impl Layer for Impatient {
    async fn attempt(&self, _: &OutboxEvent, next: Next<'_>) -> Answer {
        tokio::select! {
            biased;
            answer = next.run() => answer,
            () = self.0.sleep(SECOND) => HandlerError::permanent("too slow").into(),
        }
    }
}

#[test]
fn a_layer_that_drops_the_rest_of_an_attempt_cancels_it() {
    on_each_store(|store, clock| async move {
        let (mut remote, set) = Remote::new();
        let processor = Processor::builder(Arc::clone(&store))
            .handlers(set.layer(Impatient(clock.clone())))
            .build()
            .unwrap();
        let running = processor.start("u1");
        let mut outcomes = running.outcomes();
        let event = enqueue(&*store, note(1).enqueue_sync()).await;
        let mut call = remote.next().await;
        within(clock.until_asleep(clock.now() + SECOND)).await;
        clock.advance(SECOND);
        call.abandoned().await;
        within(outcomes.next()).await.expect("an outcome");
        let dead = stored(&*store, &event).await;
        assert_eq!(dead.error_message.as_deref(), Some("too slow"));
        assert_eq!(dead.dead_reason, Some(DeadReason::Rejected));
        within(running.stop()).await.unwrap();
    });
}

#[test]
fn a_stop_drops_the_layers_and_gives_the_event_back() {
    on_each_store(|store, clock| async move {
        let diary = Diary::default();
        let (_, running) = counted(&store, |builder| {
            let layer = Delays(clock.clone(), SECOND * 5, diary.clone());
            builder.stop_deadline(Duration::ZERO).layer(layer)
        });
        let event = enqueue(&*store, note(1).enqueue_sync()).await;
        within(clock.until_asleep(clock.now() + SECOND * 5)).await;
        within(running.stop()).await.unwrap();
        assert_eq!(diary.take(), ["layer begins", "layer dropped"]);
        let back = stored(&*store, &event).await;
        assert_eq!(
            (back.status, back.attempt_count),
            (OutboxStatus::Pending, 0)
        );
    });
}

/// An entity with a value that nobody may read.
#[derive(OutboxEntity)]
#[outbox(event_type = "letter")]
struct Letter {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata, sensitive)]
    text: String,
}

/// Quotes the payload in its error.
struct Quotes;

#[async_trait]
impl Layer for Quotes {
    async fn attempt(&self, event: &OutboxEvent, _: Next<'_>) -> Answer {
        let text = event.metadata.as_ref().and_then(|json| json.as_str());
        HandlerError::permanent(format!("cannot send {}", text.unwrap_or_default())).into()
    }
}

#[test]
fn sensitive_values_are_removed_from_the_errors_of_layers() {
    on_each_store(|store, _| async move {
        let set = || HandlerSet::new().with::<Letter>(|_| std::future::ready(Ok(())));
        let builder = || Processor::builder(Arc::clone(&store));
        let builders = [
            builder().handlers(set().layer(Quotes)),
            builder().layer(Quotes).handlers(set()),
        ];
        for (id, builder) in (1..).zip(builders) {
            let running = builder.build().unwrap().start("u1");
            let letter = Letter {
                id,
                user_id: "u1".to_owned(),
                text: "I love you".to_owned(),
            };
            let dead = attempted(&*store, &running, letter.enqueue_sync()).await;
            let message = dead.error_message.unwrap();
            assert!(message.starts_with("cannot send"), "{message}");
            assert!(!message.contains("love"), "{message}");
            within(running.stop()).await.unwrap();
        }
    });
}

/// A set of notes that come in batches, of which the second one fails.
fn batched() -> HandlerSet {
    HandlerSet::new().with_batch::<Note>(Batching::of(10), |batch| async move {
        for index in 0..batch.len() {
            match index {
                1 => batch.fail(index, HandlerError::permanent("422")),
                _ => batch.ok(index),
            }
        }
        Ok(())
    })
}

#[test]
fn a_layer_is_around_a_batch_and_sees_the_answer_for_each_event() {
    on_each_store(|store, _| async move {
        let diary = Diary::default();
        for id in 1..=3 {
            enqueue(&*store, note(id).enqueue_sync()).await;
        }
        let running = Processor::builder(Arc::clone(&store))
            .layer(Named("outer", diary.clone()))
            .handlers(batched().layer(Named("inner", diary.clone())))
            .build()
            .unwrap()
            .start("u1");
        for id in [1, 3] {
            assert!(
                within(running.flush(id, SOON))
                    .await
                    .unwrap()
                    .is_delivered()
            );
        }
        let _ = within(running.flush(2, SOON)).await;
        let own = r#"["delivered", "rejected", "delivered"] and delivered"#;
        let expected = [
            "outer begins 3".to_owned(),
            "inner begins 3".to_owned(),
            format!("inner sees {own}"),
            format!("outer sees {own}"),
        ];
        assert_eq!(diary.take(), expected);
        assert_eq!(running.statistics().await.unwrap().dead_count, 1);
        within(running.stop()).await.unwrap();
    });
}

#[test]
fn a_layer_may_answer_for_a_batch_or_for_some_of_its_events() {
    /// Takes rejections in batches for outdated events.
    struct LenientBatches;

    #[async_trait]
    impl Layer for LenientBatches {
        async fn attempt(&self, _: &OutboxEvent, next: Next<'_>) -> Answer {
            next.run().await
        }

        async fn attempt_batch(&self, batch: &Batch<OutboxEvent>, next: NextBatch<'_>) -> Answer {
            let answer = next.run().await;
            for index in 0..batch.len() {
                if batch.answered(index) == Some(AnswerClass::Rejected) {
                    batch.fail(index, HandlerError::obsolete());
                }
            }
            answer
        }
    }

    on_each_store(|store, _| async move {
        for id in 1..=3 {
            enqueue(&*store, note(id).enqueue_sync()).await;
        }
        let running = Processor::builder(Arc::clone(&store))
            .handlers(batched().layer(LenientBatches))
            .build()
            .unwrap()
            .start("u1");
        for id in 1..=3 {
            assert!(
                within(running.flush(id, SOON))
                    .await
                    .unwrap()
                    .is_delivered()
            );
        }
        within(running.stop()).await.unwrap();

        let off = Instead(|| HandlerError::snooze(SECOND).into());
        let running = Processor::builder(Arc::clone(&store))
            .handlers(batched().layer(off))
            .build()
            .unwrap()
            .start("u1");
        let snoozed = attempted(&*store, &running, note(4).enqueue_sync()).await;
        assert_eq!(snoozed.attempt_count, 0, "given back");
        assert!(snoozed.next_attempt_at > snoozed.created_at);
        within(running.stop()).await.unwrap();
    });
}

#[test]
fn a_layer_without_batches_lets_them_pass() {
    on_each_store(|store, _| async move {
        for id in 1..=3 {
            enqueue(&*store, note(id).enqueue_sync()).await;
        }
        let running = Processor::builder(Arc::clone(&store))
            .handlers(batched().layer(Lenient))
            .build()
            .unwrap()
            .start("u1");
        for id in [1, 3] {
            assert!(
                within(running.flush(id, SOON))
                    .await
                    .unwrap()
                    .is_delivered()
            );
        }
        let _ = within(running.flush(2, SOON)).await;
        // The layer would have made it obsolete.
        assert_eq!(running.statistics().await.unwrap().dead_count, 1);
        within(running.stop()).await.unwrap();
    });
}

/// An event that a batch handler gets alone, as a test of the handler calls it.
#[tokio::test]
async fn an_event_that_is_handled_alone_passes_the_layers_around_its_batch() {
    let store = MemoryStore::new();
    let event = enqueue(&store, note(1).enqueue_sync()).await;
    let diary = Diary::default();
    let set = batched().layer(Named("it", diary.clone()));
    set.handle(&event).await.unwrap();
    assert_eq!(
        diary.take(),
        ["it begins 1", r#"it sees ["delivered"] and delivered"#]
    );
}

/// An untyped handler with everything that a layer around it has to keep.
struct Relay;

#[async_trait]
impl OutboxEventHandler for Relay {
    fn can_handle(&self, event_type: &str) -> bool {
        event_type == "note"
    }

    async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError> {
        Err(HandlerError::permanent(format!(
            "no to {}",
            event.entity_id
        )))
    }

    fn batching(&self, event_type: &str) -> Option<Batching> {
        (event_type == "note").then(|| Batching::of(2))
    }

    fn retired(&self) -> Vec<Retired> {
        vec![Retired::new("legacy", Retirement::Drop)]
    }

    fn redact(&self, _: &OutboxEvent, text: String) -> String {
        text.replace("no", "***")
    }
}

#[test]
fn a_layer_of_the_processor_is_around_untyped_handlers_and_keeps_what_they_say() {
    on_each_store(|store, _| async move {
        let diary = Diary::default();
        let kept = enqueue(&*store, note(1).enqueue_sync()).await;
        let legacy = NewEvent::new("legacy", 2, "u1", Operation::Update);
        let retired = store.create_event(legacy).await.unwrap();
        let running = Processor::builder(Arc::clone(&store))
            .layer(Named("it", diary.clone()))
            .handler(Relay)
            .build()
            .unwrap()
            .start("u1");
        let _ = within(running.flush(1, SOON)).await;
        let _ = within(running.flush(2, SOON)).await;
        let dead = stored(&*store, &kept).await;
        assert_eq!(dead.error_message.as_deref(), Some("*** to 1"));
        let retired = stored(&*store, &retired).await;
        assert_eq!(retired.status, OutboxStatus::Completed);
        assert_eq!(
            diary.take(),
            ["it begins 1", r#"it sees ["rejected"] and delivered"#]
        );
        within(running.stop()).await.unwrap();
    });
}
