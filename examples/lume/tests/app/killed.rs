//! A process that is killed while migrating and syncing, and run again.

use std::collections::HashSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use backend::{Backend, Idempotency, Settings};
use lume::V6Options;

use crate::migration::{Old, contents};
use crate::scene::EMAIL;

fn lume(db: &Path, server: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lume"));
    command.args([Path::new("--db"), db]);
    command.args(["--server", server, "--api-key", Settings::API_KEY]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

const NOWHERE: &str = "http://127.0.0.1:9";

fn migrating(db: &Path, old: &Old) -> Command {
    let mut command = lume(db, NOWHERE);
    command.args([Path::new("migrate"), Path::new("--from"), &old.path]);
    command
}

/// SIGKILL, unless it has ended before.
fn kill_after(mut child: Child, delay: Duration) {
    std::thread::sleep(delay);
    let _ = child.kill();
    child.wait().unwrap();
}

#[test]
fn a_killed_migration_ends_like_an_undisturbed_one() {
    let old = Old::with(&V6Options::new(1_500, 8));
    let before = old.bytes();
    let folder = tempfile::tempdir().unwrap();
    let (undisturbed, killed) = (
        folder.path().join("undisturbed.db"),
        folder.path().join("killed.db"),
    );
    let begin = Instant::now();
    // Migrated, except for the rejected rows.
    let done = |mut command: Command| command.status().unwrap().code() == Some(1);
    assert!(done(migrating(&undisturbed, &old)));
    let took = begin.elapsed();
    let mut rng = fastrand::Rng::with_seed(8);
    for _ in 0..10 {
        let delay = took.mul_f64(rng.f64());
        kill_after(migrating(&killed, &old).spawn().unwrap(), delay);
        assert_eq!(old.bytes(), before, "killed after {delay:?}");
    }
    assert!(done(migrating(&killed, &old)));
    assert_eq!(contents(&killed), contents(&undisturbed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_sync_sends_nothing_twice() {
    for idempotency in [Idempotency::Honored, Idempotency::Ignored] {
        let latency = Duration::from_millis(4)..=Duration::from_millis(9);
        let backend = Backend::start(Settings::new().idempotency(idempotency).latency(latency))
            .await
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let db = folder.path().join("lume.db");
        let run = |arguments: &[&str]| {
            let mut command = lume(&db, &backend.url());
            command.args(arguments);
            command
        };
        let finish = |mut command: Command| async move {
            tokio::task::spawn_blocking(move || command.status().unwrap().success())
                .await
                .unwrap()
        };
        assert!(finish(run(&["sign-in", "--email", EMAIL, "--password", "secret"])).await);
        assert!(finish(run(&["seed", "--days", "40"])).await);
        let mut kills = 0;
        for some in [20, 60] {
            let mut child = run(&["sync", "--once"]).spawn().unwrap();
            while backend.audit().held("mood-entries").count() < some
                && child.try_wait().unwrap().is_none()
            {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            kills += usize::from(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(kills, 2, "it was done before it was killed");
        assert!(finish(run(&["sync", "--once"])).await);
        let audit = backend.audit();
        let moods: Vec<String> = audit
            .held("mood-entries")
            .map(|held| held.entity["source_id"].to_string())
            .collect();
        let different: HashSet<&String> = moods.iter().collect();
        assert_eq!(different.len(), 80);
        let twice = moods.len() - different.len();
        // Up to three calls are under way.
        let allowed = if idempotency == Idempotency::Honored {
            0
        } else {
            3 * kills
        };
        assert!(twice <= allowed, "{twice} of them twice, {idempotency:?}");
        backend.stop().await;
    }
}
