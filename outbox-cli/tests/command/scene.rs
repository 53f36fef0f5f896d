//! Outboxes for the tests, and the command.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use assert_cmd::Command;
use chrono::{DateTime, Utc};
use outbox_runtime::store::{Claim, ClaimRequest, Disposition, Settlement};
use outbox_runtime::{
    Clock, DeadReason, NewEvent, Operation, OutboxRepository, RawMetadata, Refusal, RefusalClass,
    SqliteStore,
};
use outbox_testing::ManualClock;
use serde_json::Value;
use uuid::Uuid;

const LEASE: Duration = Duration::from_secs(60);

/// A folder with an outbox.
pub(crate) struct Scene {
    folder: tempfile::TempDir,
}

/// The answer of a command.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Scene {
    pub(crate) fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    /// An outbox with an event in each state, enqueued an hour ago. The ids end in 1, 2, …
    pub(crate) async fn with_each_state() -> Self {
        let scene = Self::empty();
        let store = scene.store().await;
        fill(&store, &Self::clock()).await;
        store.close().await;
        scene
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("app.db")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A clock that stands still, an hour ago.
    pub(crate) fn clock() -> ManualClock {
        let clock = ManualClock::new();
        clock.set(outbox_runtime::store::SystemClock.now() - Duration::from_secs(3_600));
        clock
    }

    pub(crate) async fn store(&self) -> SqliteStore {
        let store = SqliteStore::builder(self.path()).clock(Self::clock());
        store.open().await.unwrap()
    }

    /// Runs the command on this outbox.
    pub(crate) fn run(&self, args: &[&str]) -> Answer {
        run(self.path().to_str().unwrap(), args)
    }

    /// Runs the command, which must end with this code.
    pub(crate) fn expect(&self, code: i32, args: &[&str]) -> Answer {
        let answer = self.run(args);
        assert_eq!(answer.code, code, "{args:?}: {answer:?}");
        answer
    }

    /// The answer in JSON.
    pub(crate) fn json(&self, code: i32, args: &[&str]) -> Value {
        let args = [args, &["--json"]].concat();
        let answer = self.expect(code, &args);
        serde_json::from_str(&answer.stdout).unwrap()
    }

    /// A text without what differs from run to run.
    pub(crate) fn normal(&self, text: &str) -> String {
        normal(&text.replace(self.path().to_str().unwrap(), "app.db"))
    }

    /// The files beside the database.
    pub(crate) fn files(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.folder()).unwrap();
        let mut names: Vec<String> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        names
    }
}

pub(crate) fn command(db: &str, args: &[&str]) -> Command {
    let mut command = assert_cmd::cargo::cargo_bin_cmd!("outbox");
    command.env_remove("OUTBOX_SENSITIVE").env("OUTBOX_DB", db);
    command.timeout(Duration::from_secs(120)).args(args);
    command
}

pub(crate) fn run(db: &str, args: &[&str]) -> Answer {
    answer(command(db, args).output().unwrap())
}

pub(crate) fn answer(output: Output) -> Answer {
    Answer {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The id that ends in this number.
pub(crate) fn id(number: u128) -> Uuid {
    Uuid::from_u128(0x0190_b5e2_7b1c_7cc3_8f4e_0000_0000_0000 + number)
}

pub(crate) fn event(number: u128, event_type: &'static str, user: &str) -> NewEvent {
    NewEvent::new(
        event_type,
        i64::try_from(number).unwrap(),
        user,
        Operation::Update,
    )
    .with_id(id(number))
    .with_metadata(RawMetadata::from_bytes(
        r#"{"notes":"private \u001b[2J","kcal":250}"#,
    ))
}

/// One event in each state.
pub(crate) async fn fill(store: &dyn OutboxRepository, clock: &dyn Clock) {
    let create = async |event| store.create_event(event).await.unwrap();
    let due: DateTime<Utc> = clock.now() + Duration::from_secs(7_200);
    create(event(1, "meal", "ann")).await;
    settle(store, Disposition::Complete).await;
    create(event(2, "meal", "ann")).await;
    let fail = Disposition::Fail {
        next_attempt_at: due,
        message: "HTTP 500: try \u{1b}[31mlater".to_owned(),
    };
    settle(store, fail).await;
    create(event(3, "mood", "bob")).await;
    let bury = Disposition::Bury {
        reason: DeadReason::Rejected,
        message: "HTTP 422: no such meal".to_owned(),
    };
    settle(store, bury).await;
    create(event(4, "mood", "bob")).await;
    let give_back = Disposition::GiveBack {
        next_attempt_at: Some(due),
        refusal: Some(Refusal::new(RefusalClass::Offline, "no route to host")),
    };
    settle(store, give_back).await;
    // Behind the dead letter.
    let behind = NewEvent::new("mood", 3, "bob", Operation::Delete).with_id(id(5));
    create(behind).await;
    create(event(6, "meal", "cat").with_delay(Duration::from_secs(7_200))).await;
}

pub(crate) async fn claim_one(store: &dyn OutboxRepository) -> Claim {
    let mut claims = store.claim(&ClaimRequest::new(1, LEASE)).await.unwrap();
    claims.remove(0)
}

pub(crate) async fn settle(store: &dyn OutboxRepository, disposition: Disposition) {
    let lease = claim_one(store).await.lease;
    let settlement = Settlement { lease, disposition };
    store.settle(vec![settlement]).await.unwrap();
}

/// Replaces times by what they are.
pub(crate) fn normal(text: &str) -> String {
    let is_of_time = |c: char| c.is_ascii_alphanumeric() || ":.-+".contains(c);
    let mut normal = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_of_time) {
        normal.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest.find(|c| !is_of_time(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        match DateTime::parse_from_rfc3339(word) {
            Ok(_) => normal.push_str("TIME"),
            Err(_) => normal.push_str(word),
        }
        rest = after;
    }
    normal.push_str(rest);
    normal
}
