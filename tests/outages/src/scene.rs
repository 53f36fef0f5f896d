//! Scenes: which events are enqueued and refused at which time, and the runner.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox_runtime::store::{ClaimRequest, Disposition, Settlement};
use outbox_runtime::{
    Clock, Durability, MemoryStore, NewEvent, Operation, OutboxEvent, OutboxRepository,
    OutboxStatus, SqliteStore,
};
use outbox_testing::ManualClock;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

use crate::case::{Case, StoreKind};
use crate::course::Course;
use crate::process::Process;
use crate::world::{Refuses, World};

/// An enqueued event. Each concerns an entity of its own, so none waits for another.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// Its time, since the beginning of the scene.
    pub at: Duration,
    /// The number of the user.
    pub user: usize,
    /// The event type.
    pub kind: &'static str,
    /// The destination. Empty: the default.
    pub destination: &'static str,
}

impl Arrival {
    /// `count` events at the beginning, distributed round-robin over the users.
    #[must_use]
    pub fn at_once(case: &Case, count: usize) -> Vec<Self> {
        let arrival = |number| Self {
            at: Duration::ZERO,
            user: number % case.users,
            kind: "note",
            destination: "",
        };
        (0..count).map(arrival).collect()
    }

    /// `count` events, with `apart` between them.
    #[must_use]
    pub fn one_by_one(case: &Case, count: usize, apart: Duration) -> Vec<Self> {
        let mut all = Self::at_once(case, count);
        for (number, arrival) in all.iter_mut().enumerate() {
            arrival.at = apart * u32::try_from(number).unwrap();
        }
        all
    }
}

/// A timetable to run.
pub struct Scene {
    case: Case,
    arrivals: Vec<Arrival>,
    refuses: Arc<Refuses>,
    attempts_before: u32,
    max_attempts: Option<u32>,
    processors: usize,
    kills: Vec<Duration>,
    keep_completed: Duration,
    until: Duration,
}

/// The number of checks, a moment of real time apart, before the scene counts as idle: a store with
/// threads of its own may wake a run late.
const PATIENCE: u32 = 10;
const A_MOMENT: Duration = Duration::from_millis(10);

impl Scene {
    /// Creates a scene that ends when every event is delivered, or at `until`.
    pub fn new(
        case: &Case,
        arrivals: Vec<Arrival>,
        until: Duration,
        refuses: impl Fn(&crate::Ask<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            case: *case,
            arrivals,
            refuses: Arc::new(refuses),
            attempts_before: 0,
            max_attempts: None,
            processors: 1,
            kills: Vec::new(),
            keep_completed: Duration::from_secs(24 * 60 * 60),
            until,
        }
    }

    /// Sets the number of failed attempts before the scene begins.
    #[must_use]
    pub fn attempts_before(mut self, attempts: u32) -> Self {
        self.attempts_before = attempts;
        self
    }

    /// Sets the maximum number of attempts of each event. Default: that of events.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// Sets the number of processors that share the store. Default: one.
    #[must_use]
    pub fn processors(mut self, processors: usize) -> Self {
        self.processors = processors;
        self
    }

    /// The first processor is killed as soon as it is in the middle of a call from these times on,
    /// and started again at once.
    #[must_use]
    pub fn kills(mut self, kills: impl IntoIterator<Item = Duration>) -> Self {
        self.kills = kills.into_iter().collect();
        self
    }

    /// Sets how long the processors keep delivered events, so that a long scene does not fill the
    /// store. Default: a day.
    #[must_use]
    pub fn keep_completed(mut self, retention: Duration) -> Self {
        self.keep_completed = retention;
        self
    }

    /// Runs the scene to its end.
    ///
    /// # Panics
    ///
    /// If a store fails, or a processor stays busy while the clock stands still.
    #[must_use]
    pub fn run(self) -> Course {
        let clock = ManualClock::new();
        let outside = Builder::new_current_thread().enable_time().build().unwrap();
        let stores = Stores::open(self.case.store, self.processors, &clock, &outside);
        let about = self.arrivals.iter();
        let about = about.map(|arrival| (arrival.user, arrival.destination));
        let world = World::new(self.case, clock, Arc::clone(&self.refuses), about.collect());
        let stage = Stage {
            scene: self,
            stores,
            outside,
            world,
        };
        stage.run()
    }
}

/// A scene in progress.
struct Stage {
    scene: Scene,
    outside: Runtime,
    stores: Stores,
    world: World,
}

/// Kills that are to be, and that were.
#[derive(Default)]
struct Kills {
    due: u32,
    done: u32,
}

enum Act {
    Arrive(usize),
    Kill,
}

