//! Hourly values: many entries in one call.

use std::collections::HashSet;

use backend::{Fault, FaultRule, Idempotency, Settings};
use fitiq::entities::{Metric, ProgressEntry};
use fitiq::repository;
use fitiq_core::cli::Synced;
use outbox_runtime::{OutboxRepository, OutboxStatus};

use crate::scene::{Scene, Setting, day};

/// The hours of a year, with two metrics each.
const YEAR: usize = 365 * 24 * 2;
const BATCH: &str = "POST /api/v1/progress/batch";
const ALONE: &str = "POST /api/v1/progress";

/// Saves hourly values, two metrics for each hour, in one transaction.
async fn save(scene: &Scene, count: usize) {
    let user = scene.user.clone();
    let midnight = day(17).and_time(chrono::NaiveTime::MIN).and_utc();
    let hours = (0_u32..).flat_map(move |hour| {
        let moment = midnight - chrono::TimeDelta::hours(i64::from(hour));
        [Metric::Steps, Metric::RestingHeartRate]
            .map(|metric| ProgressEntry::at(&user, metric, f64::from(hour % 900), &moment))
    });
    let entries: Vec<ProgressEntry> = hours.take(count).collect();
    let saved = scene
        .app
        .write(move |conn| repository::save_new(conn, &entries));
    assert_eq!(saved.await.unwrap(), count);
}

