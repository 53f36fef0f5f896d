//! How often a call begins.

use std::time::Duration;

use chrono::TimeDelta;
use outbox_runtime::{Clock, WaitsFor, prelude::*};
use outbox_tests::{Remote, enqueue, on_each_store, within};

use super::service::{
    Parcel, Service, build, let_time_pass_until, most_within, on_memory, parcel, with_status,
};
use super::{SECOND, SLOW, SOON};

#[test]
fn the_pace_is_never_exceeded_wherever_a_period_starts() {
    let paces = [
        (Pace::per_second(10), SECOND, 10),
        (Pace::per_second(3), SECOND, 3),
        (Pace::per_minute(7), SECOND * 60, 7),
        (Pace::per_second(10).burst(5), SECOND, 14),
        (Pace::per_second(200).burst(20), SECOND, 219),
    ];
    for (pace, period, most) in paces {
        for takes in [Duration::ZERO, SECOND / 3, SECOND * 2] {
            on_memory(|store, clock| async move {
                let count = most * 3;
                let service = Service::new(&clock, takes);
                for id in 0..i64::try_from(count).unwrap() {
                    enqueue(&*store, parcel(id, SLOW).enqueue_sync()).await;
                }
                let begin = clock.now();
                let processor = build(&store, service.handlers::<Parcel>(), |builder| {
                    builder.max_concurrency(2000).pace(SLOW, pace)
                });
                let running = processor.start("u1");
                let_time_pass_until(&service, count).await;
                let begins = service.seen(&Some(SLOW.to_owned()), |seen| seen.begins.clone());
                let found = most_within(&begins, period);
                assert!(found <= most, "{found} calls, not {most}: {pace:?}");
                // It is not slower than it has to be either.
                let took = (clock.now() - begin).to_std().unwrap();
                let calls = u32::try_from(count).unwrap() - pace.burst_size();
                let least = pace.distance() * calls;
                assert!(took >= least, "{took:?}, not {least:?}");
                assert!(
                    took <= least + least / 50 + SECOND / 20,
                    "{took:?}, not {least:?}"
                );
                running.detach();
            });
        }
    }
}

#[test]
fn without_a_pace_the_same_calls_exceed_it() {
    on_memory(|store, clock| async move {
        let service = Service::new(&clock, SECOND / 3);
        for id in 0..30 {
            enqueue(&*store, parcel(id, SLOW).enqueue_sync()).await;
        }
        let processor = build(&store, service.handlers::<Parcel>(), |builder| {
            builder.max_concurrency(1000)
        });
        let running = processor.start("u1");
        let_time_pass_until(&service, 30).await;
        let begins = service.seen(&Some(SLOW.to_owned()), |seen| seen.begins.clone());
        assert_eq!(most_within(&begins, SECOND), 30);
        running.detach();
    });
}

#[test]
fn an_event_that_waits_for_the_pace_says_until_when_and_is_not_claimed() {
    on_each_store(|store, clock| async move {
        let (mut remote, set) = Remote::of::<Parcel>();
        for id in 0..2 {
            enqueue(&*store, parcel(id, SLOW).enqueue_sync()).await;
        }
        let processor = build(&store, set, |builder| {
            builder.pace(SLOW, Pace::per_minute(1))
        });
        let running = processor.start("u1");
        let begun = clock.now();
        remote.next().await.ok();
        assert!(within(running.flush(0, SOON)).await.unwrap().is_delivered());
        let next = begun + TimeDelta::seconds(60);
        within(clock.until_asleep(next)).await;
        let explanation = within(running.explain(1)).await.unwrap();
        let limit = WaitsFor::Limit {
            destination: Some(SLOW.to_owned()),
            until: Some(next),
        };
        assert_eq!(explanation.waits_for, limit);
        let told = "its turn in the pace of calls, at 2026-01-01 00:01:00 UTC: destination \"slow.example.org\" has a limit";
        assert_eq!(explanation.waits_for.to_string(), told);
        assert_eq!(with_status(&*store, OutboxStatus::Pending).await.len(), 1);
        clock.advance(SECOND * 59);
        within(clock.until_asleep(next)).await;
        assert!(remote.is_quiet());
        clock.advance(SECOND);
        remote.next().await.ok();
        assert!(within(running.flush(1, SOON)).await.unwrap().is_delivered());
        within(running.stop()).await.unwrap();
    });
}

#[test]
fn a_clock_that_goes_back_does_not_stop_paced_calls() {
    on_memory(|store, clock| async move {
        let service = Service::new(&clock, Duration::ZERO);
        let processor = build(&store, service.handlers::<Parcel>(), |builder| {
            builder.pace(SLOW, Pace::per_second(2))
        });
        let running = processor.start("u1");
        for (ids, delivered) in [(0..10, 10), (10..20, 20)] {
            for id in ids {
                enqueue(&*store, parcel(id, SLOW).enqueue_sync()).await;
            }
            let before = clock.now();
            let_time_pass_until(&service, delivered).await;
            let took = clock.now() - before;
            assert!(took <= TimeDelta::seconds(6), "{took}");
            clock.set(before - TimeDelta::seconds(600));
        }
        running.detach();
    });
}
