//! Limits: how many calls to a destination are under way at once, and how often one begins.

use std::time::Duration;

use outbox_runtime::{BuildError, Clock, Processor, ProcessorBuilder, WaitsFor, prelude::*};
use outbox_testing::ManualClock;
use outbox_tests::{Note, Remote, Temporary, enqueue, note, note_of, on_each_store, within};

use self::service::{
    Parcel, Service, build, let_time_pass_until, on_memory, parcel, parcel_of, settled, with_status,
};

mod batches; // batches are calls
mod pace; // how often a call begins
mod service; // what the tests share

const SOON: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);
const SLOW: &str = "slow.example.org";
const FAST: &str = "fast.example.org";

#[test]
fn no_more_calls_than_the_limit_are_under_way_and_the_rest_waits_in_the_store() {
    on_each_store(|store, _| async move {
        let (mut remote, set) = Remote::of::<Parcel>();
        for id in 0..6 {
            enqueue(&*store, parcel(id, SLOW).enqueue_sync()).await;
            enqueue(&*store, parcel(id + 100, FAST).enqueue_sync()).await;
        }
        let processor = build(&store, set, |builder| builder.limit(SLOW, 2));
        let running = processor.start("u1");
        let mut held = Vec::new();
        let mut fast = 0;
        while fast < 6 || held.len() < 2 {
            let call = remote.next().await;
            match call.event.destination.as_deref() {
                Some(SLOW) => held.push(call),
                _ => {
                    fast += 1;
                    call.ok();
                }
            }
            assert!(held.len() <= 2);
        }
        for id in 100..106 {
            assert!(
                within(running.flush(id, SOON))
                    .await
                    .unwrap()
                    .is_delivered()
            );
        }
        // Unclaimed, not waiting in memory.
        let claimed = with_status(&*store, OutboxStatus::Processing).await;
        assert_eq!(claimed.len(), 2);
        let waiting = with_status(&*store, OutboxStatus::Pending).await;
        assert_eq!(waiting.len(), 4);
        assert!(waiting.iter().all(|event| event.lease_token.is_none()));
        assert!(waiting.iter().all(|event| event.attempt_count == 0));
        let explanation = within(running.explain(waiting[0].entity_id.clone()))
            .await
            .unwrap();
        let limit = WaitsFor::Limit {
            destination: Some(SLOW.to_owned()),
            until: None,
        };
        assert_eq!(explanation.waits_for, limit);
        let told = "one of the calls that are under way to end: destination \"slow.example.org\" has a limit";
        assert_eq!(explanation.waits_for.to_string(), told);
        // Each call that ends makes room for one.
        for _ in 0..4 {
            held.remove(0).ok();
            held.push(remote.next().await);
            assert!(remote.is_quiet());
        }
        for call in held {
            call.ok();
        }
        for id in 0..6 {
            assert!(
                within(running.flush(id, SOON))
                    .await
                    .unwrap()
                    .is_delivered()
            );
        }
        within(running.stop()).await.unwrap();
    });
}

#[test]
fn events_without_a_destination_have_a_limit_of_their_own() {
    on_memory(|store, clock| async move {
        let service = Service::new(&clock, SECOND);
        for id in 0..20 {
            enqueue(&*store, note(id).enqueue_sync()).await;
        }
        let processor = build(&store, service.handlers::<Note>(), |builder| {
            builder.limit(None, 3).limit(SLOW, 1)
        });
        let running = processor.start_all_users();
        let_time_pass_until(&service, 20).await;
        assert_eq!(service.seen(&None, |seen| seen.most_under_way), 3);
        clock.advance(SECOND);
        running.stop().await.unwrap();
    });
}

#[test]
fn a_destination_that_waits_for_its_limit_does_not_keep_others_waiting() {
    for order in [[SLOW, FAST], [FAST, SLOW]] {
        on_memory(|store, clock| async move {
            let service = Service::new(&clock, SECOND);
            // Many that are older and more urgent, to the limited destination.
            for id in 0..200 {
                let change = parcel(id, SLOW).enqueue_sync().priority(9);
                enqueue(&*store, change).await;
            }
            for id in 1000..1030 {
                enqueue(&*store, parcel(id, FAST).enqueue_sync()).await;
            }
            let processor = build(&store, service.handlers::<Parcel>(), |builder| {
                builder
                    .max_concurrency(4)
                    .limit(order[0], 3)
                    .limit(order[1], 3)
            });
            let running = processor.start("u1");
            // One place of four is left for the others, so they take 30 s.
            for _ in 0..32 {
                settled().await;
                clock.advance(SECOND);
            }
            settled().await;
            let fast = service.seen(&Some(FAST.to_owned()), |seen| seen.entities.len());
            assert_eq!(fast, 30);
            assert_eq!(service.most_under_way(SLOW), 3);
            // The places of the others are not lost to them either.
            let slow = service.seen(&Some(SLOW.to_owned()), |seen| seen.entities.len());
            assert!(slow >= 32 * 2, "{slow}");
            running.detach();
        });
    }
}

