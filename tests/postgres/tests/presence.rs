//! A process is alive as long as its session is, on whatever machine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests, too"
)]

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use outbox_postgres::PostgresStore;
use outbox_postgres_tests::{Server, connect, new_schema, soon};
use outbox_runtime::prelude::*;
use outbox_runtime::store::{Announcement, ProcessState, StoreProcess, SystemClock};
use outbox_runtime::{Clock, OutboxStatus};

#[derive(OutboxEntity)]
#[outbox(event_type = "note")]
struct Note {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

const URL: &str = "OUTBOX_TEST_PRESENCE_URL";
const SCHEMA: &str = "OUTBOX_TEST_PRESENCE_SCHEMA";

async fn open(url: &str, schema: &str) -> PostgresStore {
    let builder = PostgresStore::builder().schema(schema).pool_size(3);
    builder.connect(url).await.unwrap()
}

/// Not a test of ours: another test runs it in a process of its own, which it kills.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by another test in a process of its own"]
async fn the_other_process() {
    let (Ok(url), Ok(schema)) = (std::env::var(URL), std::env::var(SCHEMA)) else {
        return;
    };
    let running = Processor::builder(open(&url, &schema).await)
        .handle::<Note>(|_| std::future::pending())
        .build()
        .unwrap()
        .start_all_users();
    // Until the other test ends, however it ends.
    let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await;
    drop(running);
}

fn spawn(url: &str, schema: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "the_other_process"])
        .envs([(URL, url), (SCHEMA, schema)])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The only process of the store, once it is as meant.
async fn process(
    store: &PostgresStore,
    what: &str,
    is_meant: impl Fn(&StoreProcess) -> bool,
) -> StoreProcess {
    let mut found = None;
    soon(what, async {
        while found.is_none() {
            let mut processes = store.processes().await.unwrap();
            assert!(processes.len() < 2, "{processes:?}");
            found = processes.pop().filter(|process| is_meant(process));
            SystemClock.sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    found.expect("the loop ends with it")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_of_a_process_tells_whether_it_lives() {
    let url = Server::shared().url();
    let schema = new_schema();
    let store = open(&url, &schema).await;
    let user_id = "u1".to_owned();
    let change = Note { id: 1, user_id }.enqueue_create();
    let event = store
        .create_event(change.into_event().unwrap())
        .await
        .unwrap();
    let mut child = spawn(&url, &schema);
    let has_all = |it: &StoreProcess| it.leases == 1 && it.runs.len() == 1;
    let alive = process(&store, "the process has an event", has_all).await;
    assert_eq!(alive.process_id, child.id());
    assert_eq!((alive.is_this, alive.state), (false, ProcessState::Alive));
    assert_eq!(alive.runs[0].event_types, Some(vec!["note".to_owned()]));
    // As if it ran on another machine.
    let client = connect().await;
    let moved = format!("UPDATE {schema}.runs SET boot = 'another', host = 'another'");
    client.batch_execute(&moved).await.unwrap();
    let elsewhere = process(&store, "it is listed", has_all).await;
    assert_eq!(elsewhere.state, ProcessState::Alive);
    assert_eq!(elsewhere.host.as_deref(), Some("another"));

    child.kill().unwrap();
    child.wait().unwrap();
    let is_gone = |it: &StoreProcess| it.state == ProcessState::Gone;
    let dead = process(&store, "its session ends", is_gone).await;
    assert_eq!(dead.runs, elsewhere.runs, "it did not stop");
    let held = store
        .fetch_events(OutboxStatus::Processing, None, None)
        .await
        .unwrap();
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].id, event.id);
    assert!(dead.holds(&held[0]));

    // Without a session that listens, another machine cannot be seen.
    let unheard = format!("UPDATE {schema}.runs SET listens = false");
    client.batch_execute(&unheard).await.unwrap();
    let unknown = |it: &StoreProcess| it.state == ProcessState::Unknown;
    process(&store, "nobody can tell", unknown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_listens_nowhere_is_listed_as_long_as_it_works() {
    let url = Server::shared().url();
    let schema = new_schema();
    let store = open(&url, &schema).await;
    let mut child = spawn(&url, &schema);
    let is_announced = |it: &StoreProcess| it.runs.len() == 1;
    process(&store, "the process announces its run", is_announced).await;
    child.kill().unwrap();
    child.wait().unwrap();
    // As if it ran on another machine for a month, without a session that listens.
    let client = connect().await;
    let change = async |what: &str| {
        let sql = format!("UPDATE {schema}.runs SET {what}");
        client.batch_execute(&sql).await.unwrap();
    };
    change("boot = 'another', listens = false, started_at = started_at - interval '30 days'").await;
    let announce = async || {
        // Each announcement forgets the runs of those that are gone.
        let own = Announcement::new(store.clock().now());
        store.announce(&own).await.unwrap();
        store.withdraw(own.run_id).await.unwrap();
        store.processes().await.unwrap().len()
    };
    assert_eq!(announce().await, 1, "it announced itself again lately");
    change("announced_at = announced_at - interval '8 days'").await;
    assert_eq!(announce().await, 0, "nobody has heard of it for a week");
}
