//! Stores with the data that the screens show.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use outbox_runtime::rusqlite::{Connection, params};
use outbox_runtime::store::{Announcement, Disposition, OutboxQueue as _, Settlement};
use outbox_runtime::{
    DeadReason, NewEvent, Operation, OutboxEvent, OutboxRepository, OutboxStatus, Pause,
    RawMetadata, Refusal, RefusalClass, SqliteStore,
};
use outbox_testing::ManualClock;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

#[path = "../../src/hostile.rs"]
mod hostile;

/// The strings that every field of a [hostile](Outbox::hostile) store has.
pub const HOSTILE: [&str; hostile::KEYS.len() + hostile::MARKUP.len()] = {
    let mut all = [""; hostile::KEYS.len() + hostile::MARKUP.len()];
    let mut next = 0;
    while next < all.len() {
        all[next] = if next < hostile::KEYS.len() {
            hostile::KEYS[next]
        } else {
            hostile::MARKUP[next - hostile::KEYS.len()]
        };
        next += 1;
    }
    all
};

const LEASE: Duration = Duration::from_secs(60);

/// The process id of a process that is gone.
const GONE: u32 = 3_999_999;

/// A store in a folder of its own.
#[derive(Debug)]
pub struct Outbox {
    /// The store.
    pub store: SqliteStore,
    clock: Option<ManualClock>,
    path: PathBuf,
    _folder: TempDir,
}

impl Outbox {
    /// Without events.
    pub async fn empty() -> Self {
        Self::on(None).await
    }

    async fn on(clock: Option<ManualClock>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("app.db");
        let mut builder = SqliteStore::builder(&path);
        if let Some(clock) = &clock {
            builder = builder.clock(clock.clone());
        }
        Self {
            store: builder.open().await.expect("a store"),
            clock,
            path,
            _folder: folder,
        }
    }

    /// With the meals, workouts and moods of some users over four hours: pending, delivered,
    /// failed, deferred, dead and paused ones, and processes that are alive, gone and unknown. Its
    /// clock stands still.
    pub async fn typical() -> Self {
        let outbox = Self::on(Some(ManualClock::new())).await;
        outbox
            .announce(&["meal", "workout", "progress"], None)
            .await;
        outbox.add_processes().await;
        for (number, user) in (1..).zip(["ann", "ben", "cleo", "dora", "emil", "ann", "ben"]) {
            let meal = outbox.add("meal", 100 + number, user).await;
            outbox.take(Duration::from_millis(180));
            outbox.deliver(meal.id).await;
            outbox.take(Duration::from_secs(1_260));
        }
        for number in 1..=7 {
            let meal = outbox.add("meal", 200 + number, "ann").await;
            outbox.fail(meal.id, "HTTP 503: try again later").await;
            outbox.take(Duration::from_secs(31));
            outbox.bury(meal.id, "HTTP 422: unknown unit \"cup\"").await;
            outbox.take(Duration::from_secs(240));
        }
        // Waits for the dead one before it.
        outbox.add("meal", 207, "ann").await;
        let workout = outbox.add("workout", 301, "ben").await;
        outbox
            .bury(workout.id, "HTTP 422: unknown unit \"mile\"")
            .await;
        let workout = outbox.add("workout", 302, "ann").await;
        outbox
            .bury(workout.id, "HTTP 409: the plan has ended")
            .await;
        let progress = outbox.add("progress", 401, "cleo").await;
        for _ in 0..3 {
            outbox.fail(progress.id, "HTTP 500: no connection").await;
            outbox.take(Duration::from_secs(60));
        }
        let progress = outbox.add("progress", 402, "dora").await;
        outbox.defer(progress.id, "503 Service Unavailable").await;
        outbox.take(Duration::from_secs(420));
        for number in 1..=12 {
            outbox.add("workout", 500 + number, "ben").await;
        }
        // Nobody handles these.
        for number in 1..=3 {
            outbox.add("mood", 600 + number, "emil").await;
        }
        let of_ben = Pause::user("ben").because("support case 4711").by("ada");
        outbox.store.pause(&of_ben).await.expect("a pause");
        let until = outbox.now() + TimeDelta::hours(2);
        let to_analytics = Pause::destination("analytics")
            .because("maintenance window")
            .until(until);
        outbox.store.pause(&to_analytics).await.expect("a pause");
        outbox.take(Duration::from_secs(75));
        outbox
    }

