//! Processes announce their runs; a tool tells which of them live, without heartbeats.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use outbox_runtime::store::{ProcessState, StoreProcess};
use outbox_runtime::{Clock, OutboxStatus, StoreErrorKind, prelude::*};
use outbox_testing::{Fault, FaultStore, ManualClock, StoreCall};
use outbox_tests::{Note, Temporary, enqueue, note, on_each_store, start, start_all_users, within};

const SOON: Duration = Duration::from_secs(30);

/// The only process of the store, once it has this many runs.
async fn with_runs(store: &dyn OutboxRepository, count: usize) -> Option<StoreProcess> {
    within(async {
        loop {
            let mut processes = store.processes().await.unwrap();
            if processes.iter().map(|it| it.runs.len()).sum::<usize>() == count {
                return processes.pop();
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[test]
fn a_run_is_announced_when_it_starts_and_withdrawn_when_it_ends() {
    on_each_store(|store, clock| async move {
        let (_remote, of_one) = start(&store);
        let process = with_runs(&store, 1).await.unwrap();
        assert_eq!(
            (process.is_this, process.state),
            (true, ProcessState::Alive)
        );
        assert_eq!(process.process_id, std::process::id());
        assert_eq!(process.runs[0].user_id.as_deref(), Some("u1"));
        assert_eq!(process.runs[0].event_types, Some(vec!["note".to_owned()]));
        assert_eq!(process.runs[0].started_at, clock.now());
        assert_eq!(process.runs[0].version, env!("CARGO_PKG_VERSION"));
        let (_remote, of_all) = start_all_users(&store, |builder| builder);
        let process = with_runs(&store, 2).await.unwrap();
        assert!(process.runs.iter().any(|run| run.user_id.is_none()));
        of_one.stop().await.unwrap();
        with_runs(&store, 1).await;
        of_all.stop().await.unwrap();
        assert_eq!(store.processes().await.unwrap(), []);
    });
}

#[test]
fn a_run_that_works_announces_itself_again_each_day() {
    on_each_store(|store, clock| async move {
        let (mut remote, running) = start(&store);
        let process = with_runs(&store, 1).await.unwrap();
        // As if the store had forgotten it.
        store.withdraw(process.runs[0].run_id).await.unwrap();
        enqueue(&store, note(1).enqueue_sync()).await;
        remote.next().await.ok();
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        with_runs(&store, 0).await;
        clock.advance(Duration::from_secs(25 * 60 * 60));
        enqueue(&store, note(2).enqueue_sync()).await;
        remote.next().await.ok();
        let again = with_runs(&store, 1).await.unwrap();
        assert_eq!(again.runs, process.runs);
        running.stop().await.unwrap();
    });
}

#[tokio::test]
async fn a_run_that_cannot_announce_itself_delivers() {
    let store = FaultStore::new(MemoryStore::new());
    let fault = Fault::Fail(StoreErrorKind::ReadOnly);
    store.fail_next_times(9, StoreCall::Announce, fault);
    let (mut remote, running) = start(&store);
    for id in 1..5 {
        enqueue(&store, note(id).enqueue_sync()).await;
        remote.next().await.ok();
        assert!(running.flush(id, SOON).await.unwrap().is_delivered());
    }
    assert_eq!(store.injected().failures, 3, "it gives up");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn an_attempt_that_ends_while_its_run_is_announced_is_recorded() {
    let clock = ManualClock::new();
    let memory = MemoryStore::with_clock(clock.clone());
    let store = FaultStore::new(memory).with_clock(clock.clone());
    let delay = Duration::from_secs(1);
    store.fail_next(StoreCall::Announce, Fault::DelayAnswer(delay));
    enqueue(&store, note(1).enqueue_sync()).await;
    let (mut remote, running) = start(&store);
    let call = remote.next().await;
    let answered_at = clock.now() + delay;
    within(clock.until_asleep(answered_at)).await;
    call.ok();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    clock.set(answered_at);
    // Nothing else wakes the run: no command and no commit.
    let recorded = async {
        while store.statistics(None).await.unwrap().completed_count == 0 {
            tokio::task::yield_now().await;
        }
    };
    within(recorded).await;
    assert_eq!(store.injected().delayed_answers, 1);
    running.stop().await.unwrap();
}

/// The path of the database, for the other process.
const DATABASE: &str = "OUTBOX_TEST_PRESENCE";

/// Not a test of ours: another test runs it in a process of its own, which it kills.
#[tokio::test]
#[ignore = "run by another test in a process of its own"]
async fn the_other_process() {
    let Ok(path) = std::env::var(DATABASE) else {
        return;
    };
    let store = SqliteStore::open(path).await.unwrap();
    let running = Processor::builder(store)
        .handle::<Note>(|_| async {
            println!("in a handler");
            std::future::pending().await
        })
        .build()
        .unwrap()
        .start_all_users();
    // Until the other test ends, however it ends.
    let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await;
    drop(running);
}

/// A process whose handler hangs with an event.
fn spawn(path: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "the_other_process"])
        .env(DATABASE, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let told = BufReader::new(child.stdout.take().unwrap());
    let mut lines = told.lines();
    assert!(
        lines.any(|line| line.unwrap().contains("in a handler")),
        "the process ended"
    );
    // Keeps the pipe open.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

#[tokio::test]
async fn the_runs_and_leases_of_a_dead_process_are_listed() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    let event = enqueue(store, note(1).enqueue_sync()).await;
    let mut child = spawn(&temporary.path);
    let alive = with_runs(store, 1).await.unwrap();
    assert_eq!(alive.process_id, child.id());
    assert_eq!((alive.is_this, alive.leases), (false, 1));
    if alive.state == ProcessState::Unknown {
        // This system does not tell.
        child.kill().unwrap();
        child.wait().unwrap();
        return;
    }
    assert_eq!(alive.state, ProcessState::Alive);
    assert!(alive.host.is_some());
    child.kill().unwrap();
    child.wait().unwrap();
    let processes = store.processes().await.unwrap();
    let [dead] = &processes[..] else {
        panic!("{processes:?}");
    };
    assert_eq!(dead.state, ProcessState::Gone);
    assert_eq!(dead.runs, alive.runs, "it did not stop");
    let held = store
        .fetch_events(OutboxStatus::Processing, None, None)
        .await
        .unwrap();
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].id, event.id);
    assert!(dead.holds(&held[0]));

    // A process of another boot, machine or container cannot be seen from here.
    let conn = temporary.connect();
    for change in ["boot = 'another'", "pid_namespace = 'pid:[1]'"] {
        conn.execute_batch(&format!(
            "SAVEPOINT before; UPDATE outbox_processes SET {change}; RELEASE before"
        ))
        .unwrap();
        let processes = store.processes().await.unwrap();
        assert_eq!(processes[0].state, ProcessState::Unknown, "{change}");
    }
}