impl Stage {
    fn run(self) -> Course {
        let mut acts = self.acts();
        let mut kills = Kills::default();
        self.perform(&mut acts, &mut kills);
        self.use_up_attempts();
        let mut processes: Vec<Process> = (0..self.scene.processors)
            .map(|number| self.process(number))
            .collect();
        let mut patience = 0..PATIENCE;
        loop {
            processes
                .iter()
                .for_each(|process| process.rest(&self.world));
            if kills.due > 0 && self.world.is_calling(0) {
                processes[0].kill(&self.world);
                kills.due -= 1;
                kills.done += 1;
                continue;
            }
            let all = self.scene.arrivals.len();
            if self.world.now() >= self.scene.until || self.world.log().delivered == all {
                break;
            }
            let end = self.time(self.scene.until);
            let act = acts.first_key_value().map(|((at, _), _)| self.time(*at));
            let deadline = self.world.clock.next_deadline();
            let Some(next) = deadline.into_iter().chain(act).min() else {
                if patience.next().is_none() {
                    break;
                }
                self.outside.block_on(a_moment());
                continue;
            };
            patience = 0..PATIENCE;
            self.world
                .clock
                .set(next.min(end).max(self.world.clock.now()));
            self.perform(&mut acts, &mut kills);
        }
        let took = self.world.now();
        // Lets the processors record the last answers.
        processes
            .iter()
            .for_each(|process| process.rest(&self.world));
        let rows = self.outside.block_on(self.rows());
        let explain = |event: usize| {
            let is_delivered = self.world.log().is_delivered[event];
            (!is_delivered).then(|| processes[0].explain(event))
        };
        let explained = (0..self.scene.arrivals.len()).map(explain).collect();
        drop(processes);
        let calls = std::mem::take(&mut self.world.log().calls);
        let arrived = self.scene.arrivals.iter().map(|arrival| arrival.at);
        Course::new(arrived.collect(), calls, rows, explained, kills.done, took)
    }

    fn process(&self, number: usize) -> Process {
        let keep_completed = self.scene.keep_completed;
        Process::start(number, self.stores.of(number), &self.world, keep_completed)
    }

    fn time(&self, since_begin: Duration) -> DateTime<Utc> {
        self.world.begin + since_begin
    }

    /// The acts by time; a number distinguishes acts at the same time.
    fn acts(&self) -> BTreeMap<(Duration, usize), Act> {
        let arrivals = self.scene.arrivals.iter().enumerate();
        let arrivals = arrivals.map(|(number, arrival)| (arrival.at, Act::Arrive(number)));
        let kills = self.scene.kills.iter().map(|at| (*at, Act::Kill));
        let all = arrivals.chain(kills).enumerate();
        all.map(|(number, (at, act))| ((at, number), act)).collect()
    }

    /// Does what is to be done by now.
    fn perform(&self, acts: &mut BTreeMap<(Duration, usize), Act>, kills: &mut Kills) {
        while let Some(first) = acts.first_entry()
            && first.key().0 <= self.world.now()
        {
            match first.remove() {
                Act::Arrive(number) => self.enqueue(number),
                Act::Kill => kills.due += 1,
            }
        }
    }

    fn enqueue(&self, number: usize) {
        let Arrival {
            user,
            kind,
            destination,
            ..
        } = self.scene.arrivals[number];
        let user = format!("user-{user}");
        let id = Uuid::from_u64_pair(self.scene.case.seed, number as u64);
        let event = NewEvent::new(kind, number as i64, user, Operation::Update).with_id(id);
        let event = match destination {
            "" => event,
            destination => event.with_destination(destination),
        };
        let event = match self.scene.max_attempts {
            Some(attempts) => event.with_max_attempts(attempts),
            None => event,
        };
        let created = self.outside.block_on(self.stores.of(0).create_event(event));
        created.unwrap();
    }

    /// Fails the stored events as often as the scene says.
    fn use_up_attempts(&self) {
        let store = self.stores.of(0);
        let request = ClaimRequest::new(self.scene.arrivals.len(), Duration::from_secs(60));
        for _ in 0..self.scene.attempts_before {
            self.outside.block_on(async {
                let claims = store.claim(&request).await.unwrap();
                let settlements = claims.into_iter().map(|claim| Settlement {
                    lease: claim.lease,
                    disposition: Disposition::Fail {
                        next_attempt_at: self.world.clock.now(),
                        message: "failed before".to_owned(),
                    },
                });
                store.settle(settlements.collect()).await.unwrap();
            });
        }
    }

    async fn rows(&self) -> Vec<OutboxEvent> {
        let mut rows = Vec::new();
        for status in OutboxStatus::ALL {
            let store = self.stores.of(0);
            rows.extend(store.fetch_events(*status, None, None).await.unwrap());
        }
        rows
    }
}

/// A handle to one store for each processor.
struct Stores {
    handles: Vec<Arc<dyn OutboxRepository>>,
    /// Kept alive as long as the handles.
    _folder: Option<TempDir>,
}

impl Stores {
    fn open(kind: StoreKind, count: usize, clock: &ManualClock, runtime: &Runtime) -> Self {
        match kind {
            StoreKind::Memory => {
                let store = Arc::new(MemoryStore::with_clock(clock.clone()));
                Self {
                    handles: (0..count).map(|_| Arc::clone(&store) as _).collect(),
                    _folder: None,
                }
            }
            StoreKind::Sqlite => {
                // These tests need no durability.
                let memory = std::path::Path::new("/dev/shm");
                let folder = match memory.is_dir() {
                    true => tempfile::tempdir_in(memory),
                    false => tempfile::tempdir(),
                };
                let folder = folder.unwrap();
                let path = folder.path().join("outbox.db");
                let open = |_| {
                    let builder = SqliteStore::builder(&path)
                        .clock(clock.clone())
                        .durability(Durability::Normal);
                    let builder = if count == 1 {
                        builder.single_process()
                    } else {
                        builder
                    };
                    let store = runtime.block_on(builder.open());
                    Arc::new(store.unwrap()) as Arc<dyn OutboxRepository>
                };
                Self {
                    handles: (0..count).map(open).collect(),
                    _folder: Some(folder),
                }
            }
        }
    }

    fn of(&self, processor: usize) -> Arc<dyn OutboxRepository> {
        Arc::clone(&self.handles[processor])
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the threads of a store are waited for, which no manual clock moves"
)]
async fn a_moment() {
    tokio::time::sleep(A_MOMENT).await;
}
