//! Simulation: the real processor under faults that repeat themselves.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;

use self::ledger::Ledger;
use self::process::{Process, Program};
use self::world::World;
use super::{FaultRates, ManualClock, SeededRng};
use outbox_runtime::NewEvent;
use outbox_runtime::OutboxRepository;
use outbox_runtime::RawMetadata;
use outbox_runtime::{Coalesce, OnDead, Order};
use outbox_runtime::{EnqueueError, StoreError};
use outbox_runtime::{HandlerError, OutboxEventHandler};
use outbox_runtime::{MemoryStore, ProcessorBuilder};
use outbox_runtime::{Operation, OutboxEvent};

mod attempts; // what handlers do with an event, and what the remote service saw of it
mod ledger; // what was promised, what was seen, and the invariants between the two
mod outage; // what the remote service refuses for a while
mod process; // what can be killed, stopped and frozen
mod promise; // one event that was enqueued
mod remote; // a service that misbehaves
mod report; // what happened
mod watched; // what the ledger sees
mod world; // what happens, step by step

pub use self::remote::{Remote, RemoteError};
pub use self::report::{Invariant, Report, SimulationFailure};

/// The real processor, in a world in which everything fails that can, and in the same way for the same seed.
///
/// Two processes deliver from one store to a [`Remote`] service. Step by step, as the seed draws it, changes are enqueued, the
/// clock moves or jumps, processes are killed, stopped, frozen and started again, the store fails as a
/// [`FaultStore`](super::FaultStore) does, the network goes, credentials are revoked, and somebody edits, deletes and retries events by
/// hand. Every [`Invariant`] is checked after each step. In the end the faults are over, and everything must be delivered.
///
/// It runs on one thread, on a [`ManualClock`], without waiting for anything. The same seed gives the same trace, as long as the
/// handlers ask no other clock and draw no chance of their own. (A store with threads of its own, as SQLite has, may order
/// things differently that happen at the same time.)
///
/// # Default
///
/// | | |
/// |---|---|
/// | [`users`](Self::users) | `ada` and `ben` |
/// | [`steps`](Self::steps) | 40 |
/// | [`store`](Self::store) | a [`MemoryStore`] |
/// | [`changes`](Self::changes) | notes and drafts about three entities a user, with different priorities, delays, attempts and orders |
/// | [`handlers`](Self::handlers) | [`Remote::send`] for every event type |
/// | [`processor`](Self::processor) | the [builder's own settings](ProcessorBuilder) |
/// | [`faults`](Self::faults) | 30 failures, 20 after the commit, 20 delays of up to 90 s, and 100 stale listings in a thousand calls |
///
/// # Examples
///
/// An application's own entities and handlers:
///
/// ```
/// use outbox_testing::{Simulation, simulate};
/// use outbox_runtime::{HandlerSet, prelude::*};
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "moodEntry", max_attempts = 8)]
/// struct MoodEntry {
///     #[outbox(entity_id)]
///     id: i64,
///     #[outbox(user_id)]
///     user_id: String,
///     #[outbox(metadata)]
///     valence: f64,
/// }
///
/// let configure = |simulation: Simulation| {
///     simulation
///         .changes(|draw, user| {
///             let mood = MoodEntry { id: draw.below(3) as i64, user_id: user.into(), valence: 0.5 };
///             mood.enqueue_update().into_event()
///         })
///         .handlers(|remote| {
///             HandlerSet::new().with::<MoodEntry>(move |event| {
///                 let remote = remote.clone(); // in place of the application's HTTP client
///                 async move { Ok(remote.send(&event).await?) }
///             })
///         })
/// };
/// let report = simulate(0..20, configure);
/// assert!(report.delivered > 0 && report.injected.total() > 0);
/// ```
#[must_use = "call `.run()`"]
pub struct Simulation {
    seed: u64,
    users: Vec<String>,
    steps: u32,
    outages: bool,
    faults: FaultRates,
    store: MakeStore,
    changes: Changes,
    handlers: Box<dyn Fn(Remote) -> Arc<dyn OutboxEventHandler>>,
    configure: Box<dyn Fn(ProcessorBuilder) -> ProcessorBuilder>,
}

