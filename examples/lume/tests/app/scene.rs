//! The app, signed in to a service, on a manual clock.

use std::path::PathBuf;
use std::time::Duration;

use backend::{Accounts, Audit, Backend, Settings};
use chrono::{DateTime, NaiveDate, Utc};
use fitiq_core::{LocalId, UserId};
use lume::cli::App;
use lume::db::{Changed, Stored};
use lume::entities::{Conversation, Goal, GoalStatus, JournalEntry, MoodEntry, Persona};
use outbox_runtime::{
    Clock, OutboxEvent, OutboxRepository, OutboxStatistics, OutboxStatus, Running, SqliteStore,
};
use outbox_testing::ManualClock;
use tempfile::TempDir;

pub(crate) const EMAIL: &str = "ada@example.org";

pub(crate) struct Scene {
    pub(crate) backend: Backend,
    pub(crate) clock: ManualClock,
    pub(crate) app: App,
    pub(crate) folder: TempDir,
    account: UserId,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with(Settings::new()).await
    }

    /// Signed in.
    pub(crate) async fn with(settings: Settings) -> Self {
        let scene = Self::signed_out(settings).await;
        sign_in(&scene.app).await;
        scene
    }

    /// The app on another, empty device of the same account.
    pub(crate) async fn other_device(&self) -> App {
        let db = self.folder.path().join("other.db");
        let app = open(&self.backend, &self.clock, db).await;
        sign_in(&app).await;
        app
    }

    pub(crate) async fn signed_out(settings: Settings) -> Self {
        let backend = Backend::start(settings).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new();
        let app = open(&backend, &clock, folder.path().join("lume.db")).await;
        Self {
            backend,
            clock,
            app,
            folder,
            account: UserId::new(&Accounts::user_id(EMAIL)).unwrap(),
        }
    }

    pub(crate) fn store(&self) -> &SqliteStore {
        self.app.ground.store()
    }

    pub(crate) fn user(&self) -> UserId {
        self.account.clone()
    }

    pub(crate) fn start(&self) -> Running {
        self.app.processor().unwrap().start(self.user())
    }

    /// Delivers everything, advancing the clock while nothing is under way.
    pub(crate) async fn deliver(&self) {
        let running = self.start();
        self.until(&running, |statistics| statistics.undelivered() == 0)
            .await;
        running.stop().await.unwrap();
    }

    pub(crate) async fn until(&self, running: &Running, done: impl Fn(&OutboxStatistics) -> bool) {
        for _ in 0..4_000 {
            self.clock.until_idle(running).await.unwrap();
            if done(&running.statistics().await.unwrap()) {
                return;
            }
            self.clock.advance(Duration::from_millis(250));
        }
        panic!("{}", self.clock.until_idle(running).await.unwrap());
    }

    /// Runs on a stopped clock until the service accepts a call of an endpoint.
    pub(crate) async fn until_called(&self, route: &str) {
        for _ in 0..4_000 {
            if self.calls(route) > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
        panic!("nobody called {route}");
    }

    /// Advances time in steps below every handler's timeout, and only while none is running.
    pub(crate) async fn pass(&self, minutes: u32) {
        for _ in 0..minutes * 20 {
            if self.statistics().await.processing_count == 0 {
                self.clock.advance(Duration::from_secs(3));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(crate) async fn events(&self, status: OutboxStatus) -> Vec<OutboxEvent> {
        self.store().fetch_events(status, None, None).await.unwrap()
    }

    pub(crate) async fn statistics(&self) -> OutboxStatistics {
        self.store().statistics(None).await.unwrap()
    }

    pub(crate) fn audit(&self) -> Audit {
        self.backend.audit()
    }

    /// The number of accepted calls of an endpoint.
    pub(crate) fn calls(&self, route: &str) -> usize {
        self.audit()
            .calls_of(route)
            .filter(|call| call.status < 300)
            .count()
    }

    pub(crate) fn held(&self, collection: &str) -> usize {
        self.audit().held(collection).count()
    }

    pub(crate) async fn load<E: Stored + Send + 'static>(&self, id: LocalId) -> Option<E> {
        self.store()
            .transaction(move |tx| Ok(E::load(tx, id)?))
            .await
            .unwrap()
    }

    pub(crate) async fn list<E: Stored + Send + 'static>(&self) -> Vec<E> {
        let user = self.user();
        self.store()
            .transaction(move |tx| Ok(E::list(tx, user.as_str())?))
            .await
            .unwrap()
    }

    // Operations of a user.

    pub(crate) async fn add_mood(&self, valence: f64) -> LocalId {
        self.app.repository.add(self.mood(valence)).await.unwrap()
    }

    /// A journal entry that is linked to the mood.
    pub(crate) async fn add_page(&self, mood: LocalId) -> LocalId {
        let page = self.journal("A page", Some(mood));
        self.app.repository.add(page).await.unwrap()
    }

    pub(crate) async fn edit_mood(&self, id: LocalId, valence: f64) {
        let changed = self
            .app
            .repository
            .edit::<MoodEntry>(id, move |mood| mood.valence = valence)
            .await;
        assert_eq!(changed.unwrap(), Changed::Yes);
    }

    pub(crate) async fn delete<E: Stored>(&self, id: LocalId) {
        assert_eq!(
            self.app.repository.delete::<E>(id).await.unwrap(),
            Changed::Yes
        );
    }

    pub(crate) async fn add_goal(&self) -> LocalId {
        self.app.repository.add(self.goal()).await.unwrap()
    }

    pub(crate) async fn edit_goal(
        &self,
        id: LocalId,
        edit: impl FnOnce(&mut Goal) + Send + 'static,
    ) {
        assert_eq!(
            self.app.repository.edit(id, edit).await.unwrap(),
            Changed::Yes
        );
    }

    pub(crate) async fn begin(&self, goal_id: Option<LocalId>) -> LocalId {
        let conversation = Conversation {
            id: LocalId::new(),
            user_id: self.user().into(),
            persona: Persona::FitnessCoach,
            goal_id,
            archived: false,
        };
        self.app.repository.begin(conversation).await.unwrap()
    }

    pub(crate) async fn say(&self, conversation: LocalId, content: &str) {
        let sent = self
            .app
            .repository
            .send(conversation, content, self.now())
            .await;
        assert_eq!(sent.unwrap(), Changed::Yes);
    }

    pub(crate) async fn end(&self, conversation: LocalId) {
        let ended = self.app.repository.end(conversation, self.now()).await;
        assert_eq!(ended.unwrap(), Changed::Yes);
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(crate) fn mood(&self, valence: f64) -> MoodEntry {
        MoodEntry {
            id: LocalId::new(),
            user_id: self.user().into(),
            valence,
            labels: vec!["happy".to_owned()],
            associations: vec!["family".to_owned()],
            notes: Some("mine".to_owned()),
            logged_at: self.now(),
        }
    }

    pub(crate) fn journal(&self, content: &str, mood: Option<LocalId>) -> JournalEntry {
        JournalEntry {
            id: LocalId::new(),
            user_id: self.user().into(),
            title: None,
            content: content.to_owned(),
            tags: Vec::new(),
            entry_type: "freeform".to_owned(),
            is_favorite: false,
            linked_mood_id: mood,
            logged_at: self.now(),
        }
    }

    pub(crate) fn goal(&self) -> Goal {
        let start_date: NaiveDate = self.now().date_naive();
        Goal {
            id: LocalId::new(),
            user_id: self.user().into(),
            title: "Swim".to_owned(),
            description: String::new(),
            category: "mental".to_owned(),
            target_value: 10.0,
            target_unit: "km".to_owned(),
            current_value: 0.0,
            start_date,
            target_date: start_date,
            status: GoalStatus::Active,
        }
    }
}

pub(crate) async fn sign_in(app: &App) -> UserId {
    let session = app.ground.session();
    session.sign_in(EMAIL, "secret").await.unwrap()
}

/// The app on a database, which is created if missing.
pub(crate) async fn open(backend: &Backend, clock: &ManualClock, db: PathBuf) -> App {
    let store = SqliteStore::builder(&db)
        .clock(clock.clone())
        .open()
        .await
        .unwrap();
    let mut settings = fitiq_core::cli::Settings::new(db, backend.url().parse().unwrap());
    settings.api_key = backend::Settings::API_KEY.to_owned();
    App::on(settings.open_on(store).await.unwrap())
        .await
        .unwrap()
}
