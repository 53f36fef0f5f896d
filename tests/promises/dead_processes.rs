//! Work of a dead process is rescued at once; work of a process that may be alive, only when its
//! lease ends.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::Connection;
use outbox_runtime::store::{ClaimRequest, LeaseToken, ProcessState, Rescued, Settled};
use outbox_tests::{enqueue, note, start, within};
use uuid::Uuid;

const DATABASE: &str = "OUTBOX_TEST_DEAD_PROCESSES_DB";
const NAME: &str = "a_holder";
/// Far longer than any test.
const LEASE: Duration = Duration::from_secs(3_600);

/// Not a test: in a process of its own, claims everything, reports it, and waits for its end.
#[test]
fn a_holder() {
    let Some(database) = std::env::var_os(DATABASE) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(Path::new(&database)).await.unwrap();
        let claims = store.claim(&ClaimRequest::new(10, LEASE)).await.unwrap();
        println!("claimed {}", claims.len());
        let end = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        end.await.unwrap().unwrap();
    });
}

/// A process that holds the events of a database until it is killed.
struct Holder(Child);

impl Holder {
    fn of(database: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(DATABASE, database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = Vec::new();
        let stdout = child.stdout.as_mut().unwrap();
        while !String::from_utf8_lossy(&said).contains("claimed 1") {
            let mut byte = [0];
            stdout.read_exact(&mut byte).unwrap();
            said.write_all(&byte).unwrap();
        }
        Self(child)
    }

    /// With SIGKILL.
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    fn signal(&self, signal: &str) {
        let id = self.0.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(sent.success());
    }
}

/// A database with one event that another process holds.
struct Scene {
    database: std::path::PathBuf,
    event: OutboxEvent,
    holder: Holder,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("app.db");
        let store = SqliteStore::open(&database).await.unwrap();
        let event = enqueue(&store, note(1).enqueue_sync()).await;
        store.close().await;
        let holder = Holder::of(&database);
        Self {
            database,
            event,
            holder,
            _folder: folder,
        }
    }

    async fn store(&self, alone: bool) -> SqliteStore {
        let builder = SqliteStore::builder(&self.database);
        let builder = if alone {
            builder.single_process()
        } else {
            builder
        };
        builder.open().await.unwrap()
    }

    /// Edits the process record of the holder.
    fn edit(&self, change: &str) {
        let conn = Connection::open(&self.database).unwrap();
        let sql = format!("UPDATE outbox_processes SET {change}");
        assert_eq!(conn.execute(&sql, []).unwrap(), 1);
    }
}

/// Whether this system can tell if a process is alive.
async fn can_tell(store: &SqliteStore) -> bool {
    let processes = store.processes().await.unwrap();
    processes[0].state != ProcessState::Unknown
}

#[tokio::test]
async fn work_of_a_killed_process_is_delivered_at_once() {
    for alone in [true, false] {
        let scene = Scene::new().await;
        let (event, database) = (scene.event.id, scene.database.clone());
        let store = scene.store(alone).await;
        if !alone && !can_tell(&store).await {
            return;
        }
        let _folder = scene._folder;
        scene.holder.kill();
        let (mut remote, running) = start(&store);
        let call = remote.next().await;
        assert_eq!(call.event.id, event, "{}", database.display());
        call.ok();
        let flushed = within(running.flush_event(event, Duration::from_secs(30))).await;
        assert!(flushed.unwrap().is_delivered());
        running.stop().await.unwrap();
    }
}

#[tokio::test]
async fn work_of_a_live_process_is_left_alone_even_while_it_is_frozen() {
    let scene = Scene::new().await;
    for alone in [false, true] {
        let store = scene.store(alone).await;
        if !can_tell(&store).await {
            return;
        }
        assert_eq!(store.rescue().await.unwrap(), Rescued::default());
        scene.holder.signal("-STOP");
        assert_eq!(store.rescue().await.unwrap(), Rescued::default());
        let processes = store.processes().await.unwrap();
        assert_eq!(processes.len(), 1);
        assert_eq!(processes[0].process_id, scene.holder.0.id());
        assert_eq!((processes[0].is_this, processes[0].leases), (false, 1));
        assert_eq!(processes[0].state, ProcessState::Alive);
        scene.holder.signal("-CONT");
        store.close().await;
    }
    scene.holder.kill();
}

