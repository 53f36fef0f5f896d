//! The success criteria, measured: `cargo test -p fitiq criteria -- --nocapture` prints the table.

use std::time::Duration;

use backend::{Fault, FaultRule, Idempotency, Settings};
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use fitiq::seed::Seed;
use outbox_runtime::store::SystemClock;
use outbox_runtime::{Clock as _, OutboxRepository, OutboxStatus};

use crate::old_store::{self, OldEvent, metadata_of};
use crate::scene::{Scene, day, soon, until};

/// Rows of the older store, enough for several pages of a reader.
const MIGRATED: u32 = 2_000;
/// Days of data that wait while something urgent arrives.
const DAYS: u16 = 60;
/// Urgent events that arrive meanwhile, one by one.
const URGENT: u32 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn criteria() {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_header(["criterion", "target", "measured", ""]);
    let mut all = true;
    for (criterion, target, measured, holds) in [migration().await, stale().await]
        .into_iter()
        .chain(work().await)
    {
        all &= holds;
        table.add_row([
            criterion,
            target,
            measured.as_str(),
            if holds { "✅" } else { "❌" },
        ]);
    }
    println!("{table}");
    assert!(all, "{table}");
}

type Row = (&'static str, &'static str, String, bool);

async fn migration() -> Row {
    let scene = Scene::new().await;
    let metadata = metadata_of("progressEntry");
    let events: Vec<OldEvent> = (1..=MIGRATED)
        .map(|number| OldEvent::new("progressEntry", scene.user.as_str(), number, &metadata))
        .collect();
    let store = old_store::write(scene.folder(), &events);
    let report = scene.app.migrate(&store, false).await.unwrap();
    let there = scene.statistics().await.pending_count;
    let measured = format!(
        "{} of {} rows, {} rejected",
        report.migrated(),
        report.read(),
        report.rejected()
    );
    let holds = report.migrated() == u64::from(MIGRATED) && there == u64::from(MIGRATED);
    ("migration", "no row lost", measured, holds)
}

/// A service that fails a third of the time, for ten minutes of virtual time.
async fn stale() -> Row {
    let fault = FaultRule::chance(Fault::InternalError, 0.3);
    let (scene, clock) = Scene::manual(Settings::new().fault(fault).seed(3)).await;
    for hour in 0..24 {
        scene.app.save(scene.steps(1.0, hour)).await.unwrap();
    }
    let (running, began) = (scene.run(), clock.now());
    let end = began + chrono::TimeDelta::minutes(10);
    // While nothing is under way, so that no attempt times out.
    while !soon(clock.until_idle(&running)).await.unwrap().is_empty() && clock.now() < end {
        let next = clock.next_deadline().unwrap_or(end);
        clock.set(next.min(end));
    }
    clock.set(end);
    let stale = scene.app.store().stale_events(None).await.unwrap().len();
    running.stop().await.unwrap();
    (
        "stale events",
        "none after 10 min",
        stale.to_string(),
        stale == 0,
    )
}

/// A month of data, sent to a service that sometimes fails or loses an answer, with workouts in the
/// middle.
async fn work() -> Vec<Row> {
    let service = Settings::new()
        .idempotency(Idempotency::Honored)
        .fault(FaultRule::chance(Fault::InternalError, 0.01))
        .fault(FaultRule::chance(Fault::Drop, 0.01))
        .seed(5);
    let scene = Scene::with(service).await;
    let seed = Seed {
        user: scene.user.clone(),
        days: DAYS,
        until: day(17),
        number: 1,
    };
    scene.app.seed(seed).await.unwrap();
    let total = scene.statistics().await.total_events;
    let running = scene.run();
    until(|| async { scene.statistics().await.completed_count > 200 }).await;

    let waiting = scene.statistics().await.pending_count;
    // The median of several, because one may meet a failure of the service, and its pause.
    let mut latencies = Vec::new();
    for minute in 0..URGENT {
        let workout = scene.workout();
        let workout = fitiq::entities::Workout {
            activity_type: "climbing".to_owned(),
            started_at: workout.started_at + Duration::from_secs(60) * minute,
            ..workout
        };
        let began = SystemClock.uptime();
        scene.app.save(workout.clone()).await.unwrap();
        until(|| async { scene.event(workout.id).await.status == OutboxStatus::Completed }).await;
        latencies.push(SystemClock.uptime().saturating_sub(began));
    }
    latencies.sort_unstable();
    let latency = latencies[latencies.len() / 2];

    until(|| async { scene.statistics().await.undelivered() == 0 }).await;
    running.stop().await.unwrap();
    let statistics = scene.statistics().await;
    let processed = statistics.completed_count + statistics.dead_count;
    let held: usize = scene.audit().collections.values().map(Vec::len).sum();
    let expected = total + u64::from(URGENT);
    vec![
        (
            "processed",
            "100 %",
            format!("{processed} of {expected} events"),
            processed == expected,
        ),
        // Both halves of the profile are one entity at the service.
        (
            "at the service",
            "each once",
            format!("{held} entities"),
            held as u64 == expected - 1,
        ),
        (
            "success rate",
            "> 99 %",
            format!("{:.2} %", statistics.success_rate()),
            statistics.success_rate() > 99.0,
        ),
        (
            "latency, priority 5",
            "< 1 s",
            format!("{} ms, {waiting} waiting", latency.as_millis()),
            latency < Duration::from_secs(1) && waiting > 500,
        ),
    ]
}
