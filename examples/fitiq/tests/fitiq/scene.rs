//! The app with its own database, signed in to its own service.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use backend::{Audit, Backend, Call, Held};
use chrono::{DateTime, NaiveDate, Utc};
use fitiq::App;
use fitiq::entities::{Metric, ProgressEntry, Workout};
use fitiq_core::cli::{self, SyncArguments, Synced};
use fitiq_core::{LocalId, UserId};
use outbox_runtime::store::{Sleep, SystemClock};
use outbox_runtime::{
    Clock, OutboxEvent, OutboxRepository, OutboxStatistics, Running, SqliteStore,
};
use outbox_testing::ManualClock;
use tempfile::TempDir;

use crate::old_store::OldEvent;

pub(crate) const EMAIL: &str = "ada@example.org";
pub(crate) const PASSWORD: &str = "secret";

pub(crate) struct Scene {
    pub(crate) backend: Backend,
    pub(crate) app: App,
    pub(crate) user: UserId,
    folder: TempDir,
}

/// Settings of the app's processor and client.
#[derive(Default)]
pub(crate) struct Setting {
    pub(crate) clock: AppClock,
    pub(crate) pace: Option<u32>,
    pub(crate) concurrency: Option<usize>,
}

/// The clock of the app.
#[derive(Default)]
pub(crate) enum AppClock {
    #[default]
    Machine,
    Manual(ManualClock),
    /// The machine's clock plus an offset.
    Later(Duration),
}

#[derive(Debug)]
struct Later(Duration);

impl Clock for Later {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + self.0
    }

    fn sleep_until(&self, deadline: DateTime<Utc>) -> Sleep {
        SystemClock.sleep_until(deadline - self.0)
    }
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with(backend::Settings::new()).await
    }

    pub(crate) async fn with(service: backend::Settings) -> Self {
        Self::set(service, Setting::default()).await
    }

    /// A manual clock.
    pub(crate) async fn manual(service: backend::Settings) -> (Self, ManualClock) {
        let clock = ManualClock::new();
        let setting = Setting {
            clock: AppClock::Manual(clock.clone()),
            ..Setting::default()
        };
        (Self::set(service, setting).await, clock)
    }

    pub(crate) async fn set(service: backend::Settings, setting: Setting) -> Self {
        let backend = Backend::start(service).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let app = open(&folder.path().join("fitiq.db"), &backend, &setting).await;
        let session = app.ground().session();
        let user = session.sign_in(EMAIL, PASSWORD).await.unwrap();
        Self {
            backend,
            app,
            user,
            folder,
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("fitiq.db")
    }

    /// The app as opened by another process.
    pub(crate) async fn another(&self) -> App {
        self.another_set(&Setting::default()).await
    }

    pub(crate) async fn another_set(&self, setting: &Setting) -> App {
        open(&self.database(), &self.backend, setting).await
    }

    pub(crate) fn run(&self) -> Running {
        self.app.processor().unwrap().start(self.user.clone())
    }

    /// `fitiq sync --once`.
    pub(crate) async fn sync(&self) -> Synced {
        let processor = self.app.processor().unwrap();
        let once = SyncArguments::once();
        let sync = cli::sync(self.app.ground(), &processor, &once);
        soon(sync).await.unwrap()
    }

    /// The same, until everything is delivered.
    pub(crate) async fn deliver(&self) {
        assert_eq!(self.sync().await, Synced::Delivered);
    }

    pub(crate) async fn statistics(&self) -> OutboxStatistics {
        self.app.store().statistics(None).await.unwrap()
    }

    pub(crate) async fn events(&self, id: LocalId) -> Vec<OutboxEvent> {
        let store = self.app.store();
        store
            .fetch_events_for_entity(&id.into(), None, None)
            .await
            .unwrap()
    }

    /// The newest event of an entity.
    pub(crate) async fn event(&self, id: LocalId) -> OutboxEvent {
        self.events(id).await.pop().unwrap()
    }

    /// The event of an older row.
    pub(crate) async fn event_of(&self, old: &OldEvent) -> OutboxEvent {
        let event = self.app.store().fetch_event(old.id.unwrap()).await;
        event.unwrap().unwrap()
    }

    /// Edits a value.
    pub(crate) async fn edit_value(&self, entry: &ProgressEntry, value: f64) {
        let entry = ProgressEntry {
            value,
            ..entry.clone()
        };
        self.app.edit(entry).await.unwrap();
    }

    pub(crate) fn audit(&self) -> Audit {
        self.backend.audit()
    }

    pub(crate) fn held(&self, collection: &str) -> Vec<Held> {
        self.audit().held(collection).cloned().collect()
    }

    /// The calls with data.
    pub(crate) fn calls(&self) -> Vec<Call> {
        let calls = self.audit().calls.into_iter();
        calls.filter(|call| !call.path.contains("/auth/")).collect()
    }

    /// The remote id of an entity in the app.
    pub(crate) async fn remote_id(&self, id: LocalId) -> Option<String> {
        let standing = self
            .app
            .write(move |conn| Ok(fitiq::repository::standing(conn, id)?));
        let standing = standing.await.unwrap()?;
        Some(standing.remote_id?.as_str().to_owned())
    }

    pub(crate) fn steps(&self, value: f64, hour: u32) -> ProgressEntry {
        let moment = day(17).and_hms_opt(hour, 0, 0).unwrap().and_utc();
        ProgressEntry::at(&self.user, Metric::Steps, value, &moment)
    }

    /// Different workouts.
    pub(crate) fn workouts(&self, count: u32) -> impl Iterator<Item = Workout> + '_ {
        (0..count).map(|minute| {
            let workout = self.workout();
            let started_at = workout.started_at + Duration::from_secs(60) * minute;
            Workout {
                started_at,
                ..workout
            }
        })
    }

    pub(crate) fn workout(&self) -> Workout {
        Workout {
            id: LocalId::new(),
            user: self.user.clone(),
            activity_type: "running".to_owned(),
            title: None,
            started_at: noon(17),
            duration_minutes: Some(30.0),
            calories_burned: None,
            intensity: Some(5),
            template: None,
        }
    }
}

async fn open(path: &Path, backend: &Backend, setting: &Setting) -> App {
    let mut settings = cli::Settings::new(path, backend.url().parse().unwrap());
    settings.pace = setting.pace.and_then(std::num::NonZeroU32::new);
    settings.concurrency = setting.concurrency.unwrap_or(3);
    let mut store = SqliteStore::builder(path).count_statements();
    store = match &setting.clock {
        AppClock::Machine => store,
        AppClock::Manual(clock) => store.clock(clock.clone()),
        AppClock::Later(by) => store.clock(Later(*by)),
    };
    let ground = settings.open_on(store.open().await.unwrap()).await.unwrap();
    App::open(ground).await.unwrap()
}

/// A day of November 2025.
pub(crate) fn day(day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2025, 11, day).unwrap()
}

pub(crate) fn noon(of: u32) -> DateTime<Utc> {
    day(of).and_hms_opt(12, 0, 0).unwrap().and_utc()
}

/// Waits for a future, or fails the test.
#[allow(
    clippy::disallowed_methods,
    reason = "a bound for tests that hang, on the machine's time"
)]
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(180), future)
        .await
        .expect("it should have happened within three minutes")
}

/// Waits until the condition holds.
pub(crate) async fn until<F: Future<Output = bool>>(mut is_so: impl FnMut() -> F) {
    let looking = async {
        let mut tick = tokio::time::interval(Duration::from_millis(2));
        while !is_so().await {
            tick.tick().await;
        }
    };
    soon(looking).await;
}
