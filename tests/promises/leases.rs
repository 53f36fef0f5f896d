//! Promises 3 and 5: an event has at most one valid lease, outcomes are fenced by it, and nothing
//! gets stuck.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use outbox_runtime::support::EntityOptions;
use outbox_runtime::{
    Clock, DeadReason, Flushed, Processor, RawMetadata, Running, StoreErrorKind, prelude::*,
};
use outbox_testing::{Fault, FaultStore, ManualClock, StoreCall};
use outbox_tests::{Remote, enqueue, note, on_each_store, start_with, within};

const LEASE: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(30);
const UNAVAILABLE: Fault = Fault::Fail(StoreErrorKind::Unavailable);

/// With leases of a minute, and timeouts nearly as long.
fn start(store: &Arc<dyn OutboxRepository>) -> (Remote, Running) {
    start_with(store, |builder| {
        builder.lease(LEASE).timeout(LEASE - Duration::from_secs(1))
    })
}

async fn asleep_until(clock: &ManualClock, deadline: chrono::DateTime<chrono::Utc>) {
    within(clock.until_asleep(deadline)).await;
}

#[test]
fn a_lease_is_renewed_while_its_handler_runs() {
    on_each_store(|store, clock| async move {
        let (mut remote, running) = start(&store);
        let event = enqueue(&store, note(1).enqueue_sync()).await;
        let call = remote.next().await;
        let begun = clock.now();
        for third in 1..=2 {
            let renewal = begun + LEASE / 3 * third;
            asleep_until(&clock, renewal).await;
            clock.set(renewal);
            asleep_until(&clock, renewal + LEASE / 3).await;
            let leased = store.fetch_event(event.id).await.unwrap().unwrap();
            assert_eq!(leased.lease_expires_at, Some(renewal + LEASE));
        }
        call.ok();
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
    });
}

/// An entity with slow deliveries.
struct Upload;

impl OutboxEntity for Upload {
    type Metadata = ();

    const EVENT_TYPE: &'static str = "upload";
    const OPTIONS: EntityOptions = EntityOptions::new("upload")
        .with_lease(Duration::from_secs(360))
        .with_timeout(Duration::from_secs(359));

    fn entity_id(&self) -> EntityId {
        1.into()
    }

    fn user_id(&self) -> Cow<'_, str> {
        "u1".into()
    }

    fn metadata_json(&self) -> Result<RawMetadata, serde_json::Error> {
        RawMetadata::encode(&())
    }
}

#[test]
fn an_entity_with_its_own_lease_is_renewed_in_thirds_of_it() {
    on_each_store(|store, clock| async move {
        let (mut uploads, upload_handlers) = Remote::of::<Upload>();
        let (mut notes, running) = start_with(&store, |builder| {
            builder.handlers(upload_handlers).timeout(TIMEOUT)
        });
        let own = <Upload as OutboxEntity>::OPTIONS.lease().unwrap();
        let upload = outbox_runtime::Enqueue::new(&Upload, Operation::Create);
        let upload = enqueue(&store, upload).await;
        let note = enqueue(&store, note(2).enqueue_sync()).await;
        let (of_upload, of_note) = (uploads.next().await, notes.next().await);
        let ends = async |event: &OutboxEvent| {
            let stored = store.fetch_event(event.id).await.unwrap().unwrap();
            stored.lease_expires_at.unwrap()
        };
        let begun = clock.now();
        assert_eq!(ends(&upload).await, begun + own);
        assert_eq!(ends(&note).await, begun + LEASE);
        // The other lease is renewed first, and alone.
        asleep_until(&clock, begun + LEASE / 3).await;
        clock.set(begun + LEASE / 3);
        asleep_until(&clock, begun + LEASE / 3 * 2).await;
        assert_eq!(ends(&upload).await, begun + own);
        assert_eq!(ends(&note).await, begun + LEASE / 3 + LEASE);
        of_note.ok();
        assert!(running.flush(2, SOON).await.unwrap().is_delivered());
        asleep_until(&clock, begun + own / 3).await;
        clock.set(begun + own / 3);
        asleep_until(&clock, begun + own / 3 * 2).await;
        assert_eq!(ends(&upload).await, begun + own / 3 + own);
        of_upload.ok();
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
    });
}