/// Asserts that everything arrived once, under the key of its event, and that the app knows.
async fn assert_all_once(scene: &Scene, count: usize) {
    let held = scene.held("progress");
    let keys: HashSet<_> = held.iter().map(|held| held.key.clone().unwrap()).collect();
    assert_eq!((held.len(), keys.len()), (count, count));
    let statistics = scene.statistics().await;
    assert_eq!(
        (statistics.completed_count, statistics.undelivered()),
        (count as u64, 0)
    );
    assert_eq!(statistics.dead_count, 0);
    let known = scene.app.write(|conn| {
        let sql = "SELECT count(DISTINCT remote_id) FROM entities WHERE accepted = 1";
        Ok(conn.query_row(sql, [], |row| row.get::<_, i64>(0))?)
    });
    assert_eq!(known.await.unwrap(), count as i64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_year_of_hourly_values_takes_176_calls() {
    let scene = Scene::new().await;
    save(&scene, YEAR).await;
    scene.deliver().await;
    let calls = scene.calls();
    assert_eq!(calls.len(), YEAR.div_ceil(100));
    assert_eq!(calls.iter().map(|call| call.items).sum::<usize>(), YEAR);
    assert_all_once(&scene, YEAR).await;
}

/// Lost answers, answers that break off, failures, and a pause that the service asks for. Each costs
/// a few calls: the refused one, those that ask with one value alone whether the service is back, and
/// the halves of what was refused while others got through.
#[tokio::test(flavor = "multi_thread")]
async fn hourly_values_arrive_once_whatever_happens_to_their_calls() {
    let faults = [
        (Fault::Drop, 3),
        (Fault::InternalError, 9),
        (Fault::Garble, 14),
        (Fault::TooManyRequests, 19),
        (Fault::Drop, 24),
        (Fault::Unavailable, 31),
    ];
    let service = Settings::new().idempotency(Idempotency::Honored);
    let service = faults.iter().fold(service, |service, (fault, call)| {
        service.fault(FaultRule::nth(*fault, *call).on(BATCH))
    });
    let scene = Scene::with(service).await;
    let count = 4_320;
    save(&scene, count).await;
    scene.deliver().await;
    assert_all_once(&scene, count).await;
    let audit = scene.audit();
    assert_eq!(audit.faults.values().sum::<u64>(), faults.len() as u64);
    assert!(audit.replays > 0, "answers were lost");
    let calls = audit.calls_of(BATCH).count() + audit.calls_of(ALONE).count();
    println!(
        "{calls} calls, {} of them alone",
        audit.calls_of(ALONE).count()
    );
    let least = count.div_ceil(100);
    assert!(calls <= least + 8 * faults.len(), "{calls} calls");
    let events = scene.app.store();
    let events = events.fetch_events(OutboxStatus::Completed, None, None);
    let events = events.await.unwrap();
    assert!(
        events.iter().all(|event| event.attempt_count == 1),
        "a lost answer is no attempt"
    );
}

/// The values that a killed process had are sent one by one, under the keys that they had in a
/// batch.
#[tokio::test]
async fn a_value_that_was_sent_in_a_batch_is_not_created_again_alone() {
    let fault = FaultRule::calls(Fault::Drop, 1..=2).on(BATCH);
    let service = Settings::new()
        .idempotency(Idempotency::Honored)
        .fault(fault);
    let setting = Setting {
        concurrency: Some(1),
        ..Setting::default()
    };
    let scene = Scene::set(service, setting).await;
    save(&scene, 3).await;
    scene.deliver().await;
    assert_all_once(&scene, 3).await;
    let audit = scene.audit();
    let alone: Vec<_> = audit.calls_of(ALONE).map(|call| call.replay).collect();
    assert!(alone.contains(&true), "{:?}", audit.calls);
}

#[tokio::test]
async fn a_refused_value_does_not_keep_the_others_of_its_call_back() {
    let scene = Scene::new().await;
    for hour in 0..5 {
        let value = if hour == 3 { -1.0 } else { 1.0 };
        scene.app.save(scene.steps(value, hour)).await.unwrap();
    }
    assert!(matches!(scene.sync().await, Synced::Left(_)));
    assert_eq!(scene.calls().len(), 1);
    assert_eq!(scene.held("progress").len(), 4);
    let store = scene.app.store();
    let dead = store.fetch_events(OutboxStatus::Dead, None, None);
    let dead = dead.await.unwrap().pop().unwrap();
    let message = dead.error_message.unwrap();
    assert!(
        message.contains("quantity must not be negative"),
        "{message}"
    );
}

#[tokio::test]
async fn new_changed_and_deleted_values_of_one_batch_arrive() {
    let scene = Scene::with(Settings::new().idempotency(Idempotency::Honored)).await;
    let entries: Vec<_> = (0..4).map(|hour| scene.steps(1.0, hour)).collect();
    for entry in &entries {
        scene.app.save(entry.clone()).await.unwrap();
    }
    scene.deliver().await;
    let first = scene.remote_id(entries[0].id).await;
    for entry in &entries[..2] {
        scene.edit_value(entry, 2.0).await;
    }
    scene
        .app
        .delete::<ProgressEntry>(entries[2].id)
        .await
        .unwrap();
    for hour in 10..12 {
        scene.app.save(scene.steps(3.0, hour)).await.unwrap();
    }
    scene.deliver().await;
    let held = scene.held("progress");
    let mut values: Vec<f64> = held
        .iter()
        .map(|held| held.entity["quantity"].as_f64().unwrap())
        .collect();
    values.sort_by(f64::total_cmp);
    assert_eq!(values, [1.0, 2.0, 2.0, 3.0, 3.0]);
    assert_ne!(scene.remote_id(entries[0].id).await, first);
    let audit = scene.audit();
    assert_eq!(audit.calls_of(BATCH).count(), 2);
}

/// A service that is away is not called once for each of the values.
#[tokio::test]
async fn a_refusal_of_one_change_is_the_answer_to_the_others_of_its_batch() {
    let scene = Scene::new().await;
    let entries: Vec<_> = (0..24).map(|hour| scene.steps(1.0, hour)).collect();
    for entry in &entries {
        scene.app.save(entry.clone()).await.unwrap();
    }
    scene.deliver().await;
    for entry in &entries {
        scene.app.delete::<ProgressEntry>(entry.id).await.unwrap();
    }
    let before = scene.calls().len();
    scene.backend.expire_tokens();
    scene.deliver().await;
    assert!(scene.held("progress").is_empty());
    let refused = scene.calls().into_iter().skip(before);
    let refused = refused.filter(|call| call.status == 401).count();
    assert!((1..=4).contains(&refused), "{refused} calls were refused");
}

/// One of the events is deleted while the service has it.
#[tokio::test]
async fn the_answer_to_an_event_that_is_gone_does_not_spoil_the_others() {
    let scene = Scene::new().await;
    save(&scene, 3).await;
    let lost = scene.app.store().fetch_pending_events(None, Some(1));
    let lost = lost.await.unwrap().pop().unwrap();
    let discard = format!(
        "CREATE TRIGGER lose AFTER UPDATE OF accepted ON entities
         BEGIN DELETE FROM outbox_events WHERE seq = {}; END",
        lost.seq
    );
    let made = scene
        .app
        .write(move |conn| Ok(conn.execute_batch(&discard)?));
    made.await.unwrap();
    scene.deliver().await;
    assert_eq!(scene.statistics().await.completed_count, 2);
}