    /// With between 50 and 200 rows on every screen that has a list.
    pub async fn crowded() -> Self {
        let outbox = Self::empty().await;
        outbox.announce(&["type-aa", "type-ab"], None).await;
        outbox.add_processes().await;
        for number in 0..60 {
            let name = letters(number);
            let (event_type, user) = (format!("type-{name}"), format!("user-{name}"));
            let dead = outbox.add(&event_type, number, &user).await;
            let error = format!("rejected: HTTP 422: the field {name} is unknown");
            outbox.bury(dead.id, &error).await;
            outbox.add(&event_type, 1_000 + number, &user).await;
            outbox.add(&event_type, 2_000 + number, &user).await;
            let pause = Pause::user(&user).because(format!("case {number}"));
            outbox.store.pause(&pause).await.expect("a pause");
        }
        outbox
    }

    /// With every hostile string in every field.
    pub async fn hostile() -> Self {
        let outbox = Self::empty().await;
        outbox.announce(&HOSTILE, None).await;
        outbox.add_processes().await;
        for text in HOSTILE {
            outbox.announce(&[text], Some(text)).await;
            let event = |suffix: &str| {
                let entity = format!("{text}{suffix}");
                let payload = json!({ text: text, "list": [text, { text: [text] }] });
                NewEvent::new(text, entity, text, Operation::Update)
                    .with_destination(text)
                    .with_metadata(RawMetadata::encode(&payload).expect("JSON"))
            };
            // Each in a lane of its own, in the order in which they are needed.
            let dead = outbox.create(event("")).await;
            outbox.fail(dead.id, text).await;
            outbox.bury(dead.id, text).await;
            let deferred = outbox.create(event(" ")).await;
            outbox.defer(deferred.id, text).await;
            outbox.create(event("  ")).await;
            let pause = Pause::user(text).because(text).by(text);
            outbox.store.pause(&pause).await.expect("a pause");
            let pause = Pause::destination(text).because(text).by(text);
            outbox.store.pause(&pause).await.expect("a pause");
        }
        let conn = outbox.connect();
        let script = "<script>alert(1)</script>";
        for sql in [
            "UPDATE outbox_processes SET host = ?1",
            "UPDATE outbox_runs SET version = ?1 WHERE user_id IS NOT NULL",
        ] {
            conn.execute(sql, [script]).expect("a change");
        }
        outbox
    }