#[test]
fn no_user_starves_behind_the_backlog_of_another_at_a_limited_destination() {
    on_memory(|store, clock| async move {
        let service = Service::new(&clock, SECOND);
        for id in 0..500 {
            let change = parcel_of("giant", id, SLOW).enqueue_sync().priority(9);
            enqueue(&*store, change).await;
        }
        let users = ["ada", "ben", "eve", "zoe"];
        for (id, user) in (1000..).zip(users) {
            enqueue(&*store, parcel_of(user, id, SLOW).enqueue_sync()).await;
        }
        let processor = build(&store, service.handlers::<Parcel>(), |builder| {
            builder.limit(SLOW, 2)
        });
        let running = processor.start_all_users();
        let_time_pass_until(&service, 60).await;
        let told = service.seen(&Some(SLOW.to_owned()), |seen| seen.users.clone());
        for user in users {
            assert!(told.iter().any(|of| of == user), "{user}");
        }
        running.detach();
    });
}

#[test]
fn the_events_of_an_entity_keep_their_order_within_a_limit() {
    on_memory(|store, clock| async move {
        let service = Service::new(&clock, SECOND);
        let mut sent = Vec::new();
        for _ in 0..5 {
            for id in 0..4 {
                let event = enqueue(&*store, parcel(id, SLOW).enqueue_update()).await;
                sent.push((event.seq, id));
            }
        }
        let processor = build(&store, service.handlers::<Parcel>(), |builder| {
            builder.limit(SLOW, 2)
        });
        let running = processor.start("u1");
        let_time_pass_until(&service, 20).await;
        clock.advance(SECOND);
        settled().await;
        let completed = with_status(&*store, OutboxStatus::Completed).await;
        assert_eq!(completed.len(), 20);
        for id in 0..4_i64 {
            let mut of_entity: Vec<&OutboxEvent> = completed
                .iter()
                .filter(|event| event.entity_id.as_integer() == Some(id))
                .collect();
            of_entity.sort_by_key(|event| event.completed_at);
            assert!(of_entity.is_sorted_by_key(|event| event.seq));
        }
        assert_eq!(service.most_under_way(SLOW), 2);
        running.stop().await.unwrap();
    });
}

#[test]
fn quick_handlers_do_not_make_a_run_claim_more_than_the_limit() {
    on_memory(|store, clock| async move {
        let service = Service::new(&clock, Duration::ZERO);
        for id in 0..2_000 {
            let to = if id % 2 == 0 { SLOW } else { FAST };
            enqueue(&*store, parcel(id, to).enqueue_sync()).await;
        }
        let processor = build(&store, service.handlers::<Parcel>(), |builder| {
            builder.limit(SLOW, 1)
        });
        let running = processor.start("u1");
        settled().await;
        for id in 0..2_000 {
            assert!(running.flush(id, SOON).await.unwrap().is_delivered());
        }
        assert_eq!(service.most_under_way(SLOW), 1);
        running.stop().await.unwrap();
        let completed = with_status(&*store, OutboxStatus::Completed).await;
        assert!(completed.iter().all(|event| event.attempt_count == 1));
    });
}

#[test]
fn the_runs_of_a_processor_share_its_limits() {
    on_each_store(|store, _| async move {
        let (mut remote, set) = Remote::of::<Parcel>();
        for id in 0..2 {
            enqueue(&*store, parcel_of("u1", id, SLOW).enqueue_sync()).await;
        }
        for id in 10..14 {
            enqueue(&*store, parcel_of("u2", id, SLOW).enqueue_sync()).await;
        }
        let processor = build(&store, set, |builder| builder.limit(SLOW, 2));
        let one = processor.start("u1");
        let first = remote.next().await;
        let second = remote.next().await;
        let two = processor.start("u2");
        let explanation = within(two.explain(10)).await.unwrap();
        assert!(
            matches!(
                explanation.waits_for,
                WaitsFor::Limit { until: None, .. } | WaitsFor::Worker
            ),
            "{explanation}"
        );
        assert!(remote.is_quiet());
        // The run that has the places ends: the other one learns that they are free.
        let stopping = tokio::spawn(async move { one.stop().await });
        first.ok();
        second.ok();
        within(stopping).await.unwrap().unwrap();
        let mut held = vec![remote.next().await, remote.next().await];
        assert!(held.iter().all(|call| call.event.user_id == "u2"));
        // With both running, each call that ends makes room for one of either.
        for id in 2..4 {
            enqueue(&*store, parcel_of("u1", id, SLOW).enqueue_sync()).await;
        }
        let again = processor.start("u1");
        for _ in 0..4 {
            held.remove(0).ok();
            held.push(remote.next().await);
            assert!(remote.is_quiet());
        }
        for call in held {
            call.ok();
        }
        for (run, ids) in [(&again, 0..4), (&two, 10..14)] {
            for id in ids {
                assert!(within(run.flush(id, SOON)).await.unwrap().is_delivered());
            }
        }
        within(again.stop()).await.unwrap();
        within(two.stop()).await.unwrap();
    });
}