#[test]
fn work_of_a_dead_process_is_claimed_again_when_its_lease_ends_and_not_before() {
    on_each_store(|store, clock| async move {
        let event = enqueue(&store, note(1).enqueue_sync()).await;
        // A worker that claims and then disappears.
        let dead = store.mark_as_processing(event.id, LEASE).await.unwrap();
        let (mut remote, running) = start(&store);
        let ends = dead.lease.expires_at;
        asleep_until(&clock, ends).await;
        clock.set(ends - Duration::from_millis(1));
        asleep_until(&clock, ends).await;
        assert!(remote.is_quiet());
        clock.set(ends);
        let call = remote.next().await;
        assert_eq!(call.event.id, event.id);
        let counts = (call.event.attempt_count, call.event.crashes);
        assert_eq!(counts, (1, 1), "the crash used up no attempt");
        call.ok();
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
    });
}

#[test]
fn an_event_that_always_kills_its_process_becomes_a_dead_letter() {
    on_each_store(|store, clock| async move {
        let event = enqueue(&store, note(1).enqueue_sync().max_attempts(3)).await;
        enqueue(&store, note(2).enqueue_sync().priority(-1)).await;
        for _ in 0..3 {
            let _killed = store.mark_as_processing(event.id, LEASE).await.unwrap();
            clock.advance(LEASE);
            let _ = store.rescue().await.unwrap();
        }
        let (mut remote, running) = start(&store);
        let call = remote.next().await;
        assert_eq!(call.id(), 2, "other events go on");
        call.ok();
        let blocked = running.flush(1, SOON).await.unwrap();
        assert!(!blocked.is_delivered());
        let dead = store.fetch_event(event.id).await.unwrap().unwrap();
        assert_eq!(dead.status, OutboxStatus::Dead);
        assert_eq!(dead.dead_reason, Some(DeadReason::CrashLoop));
        assert_eq!((dead.attempt_count, dead.crashes), (0, 3));
        running.stop().await.unwrap();
    });
}

#[test]
fn a_worker_frozen_past_its_lease_cannot_overwrite_the_next_attempt() {
    on_each_store(|store, clock| async move {
        // The first processor claims and is then frozen: its clock never wakes it.
        let (mut frozen_remote, frozen_handlers) = Remote::new();
        let frozen_clock = ManualClock::new();
        let frozen_store = FaultStore::new(store.clone()).with_clock(frozen_clock.clone());
        let frozen = Processor::builder(frozen_store.clone())
            .handlers(frozen_handlers)
            .lease(LEASE)
            .max_concurrency(1)
            .build()
            .unwrap()
            .start("u1");
        let event = enqueue(&store, note(1).enqueue_sync()).await;
        let late = frozen_remote.next().await;
        asleep_until(&frozen_clock, frozen_clock.now() + LEASE / 3).await;
        // Changes of others still wake it, because only its clock is frozen; make its renewals
        // fail.
        for call in [StoreCall::RescueOthers, StoreCall::Extend] {
            frozen_store.fail_next_times(1_000, call, UNAVAILABLE);
        }

        clock.advance(LEASE);
        let (mut remote, running) = start(&store);
        let call = remote.next().await;
        assert_eq!((call.event.id, call.event.crashes), (event.id, 1));

        // The frozen processor wakes and reports success while the other one still works.
        frozen_store.heal();
        late.ok();
        frozen.stop().await.unwrap();
        let stored = store.fetch_event(event.id).await.unwrap().unwrap();
        assert_eq!(
            stored.status,
            OutboxStatus::Processing,
            "the late outcome is not recorded"
        );
        assert_eq!(stored.lease_token, call.event.lease_token);
        call.ok();
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
    });
}

#[test]
fn a_handler_whose_lease_is_lost_is_stopped_and_its_answer_ignored() {
    on_each_store(|store, clock| async move {
        let (mut remote, running) = start(&store);
        let event = enqueue(&store, note(1).enqueue_sync()).await;
        let mut call = remote.next().await;
        // The event is deleted while it is in flight.
        assert!(store.delete_event(event.id).await.unwrap());
        let renewal = clock.now() + LEASE / 3;
        asleep_until(&clock, renewal).await;
        clock.set(renewal);
        call.abandoned().await;
        assert_eq!(running.flush(1, SOON).await.unwrap(), Flushed::NothingThere);
        assert_eq!(
            store.statistics(None).await.unwrap().total_events,
            0,
            "a deleted event stays deleted"
        );
        running.stop().await.unwrap();
    });
}

#[test]
fn two_processors_never_hold_the_same_event() {
    on_each_store(|store, _| async move {
        let (mut a, running_a) = start(&store);
        let (mut b, running_b) = start(&store);
        for id in 0..6 {
            enqueue(&store, note(id).enqueue_sync()).await;
        }
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(a.next().await);
            held.push(b.next().await);
        }
        let mut ids: Vec<_> = held.iter().map(outbox_tests::Call::id).collect();
        ids.sort_unstable();
        assert_eq!(ids, [0, 1, 2, 3, 4, 5]);
        held.into_iter().for_each(outbox_tests::Call::ok);
        running_a.stop().await.unwrap();
        running_b.stop().await.unwrap();
        assert_eq!(store.statistics(None).await.unwrap().completed_count, 6);
    });
}