    /// The time by the store's clock.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.store.clock().now()
    }

    /// Lets time pass, by a clock that stands still otherwise.
    fn take(&self, time: Duration) {
        if let Some(clock) = &self.clock {
            clock.advance(time);
        }
    }

    fn connect(&self) -> Connection {
        Connection::open(&self.path).expect("the file")
    }

    /// Enqueues an event.
    pub async fn create(&self, event: NewEvent) -> OutboxEvent {
        self.store.create_event(event).await.expect("an event")
    }

    /// Enqueues an event with some metadata.
    pub async fn add(&self, event_type: &str, entity: i64, user: &str) -> OutboxEvent {
        let payload = json!({
            "name": format!("{event_type} {entity}"),
            "email": format!("{user}@example.org"),
            "amount": { "value": 1.5, "unit": "cup" },
            "parts": [{ "name": "oats", "grams": 80 }, { "name": "milk", "grams": 200 }],
            "isPlanned": false,
            "note": Value::Null,
        });
        let event = NewEvent::new(event_type.to_owned(), entity, user, Operation::Update);
        self.create(event.with_metadata(RawMetadata::encode(&payload).expect("JSON")))
            .await
    }

    async fn settle(&self, id: Uuid, disposition: Disposition) {
        let claim = self.store.mark_as_processing(id, LEASE).await;
        let lease = claim.expect("a due event").lease;
        self.take(Duration::from_millis(340));
        let settlement = Settlement { lease, disposition };
        self.store
            .settle(vec![settlement])
            .await
            .expect("an outcome");
    }

    /// Delivers it.
    pub async fn deliver(&self, id: Uuid) {
        self.settle(id, Disposition::Complete).await;
    }

    /// Fails an attempt, so that the next one is due.
    pub async fn fail(&self, id: Uuid, message: &str) {
        let disposition = Disposition::Fail {
            next_attempt_at: self.now(),
            message: message.to_owned(),
        };
        self.settle(id, disposition).await;
    }

    /// Makes it a dead letter.
    pub async fn bury(&self, id: Uuid, message: &str) {
        let disposition = Disposition::Bury {
            reason: DeadReason::Rejected,
            message: message.to_owned(),
        };
        self.settle(id, disposition).await;
    }

    /// Defers it by an hour.
    pub async fn defer(&self, id: Uuid, message: &str) {
        let disposition = Disposition::Defer {
            next_attempt_at: self.now() + TimeDelta::hours(1),
            refusal: Refusal::new(RefusalClass::Unavailable, message),
        };
        self.settle(id, disposition).await;
    }

    /// The ids of the events with this status, in order.
    pub async fn ids(&self, status: OutboxStatus) -> Vec<Uuid> {
        let events = self.store.fetch_events(status, None, None).await;
        let mut ids: Vec<Uuid> = events.expect("events").iter().map(|it| it.id).collect();
        ids.sort_unstable();
        ids
    }

    /// The dead letters, in order.
    pub async fn dead(&self) -> Vec<OutboxEvent> {
        let dead = self.store.fetch_events(OutboxStatus::Dead, None, None);
        dead.await.expect("dead letters")
    }

    async fn announce(&self, event_types: &[&str], user: Option<&str>) {
        let event_types = event_types.iter().map(|&name| name.to_owned()).collect();
        let mut run = Announcement::new(self.now()).with_event_types(event_types);
        if let Some(user) = user {
            run = run.with_user(user);
        }
        self.store.announce(&run).await.expect("a run");
    }

    /// Adds a process that is gone, and one of another machine, with the runs of this one.
    async fn add_processes(&self) {
        let conn = self.connect();
        let others = [(GONE, "boot", 1), (GONE + 1, "'another boot'", 2)];
        for (process, boot, nonce) in others {
            let key = (i64::from(process) << 32) | nonce;
            let copy = format!(
                "INSERT INTO outbox_processes
                     (process, boot, pid_namespace, time_namespace, started, registered_at, host)
                 SELECT ?1, {boot}, pid_namespace, time_namespace, 1, registered_at, 'worker-' || ?2
                 FROM outbox_processes LIMIT 1"
            );
            conn.execute(&copy, params![key, nonce]).expect("a process");
            let run = "INSERT INTO outbox_runs
                     (run_id, process, started_at, event_types, user_id, version)
                 SELECT randomblob(16), ?1, started_at, event_types, user_id, version
                 FROM outbox_runs LIMIT 1";
            conn.execute(run, params![key]).expect("a run");
        }
        let rename = "UPDATE outbox_processes SET host = 'worker-0' WHERE host NOT LIKE 'worker-%'";
        conn.execute(rename, []).expect("a change");
    }
}

/// A number as two letters. Numbers are left out of the fingerprint of an error.
fn letters(number: i64) -> String {
    let letter = |of: i64| char::from(b'a' + u8::try_from(of % 26).expect("a letter"));
    [letter(number / 26), letter(number)].iter().collect()
}