/// A run with limits that has nothing to do.
#[tokio::test]
async fn an_idle_run_with_limits_runs_no_statement() {
    let clock = ManualClock::new();
    let temporary = Temporary::open_alone(&clock).await;
    let store = &temporary.store;
    let (mut remote, set) = Remote::of::<Parcel>();
    let processor = Processor::builder(store.clone())
        .handlers(set)
        .limit(SLOW, 2)
        .pace(SLOW, Pace::per_second(1))
        .limit(None, 1)
        .build()
        .unwrap();
    let running = processor.start("u1");
    let event = enqueue(store, parcel(1, SLOW).enqueue_sync()).await;
    remote.next().await.ok();
    assert!(within(running.flush(1, SOON)).await.unwrap().is_delivered());
    // The run looks once more when the pace allows the next call. Then only the clean-up is left.
    within(clock.until_asleep(clock.now() + SECOND)).await;
    clock.advance(SECOND);
    let clean_up = clock.now() + Duration::from_secs(299);
    within(clock.until_asleep(clean_up)).await;
    within(temporary.writer_rests(&event)).await;
    let before = store.statements().get();
    for _ in 0..100 {
        clock.advance(SECOND);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(store.statements().get(), before, "the run is idle");
    within(running.stop()).await.unwrap();
}

#[tokio::test]
async fn a_limit_that_allows_nothing_is_refused() {
    let (_, set) = Remote::of::<Parcel>();
    let mut set = Some(set);
    let mut refused = |configure: fn(ProcessorBuilder) -> ProcessorBuilder| {
        let set = set.take().unwrap_or_default();
        let builder = Processor::builder(MemoryStore::new()).handlers(set);
        let error = configure(builder).build().unwrap_err();
        assert!(matches!(error, BuildError::Limit { .. }), "{error}");
        error.to_string()
    };
    assert_eq!(
        refused(|it| it.limit(SLOW, 0)),
        "the limit of destination \"slow.example.org\": a limit allows at least 1 call"
    );
    assert_eq!(
        refused(|it| it.limit(None, 0)),
        "the limit of events without a destination: a limit allows at least 1 call"
    );
    type Set = fn(ProcessorBuilder) -> ProcessorBuilder;
    let paces: [(Set, &str); 5] = [
        (
            |it| it.pace(SLOW, Pace::per_second(0)),
            "a pace needs at least 1 call",
        ),
        (
            |it| it.pace(SLOW, Pace::new(1, Duration::ZERO)),
            "the period of a pace is longer than zero",
        ),
        (
            |it| it.pace(SLOW, Pace::new(6, Duration::from_secs(7 * 24 * 60 * 60))),
            "a pace has at least one call a day",
        ),
        (
            |it| it.pace(SLOW, Pace::per_second(1).burst(0)),
            "a burst has at least 1 call",
        ),
        (
            |it| it.pace(SLOW, Pace::per_second(1).burst(10_001)),
            "a burst has at most 10,000 calls",
        ),
    ];
    for (configure, fault) in paces {
        assert_eq!(
            refused(configure),
            format!("the limit of destination \"slow.example.org\": {fault}")
        );
    }
    // No event can have such a destination.
    assert_eq!(
        refused(|it| it.limit("", 1)),
        "the limit of destination \"\": no event can have this destination, because the name is empty"
    );
    let told = refused(|it| it.limit("a\nb", 1));
    assert!(told.contains("control character"), "{told}");
    // A name that no event has yet is none of them.
    let (_, set) = Remote::of::<Parcel>();
    let builder = Processor::builder(MemoryStore::new()).handlers(set);
    builder.limit("typo", 4).build().unwrap();
}

/// A later value replaces an earlier one, and a limit and a pace belong together.
#[test]
fn a_later_limit_replaces_an_earlier_one() {
    on_memory(|store, clock| async move {
        let service = Service::new(&clock, SECOND);
        for id in 0..9 {
            enqueue(&*store, note_of("u1", id).enqueue_sync()).await;
        }
        let processor = build(&store, service.handlers::<Note>(), |builder| {
            builder
                .limit(None, 0)
                .limit(None, 3)
                .pace(None, Pace::per_second(1000).burst(9))
        });
        let running = processor.start("u1");
        let_time_pass_until(&service, 9).await;
        assert_eq!(service.seen(&None, |seen| seen.most_under_way), 3);
        clock.advance(SECOND);
        running.stop().await.unwrap();
    });
}