#[test]
fn a_handler_that_never_answers_times_out_and_frees_its_slot() {
    on_each_store(|store, clock| async move {
        let (mut remote, running) = start_with(&store, |builder| {
            builder.max_concurrency(1).timeout(TIMEOUT)
        });
        enqueue(&store, note(1).enqueue_sync()).await;
        let mut stuck = remote.next().await;
        enqueue(&store, note(2).enqueue_sync()).await;
        let deadline = clock.now() + TIMEOUT;
        asleep_until(&clock, deadline).await;
        clock.set(deadline);
        stuck.abandoned().await;
        let call = remote.next().await;
        assert_eq!(call.id(), 2);
        call.ok();
        // The second success shows that the first failure is the event's own.
        assert!(running.flush(2, SOON).await.unwrap().is_delivered());
        let failed = store.fetch_event(stuck.event.id).await.unwrap().unwrap();
        assert_eq!(
            failed.error_message.as_deref(),
            Some("no answer within 30s")
        );
        assert_eq!(
            (failed.status, failed.attempt_count),
            (OutboxStatus::Failed, 1)
        );
        running.stop().await.unwrap();
    });
}

#[test]
fn an_outcome_that_could_not_be_recorded_is_recorded_later_and_holds_nothing_up() {
    on_each_store(|store, clock| async move {
        let faulty = FaultStore::new(store.clone());
        let (mut remote, handlers) = Remote::new();
        let processor = Processor::builder(faulty.clone())
            .handlers(handlers)
            .max_concurrency(1)
            .build()
            .unwrap();
        let running = processor.start("u1");
        enqueue(&store, note(1).enqueue_sync()).await;
        enqueue(&store, note(2).enqueue_sync()).await;
        let first = remote.next().await;
        let unavailable = Fault::Fail(StoreErrorKind::Unavailable);
        faulty.fail_next_times(2, StoreCall::Settle, unavailable);
        first.ok();
        // Claimed in the same round in which recording the first outcome failed.
        let second = remote.next().await;
        assert_eq!(second.id(), 2);
        for back_off in [100, 200] {
            let until = clock.now() + Duration::from_millis(back_off);
            asleep_until(&clock, until).await;
            clock.set(until);
        }
        second.ok();
        for id in [1, 2] {
            assert!(running.flush(id, SOON).await.unwrap().is_delivered());
        }
        running.stop().await.unwrap();
        assert_eq!(faulty.injected().failures, 2, "the fault was injected");
        let statistics = store.statistics(None).await.unwrap();
        assert_eq!(
            (statistics.completed_count, statistics.total_events),
            (2, 2)
        );
        assert!(remote.is_quiet(), "no event is sent twice");
    });
}

#[test]
fn a_claim_answered_after_its_lease_ended_is_renewed_or_starts_no_handler() {
    on_each_store(|store, clock| async move {
        let slow = FaultStore::new(store.clone());
        let event = enqueue(&store, note(1).enqueue_sync()).await;
        slow.fail_next(StoreCall::Claim, Fault::DelayAnswer(LEASE));
        let answered_at = clock.now() + LEASE;
        let (mut remote, running) = start_with(&slow, |builder| builder.lease(LEASE));
        asleep_until(&clock, answered_at).await;
        clock.set(answered_at);
        // The event was not taken: it is sent under a renewed lease.
        let call = remote.next().await;
        assert_eq!(call.event.attempt_count, 1);
        let stored = store.fetch_event(event.id).await.unwrap().unwrap();
        assert_eq!(stored.lease_expires_at, Some(answered_at + LEASE));
        call.ok();
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());

        // The event was taken: nothing is sent.
        slow.fail_next(StoreCall::Claim, Fault::DelayAnswer(LEASE));
        let answered_at = clock.now() + LEASE;
        let gone = enqueue(&store, note(2).enqueue_sync()).await;
        asleep_until(&clock, answered_at).await;
        assert!(store.delete_event(gone.id).await.unwrap());
        enqueue(&store, note(3).enqueue_sync()).await;
        clock.set(answered_at);
        let call = remote.next().await;
        assert_eq!(call.id(), 3);
        call.ok();
        assert!(running.flush(3, SOON).await.unwrap().is_delivered());
        assert!(remote.is_quiet());
        running.stop().await.unwrap();
        assert_eq!(slow.injected().delayed_answers, 2);
    });
}