/// A store, and what must outlive it.
type MadeStore = (Arc<dyn OutboxRepository>, Box<dyn Any>);
type MakeStore = Box<dyn FnOnce(ManualClock) -> Pin<Box<dyn Future<Output = MadeStore>>>>;
type Changes = Box<dyn FnMut(&mut SeededRng, &str) -> Result<NewEvent, EnqueueError>>;

/// Why a simulation cannot go on.
struct Setup(String);

impl From<StoreError> for Setup {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

/// Runs a simulation for each seed, and sums up what happened.
///
/// # Panics
///
/// Where an invariant does not hold, with the seed and all that led there; and where [`Simulation::run`] does.
///
/// # Examples
///
/// ```
/// use outbox_testing::simulate;
///
/// let report = simulate(0..10, |simulation| simulation.users(["ada", "ben", "eve"]));
/// assert_eq!(report.seeds, 10);
/// ```
#[track_caller]
#[allow(clippy::panic, reason = "a failed test panics")]
pub fn simulate(
    seeds: impl IntoIterator<Item = u64>,
    configure: impl Fn(Simulation) -> Simulation,
) -> Report {
    let mut sum = Report::default();
    for seed in seeds {
        match configure(Simulation::new(seed)).run() {
            Ok(report) => sum += report,
            Err(failure) => panic!("{failure}"),
        }
    }
    sum
}

impl Simulation {
    /// What this seed draws.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            users: vec!["ada".to_owned(), "ben".to_owned()],
            steps: 40,
            outages: false,
            faults: FaultRates::default()
                .with_failures(30)
                .with_failures_after_commit(20)
                .with_delays(20, Duration::from_secs(90))
                .with_stale_listings(100),
            store: boxed(|clock| async { (MemoryStore::with_clock(clock), ()) }),
            changes: Box::new(|draw, user| Ok(any_change(draw, user))),
            handlers: Box::new(|remote| Arc::new(SendAll(remote))),
            configure: Box::new(|builder| builder),
        }
    }

    /// Whose changes they are. For some seeds one of several users cannot get new credentials: the others must go on.
    ///
    /// # Panics
    ///
    /// [`run`](Self::run) does where there is none.
    pub fn users(mut self, users: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.users = users.into_iter().map(Into::into).collect();
        self
    }

    /// How many steps are drawn, before the faults are over.
    pub fn steps(mut self, steps: u32) -> Self {
        self.steps = steps;
        self
    }

    /// Adds outages: now and then the service refuses everything, one event type, one destination, one user or one event, for a
    /// while and in the same way each time, and in the end once more for long. [`Invariant::OwnFault`] is checked besides: an outage
    /// charges nobody, and a refusal stops nobody else. Default: none.
    ///
    /// Changes that name no destination go to three of them. Not for processors that charge every failure, nor for stores that
    /// write dead letters by themselves.
    pub fn outages(mut self) -> Self {
        self.outages = true;
        self
    }

    /// How often the store fails.
    pub fn faults(mut self, faults: FaultRates) -> Self {
        self.faults = faults;
        self
    }

    /// The store below the faults: an empty one on the given clock, and whatever must outlive it (a temporary folder, or `()`).
    pub fn store<S, G, F>(mut self, make: impl FnOnce(ManualClock) -> F + 'static) -> Self
    where
        S: OutboxRepository,
        G: 'static,
        F: Future<Output = (S, G)> + 'static,
    {
        self.store = boxed(make);
        self
    }

    /// What is enqueued: a change of the given user, with its chances drawn from the given row. Its id is drawn by the simulation.
    pub fn changes(
        mut self,
        changes: impl FnMut(&mut SeededRng, &str) -> Result<NewEvent, EnqueueError> + 'static,
    ) -> Self {
        self.changes = Box::new(changes);
        self
    }

    /// What delivers it, to the given service. Called anew whenever a process starts.
    pub fn handlers<H: OutboxEventHandler>(
        mut self,
        handlers: impl Fn(Remote) -> H + 'static,
    ) -> Self {
        self.handlers = Box::new(move |remote| Arc::new(handlers(remote)));
        self
    }

    /// The settings of the processor, but for its handlers.
    pub fn processor(
        mut self,
        configure: impl Fn(ProcessorBuilder) -> ProcessorBuilder + 'static,
    ) -> Self {
        self.configure = Box::new(configure);
        self
    }

    /// Runs it to its end.
    ///
    /// # Errors
    ///
    /// The first invariant that does not hold, with the seed and all that led there.
    ///
    /// # Panics
    ///
    /// Inside a tokio runtime: the simulation has several of its own.
    pub fn run(self) -> Result<Report, SimulationFailure> {
        let seed = self.seed;
        let clock = ManualClock::new();
        let ledger = Ledger::new(clock.clone(), self.outages);
        let mut injected = Default::default();
        let outcome = self.run_with(clock, &ledger, &mut injected);
        let broken = match outcome {
            Ok(()) => ledger.take_broken(),
            Err(Setup(what)) => Some((Invariant::Setup, what)),
        };
        let mut report = std::mem::take(&mut ledger.book().report);
        report.injected = injected;
        match broken {
            None => Ok(report),
            Some((invariant, what)) => Err(SimulationFailure {
                seed,
                invariant,
                what,
                trace: report.trace,
            }),
        }
    }

    fn run_with(
        self,
        clock: ManualClock,
        ledger: &Ledger,
        injected: &mut super::Injected,
    ) -> Result<(), Setup> {
        let mut draw = SeededRng::new(self.seed);
        let outside = Builder::new_current_thread().enable_time().build();
        let outside = outside.map_err(|error| Setup(error.to_string()))?;
        // Dropped after everything that uses the store.
        let (store, _guard) = outside.block_on((self.store)(clock.clone()));
        let banned =
            (self.users.len() > 1 && draw.chance(150)).then(|| draw.pick(&self.users).clone());
        let remote = Remote::new(clock.clone(), ledger.clone(), draw.fork(), banned.clone());
        let program = Program {
            ledger: ledger.clone(),
            remote,
            store,
            faults: self.faults,
            handlers: self.handlers,
            configure: self.configure,
        };
        // The first process works for everybody, so that everything is somebody's job.
        let single_user = draw.chance(250).then(|| draw.pick(&self.users).clone());
        let processes = vec![
            Process::new(&program, "p1".to_owned(), None, &mut draw),
            Process::new(&program, "p2".to_owned(), single_user, &mut draw),
        ];
        let mut world = World {
            program,
            clock,
            draw,
            users: self.users,
            banned,
            outages: self.outages,
            changes: self.changes,
            processes,
            outside,
            set_back: Duration::ZERO,
        };
        let outcome = world.run(self.steps);
        for process in &world.processes {
            *injected += process.injected();
        }
        outcome
    }
}

