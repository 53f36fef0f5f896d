//! Statistics, stale events and clean-up.

use std::time::Duration;

use outbox_runtime::{Clock, OutboxStatistics, prelude::*};
use outbox_tests::{enqueue, note, note_of, on_each_store, start, start_all_users, within};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn an_empty_outbox_has_full_success_and_no_issues() {
    on_each_store(|store, _| async move {
        let statistics = store.statistics(None).await.unwrap();
        assert_eq!(statistics, OutboxStatistics::default());
        assert_eq!(statistics.success_rate().to_bits(), 100.0_f64.to_bits());
        assert!(!statistics.has_issues());
        assert_eq!(
            statistics.status_summary(),
            "Total: 0 | Pending: 0 | Processing: 0 | Completed: 0 | Failed: 0 | Dead: 0 | Stale: 0"
        );
    });
}

#[test]
fn the_success_rate_is_the_delivered_share_of_the_events_that_are_over() {
    on_each_store(|store, clock| async move {
        let later = |id| note(id).enqueue_sync().delay(Duration::from_secs(3600));
        enqueue(&store, later(20)).await;
        let fresh = store.statistics(None).await.unwrap();
        assert_eq!(
            (fresh.success_rate().to_bits(), fresh.has_issues()),
            (100.0_f64.to_bits(), false),
            "an event that waits is no failure"
        );
        let (mut remote, running) = start_all_users(&store, |builder| builder);
        for id in 1..=3 {
            enqueue(&store, note(id).enqueue_sync()).await;
            remote.next().await.ok();
            assert!(running.flush(id, SOON).await.unwrap().is_delivered());
        }
        assert!(!running.statistics().await.unwrap().has_issues());
        enqueue(&store, note_of("u2", 9).enqueue_sync()).await;
        remote.next().await.fail(HandlerError::permanent("no"));
        assert!(!running.flush(9, SOON).await.unwrap().is_delivered());
        let all = running.statistics().await.unwrap();
        assert_eq!(all.success_rate().to_bits(), 75.0_f64.to_bits());
        assert!(all.has_issues(), "a dead letter is an issue");
        let of_u1 = store.statistics(Some("u1")).await.unwrap();
        assert_eq!((of_u1.total_events, of_u1.has_issues()), (4, false));
        assert_eq!(of_u1.success_rate().to_bits(), 100.0_f64.to_bits());
        store
            .delete_completed_events(clock.now() + SOON)
            .await
            .unwrap();
        let cleaned_up = store.statistics(None).await.unwrap();
        assert_eq!(
            cleaned_up.success_rate().to_bits(),
            75.0_f64.to_bits(),
            "clean-up forgets no success"
        );
        running.stop().await.unwrap();
    });
}

#[test]
fn stale_events_are_issues_and_a_backlog_or_a_failure_is_none() {
    on_each_store(|store, clock| async move {
        for id in 0..=20 {
            enqueue(&store, note(id).enqueue_sync()).await;
        }
        assert!(!store.statistics(None).await.unwrap().has_issues());
        let first = store.fetch_pending_events(None, Some(1)).await.unwrap();
        let claim = store.mark_as_processing(first[0].id, SOON).await.unwrap();
        store
            .mark_as_failed(&claim.lease, "HTTP 500")
            .await
            .unwrap();
        let failed = store.statistics(None).await.unwrap();
        assert_eq!((failed.failed_count, failed.has_issues()), (1, false));
        store.reset_for_retry(&[first[0].id]).await.unwrap();
        let ids: Vec<_> = (1..=20).map(Into::into).collect();
        store.delete_events_for_entities(&ids, None).await.unwrap();
        assert!(!store.statistics(None).await.unwrap().has_issues());
        clock.advance(Duration::from_secs(300));
        assert_eq!(
            store.statistics(None).await.unwrap().stale_count,
            0,
            "stale only after 300 s, not at"
        );
        clock.advance(Duration::from_micros(1));
        let statistics = store.statistics(None).await.unwrap();
        assert_eq!((statistics.stale_count, statistics.has_issues()), (1, true));
        assert_eq!(store.stale_events(Some("u1")).await.unwrap().len(), 1);
    });
}

#[test]
fn only_delivered_events_are_cleaned_up_after_a_day() {
    on_each_store(|store, clock| async move {
        let (mut remote, running) = start(&store);
        let delivered = enqueue(&store, note(1).enqueue_sync()).await;
        remote.next().await.ok();
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        let rejected = enqueue(&store, note(2).enqueue_sync()).await;
        remote.next().await.fail(HandlerError::permanent("no"));
        assert!(!running.flush(2, SOON).await.unwrap().is_delivered());

        let begun = clock.now();
        let first = begun + Duration::from_secs(300);
        within(clock.until_asleep(first)).await;
        clock.set(first);
        // Nothing is old enough; clean-up returns when the oldest event will be.
        let day = begun + Duration::from_secs(24 * 60 * 60);
        within(clock.until_asleep(day)).await;
        assert!(store.fetch_event(delivered.id).await.unwrap().is_some());
        clock.set(day + Duration::from_micros(1));
        enqueue(&store, note(3).enqueue_sync()).await;
        remote.next().await.ok();
        assert!(running.flush(3, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
        assert_eq!(store.fetch_event(delivered.id).await.unwrap(), None);
        let rejected = store.fetch_event(rejected.id).await.unwrap().unwrap();
        assert_eq!(rejected.status, OutboxStatus::Dead);
    });
}