/// A process of another boot or namespace is invisible from here, alive or not.
#[tokio::test]
async fn work_of_an_invisible_process_is_left_to_its_lease() {
    for change in [
        "boot = 'another'",
        "boot = NULL",
        "pid_namespace = 'pid:[1]'",
        "pid_namespace = NULL",
        "time_namespace = 'time:[1]'",
        "started = NULL",
        "process = process + 1",
    ] {
        let scene = Scene::new().await;
        scene.edit(change);
        let store = scene.store(false).await;
        let _folder = scene._folder;
        let database = scene.database;
        scene.holder.kill();
        assert_eq!(
            store.rescue().await.unwrap(),
            Rescued::default(),
            "{change}"
        );
        store.close().await;
        // With `single_process`, no check is necessary: nobody else can hold a lease.
        let builder = SqliteStore::builder(&database).single_process();
        let store = builder.open().await.unwrap();
        assert_ne!(
            store.rescue().await.unwrap(),
            Rescued::default(),
            "{change}"
        );
    }
}

/// A reused process id is another process.
#[tokio::test]
async fn a_process_with_a_reused_id_does_not_hold_the_leases_of_the_dead_one() {
    let scene = Scene::new().await;
    let store = scene.store(false).await;
    if !can_tell(&store).await {
        return;
    }
    assert_eq!(store.rescue().await.unwrap(), Rescued::default());
    scene.edit("started = started - 1");
    assert_eq!(
        store.processes().await.unwrap()[0].state,
        ProcessState::Gone
    );
    assert_ne!(store.rescue().await.unwrap(), Rescued::default());
    scene.holder.kill();
}

#[tokio::test]
async fn a_store_never_takes_from_its_own_process() {
    for alone in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("app.db");
        let open = async || {
            let builder = SqliteStore::builder(&database);
            let builder = if alone {
                builder.single_process()
            } else {
                builder
            };
            builder.open().await.unwrap()
        };
        let (one, other) = (open().await, open().await);
        let event = enqueue(&one, note(1).enqueue_sync()).await;
        let claim = one.mark_as_processing(event.id, LEASE).await.unwrap();
        assert_eq!(other.rescue().await.unwrap(), Rescued::default());
        assert_eq!(one.rescue().await.unwrap(), Rescued::default());
        assert_eq!(other.processes().await.unwrap().len(), 1);
        let settled = other.mark_as_completed(&claim.lease).await.unwrap();
        assert_eq!(settled, Settled::Recorded);
    }
}

#[tokio::test]
async fn dead_processes_without_leases_are_forgotten() {
    let scene = Scene::new().await;
    let store = scene.store(false).await;
    if !can_tell(&store).await {
        return;
    }
    let _folder = scene._folder;
    scene.holder.kill();
    store.rescue().await.unwrap();
    let claims = store.claim(&ClaimRequest::new(1, LEASE)).await.unwrap();
    assert_eq!(claims.len(), 1);
    let processes = store.processes().await.unwrap();
    assert_eq!(processes.len(), 1, "{processes:?}");
    assert!(processes[0].is_this);
    assert_eq!(processes[0].process_id, std::process::id());
}

#[test]
fn tokens_identify_their_process_and_are_never_equal() {
    let tokens: std::collections::HashSet<LeaseToken> =
        (0..10_000).map(|_| LeaseToken::random()).collect();
    assert_eq!(tokens.len(), 10_000);
    for token in tokens {
        assert_eq!(token.process_id(), Some(std::process::id()));
        assert_eq!(token.as_uuid().get_version_num(), 8);
        assert_eq!(token.as_uuid().get_variant(), uuid::Variant::RFC4122);
    }
    assert_eq!(LeaseToken::from(Uuid::now_v7()).process_id(), None);
}
