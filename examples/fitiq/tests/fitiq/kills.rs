//! A process of the app that is killed while it syncs, again and again.

use std::collections::HashMap;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use backend::{Idempotency, Settings};
use fitiq::seed::Seed;
use fitiq_core::cli::{self, SyncArguments, Synced};

use crate::scene::{AppClock, Scene, Setting, day, soon, until};

/// The most calls at the same time.
const CONCURRENCY: usize = 4;
/// The most values in one call.
const BATCH: usize = 100;
/// The days of data.
const DAYS: u16 = 60;

/// A service that knows a key again has everything once.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_sync_duplicates_nothing_if_the_service_honors_the_key() {
    let doubled = doubled_after_kills(Idempotency::Honored, 3).await;
    assert_eq!(doubled, 0);
}

/// One that does not has at most the values of the calls under way twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_sync_duplicates_at_most_the_calls_under_way_if_it_does_not() {
    let kills = 2;
    let doubled = doubled_after_kills(Idempotency::Ignored, kills).await;
    let under_way = kills * CONCURRENCY * BATCH;
    assert!(doubled <= under_way, "{doubled} are there twice");
}

/// The number of duplicates at the service after many kills and a complete sync.
async fn doubled_after_kills(idempotency: Idempotency, kills: usize) -> usize {
    // Slow enough that a call is always under way.
    let latency = Duration::from_millis(2)..=Duration::from_millis(8);
    let scene = Scene::with(Settings::new().idempotency(idempotency).latency(latency)).await;
    let seed = Seed {
        user: scene.user.clone(),
        days: DAYS,
        until: day(17),
        number: 11,
    };
    scene.app.seed(seed).await.unwrap();
    let total = scene.statistics().await.total_events;
    for _ in 0..kills {
        let before = batches(&scene);
        let mut child = Killed(sync(&scene));
        // Kill after this many more calls with values, without warning.
        until(|| async { batches(&scene) >= before + 2 }).await;
        child.0.kill().unwrap();
        child.0.wait().unwrap();
    }
    // The events of dead processes are claimed again when their leases end.
    let setting = Setting {
        clock: AppClock::Later(Duration::from_secs(120)),
        ..Setting::default()
    };
    let later = scene.another_set(&setting).await;
    let (processor, once) = (later.processor().unwrap(), SyncArguments::once());
    let ended = soon(cli::sync(later.ground(), &processor, &once)).await;
    assert_eq!(ended.unwrap(), Synced::Delivered);
    let statistics = scene.statistics().await;
    assert_eq!(
        (statistics.completed_count, statistics.dead_count),
        (total, 0)
    );
    let mut times: HashMap<String, usize> = HashMap::new();
    for held in scene.held("progress") {
        let key = format!("{} {}", held.entity["type"], held.entity["date"]);
        *times.entry(key).or_default() += 1;
    }
    let hours = usize::from(DAYS) * 48;
    assert!(times.len() >= hours, "{} values arrived", times.len());
    times.values().map(|times| times - 1).sum()
}

/// The number of calls with several values.
fn batches(scene: &Scene) -> usize {
    let audit = scene.audit();
    audit.calls_of("POST /api/v1/progress/batch").count()
}

fn sync(scene: &Scene) -> Child {
    Command::new(env!("CARGO_BIN_EXE_fitiq"))
        .arg("--db")
        .arg(scene.database())
        .args([
            "--server",
            &scene.backend.url(),
            "--concurrency",
            &CONCURRENCY.to_string(),
            "sync",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// A child that does not outlive the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