fn boxed<S, G, F>(make: impl FnOnce(ManualClock) -> F + 'static) -> MakeStore
where
    S: OutboxRepository,
    G: 'static,
    F: Future<Output = (S, G)> + 'static,
{
    Box::new(move |clock| {
        Box::pin(async move {
            let (store, guard) = make(clock).await;
            let store: Arc<dyn OutboxRepository> = Arc::new(store);
            let guard: Box<dyn Any> = Box::new(guard);
            (store, guard)
        })
    })
}

/// A change as good as any other: of notes, each of which is told, or of drafts, of which only the latest state is.
fn any_change(draw: &mut SeededRng, user: &str) -> NewEvent {
    let operation = *draw.pick(&[Operation::Create, Operation::Update, Operation::Delete]);
    let entity = draw.below(3) as i64;
    let (event_type, coalesce) =
        *draw.pick(&[("note", Coalesce::Never), ("draft", Coalesce::Latest)]);
    let order = *draw.pick(&[Order::Entity, Order::Entity, Order::User, Order::None]);
    let text = format!(r#"{{"text":"{}"}}"#, draw.word());
    NewEvent::new(event_type, entity, user, operation)
        .with_metadata(RawMetadata::from_bytes(text))
        .with_priority(draw.below(3) as i32)
        .with_max_attempts(1 + draw.below(5) as u32)
        .with_delay(Duration::from_secs(draw.below(2) * draw.below(60)))
        .with_order(order)
        .with_on_dead(*draw.pick(&[OnDead::Hold, OnDead::Skip]))
        .with_coalesce(coalesce)
}

/// Sends whatever comes.
struct SendAll(Remote);

#[async_trait::async_trait]
impl OutboxEventHandler for SendAll {
    fn can_handle(&self, _: &str) -> bool {
        true
    }

    async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError> {
        Ok(self.0.send(event).await?)
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation")
            .field("seed", &self.seed)
            .field("users", &self.users)
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}
