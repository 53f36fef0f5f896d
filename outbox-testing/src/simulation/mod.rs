//! Simulation: the real processor under reproducible faults.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;

use self::ledger::Ledger;
use self::process::{Process, Program};
use self::setup::{Changes, Setup};
use self::world::World;
use super::{FaultRates, ManualClock, SeededRng};
use outbox_runtime::{
    Coalesce, EnqueueError, HandlerError, MemoryStore, NewEvent, OnDead, Operation, Order,
    OutboxEvent, OutboxEventHandler, OutboxRepository, ProcessorBuilder, RawMetadata,
};

mod attempts; // handler attempts and their effect on the remote service
mod book; // the content of the ledger
mod completing; // completions by handlers
mod drain; // the end of a simulation
mod evidence; // attempts in progress, passes and refusals
mod ledger; // promises, observations, and the invariants between them
mod observed; // recording store calls and handlers
mod outage; // refusals by the remote service for a while
mod process; // processes that can be killed, stopped and frozen
mod promise; // one enqueued event
mod remote; // a remote service that misbehaves
mod remote_error; // its refusals
mod replacing; // events in whose place others are
mod report; // results
mod setup; // the source of changes, and the setup error
mod watched; // observing a process
mod world; // the steps of a simulation

pub use self::remote::Remote;
pub use self::remote_error::RemoteError;
pub use self::report::{Invariant, Report, SimulationFailure};

/// The real processor in a world where everything that can fail does fail, reproducibly for a seed.
///
/// Two processes deliver from one store to a [`Remote`] service. The seed draws the steps: changes
/// are enqueued; the clock moves or jumps; processes are killed, stopped, frozen and restarted; the
/// store fails like a [`FaultStore`](super::FaultStore); the network is lost; credentials are
/// revoked; events are edited, deleted and retried manually. Every [`Invariant`] is checked after
/// each step. At the end the faults stop, and everything must be delivered.
///
/// The simulation runs on one thread, on a [`ManualClock`], and never waits. The same seed yields
/// the same trace, provided that the handlers use no other clock and no randomness of their own. (A
/// store with its own threads, such as SQLite, may order simultaneous actions differently.)
///
/// # Default
///
/// | | |
/// |---|---|
/// | [`users`](Self::users) | `ada` and `ben` |
/// | [`steps`](Self::steps) | 40 |
/// | [`store`](Self::store) | a [`MemoryStore`] |
/// | [`changes`](Self::changes) | notes and drafts about three entities per user |
/// | [`handlers`](Self::handlers) | [`Remote::send`] for every event type |
/// | [`processor`](Self::processor) | the [builder's defaults](ProcessorBuilder) |
/// | [`faults`](Self::faults) | see below |
///
/// The default changes vary in priority, delay, attempts and order. The default fault rates per
/// thousand calls are 30 failures, 20 failures after the commit, 20 delays of up to 90 s, and 100
/// stale listings.
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
///         .changes(|rng, user| {
///             let id = rng.below(3) as i64;
///             let mood = MoodEntry { id, user_id: user.into(), valence: 0.5 };
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
///
/// One seed, as a failure names it, with other settings:
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::MemoryStore;
/// use outbox_testing::{FaultRates, Simulation};
///
/// let report = Simulation::new(4711)
///     .users(["ada", "ben", "eve"])
///     .steps(60)
///     .outages()
///     .faults(FaultRates::default().with_failures(30))
///     .store(|clock| async { (MemoryStore::with_clock(clock), ()) })
///     .processor(|builder| builder.max_concurrency(1).timeout(Duration::from_secs(20)))
///     .run()?;
/// println!("{report}");
/// # Ok::<(), outbox_testing::SimulationFailure>(())
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

/// A store, and a guard that must outlive it.
type MadeStore = (Arc<dyn OutboxRepository>, Box<dyn Any>);
type MakeStore = Box<dyn FnOnce(ManualClock) -> Pin<Box<dyn Future<Output = MadeStore>>>>;

/// Runs a simulation for each seed and adds up the reports.
///
/// # Panics
///
/// If an invariant is violated, with the seed and the complete trace; and if [`Simulation::run`]
/// panics.
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
    /// Creates the simulation of this seed.
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
            changes: Box::new(|rng, user| Ok(any_change(rng, user))),
            handlers: Box::new(|remote| Arc::new(SendAll(remote))),
            configure: Box::new(|builder| builder),
        }
    }

    /// Sets the users whose changes are enqueued. With several users, some seeds deny one of them
    /// new credentials: delivery for the others must continue.
    ///
    /// # Panics
    ///
    /// [`run`](Self::run) panics if there are no users.
    pub fn users(mut self, users: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.users = users.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the number of steps before the faults stop.
    pub fn steps(mut self, steps: u32) -> Self {
        self.steps = steps;
        self
    }

    /// Adds outages: now and then the service refuses everything, one event type, one destination,
    /// one user or one event, for a while and in the same way each time; and once more for a long
    /// time at the end. [`Invariant::OwnFault`] is checked as well: an outage is charged to no
    /// event, and a refusal blocks no other events. Default: none.
    ///
    /// Changes without a destination are spread over three. Outages do not fit processors that
    /// charge every failure to the event, nor stores that write dead letters on their own.
    pub fn outages(mut self) -> Self {
        self.outages = true;
        self
    }

    /// Sets how often the store fails.
    pub fn faults(mut self, faults: FaultRates) -> Self {
        self.faults = faults;
        self
    }

    /// Sets the store below the faults. `make` returns an empty store on the given clock, and a
    /// guard that must outlive it (such as a temporary folder, or `()`).
    pub fn store<S, G, F>(mut self, make: impl FnOnce(ManualClock) -> F + 'static) -> Self
    where
        S: OutboxRepository,
        G: 'static,
        F: Future<Output = (S, G)> + 'static,
    {
        self.store = boxed(make);
        self
    }

    /// Sets the changes to enqueue: `changes` returns a change of the given user, and draws
    /// randomness from the given generator. The simulation draws the event's id.
    pub fn changes(
        mut self,
        changes: impl FnMut(&mut SeededRng, &str) -> Result<NewEvent, EnqueueError> + 'static,
    ) -> Self {
        self.changes = Box::new(changes);
        self
    }

    /// Sets the handlers, which deliver to the given service. Called whenever a process starts.
    pub fn handlers<H: OutboxEventHandler>(
        mut self,
        handlers: impl Fn(Remote) -> H + 'static,
    ) -> Self {
        self.handlers = Box::new(move |remote| Arc::new(handlers(remote)));
        self
    }

    /// Configures the processor, except for its handlers.
    pub fn processor(
        mut self,
        configure: impl Fn(ProcessorBuilder) -> ProcessorBuilder + 'static,
    ) -> Self {
        self.configure = Box::new(configure);
        self
    }

    /// Runs the simulation to its end.
    ///
    /// # Errors
    ///
    /// The first invariant that is violated, with the seed and the complete trace.
    ///
    /// # Panics
    ///
    /// Inside a tokio runtime: the simulation starts several of its own.
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
        let mut rng = SeededRng::new(self.seed);
        let store_runtime = Builder::new_current_thread().enable_time().build();
        let store_runtime = store_runtime.map_err(|error| Setup(error.to_string()))?;
        // Dropped last, after everything that uses the store.
        let (store, _guard) = store_runtime.block_on((self.store)(clock.clone()));
        let banned =
            (self.users.len() > 1 && rng.chance(150)).then(|| rng.pick(&self.users).clone());
        let remote = Remote::new(
            clock.clone(),
            ledger.clone(),
            rng.fork(),
            banned.clone(),
            Arc::clone(&store),
        );
        let program = Program {
            ledger: ledger.clone(),
            remote,
            store,
            faults: self.faults,
            handlers: self.handlers,
            configure: self.configure,
        };
        // The first process serves all users, so every event has a process.
        let single_user = rng.chance(250).then(|| rng.pick(&self.users).clone());
        let processes = vec![
            Process::new(&program, "p1".to_owned(), None, &mut rng),
            Process::new(&program, "p2".to_owned(), single_user, &mut rng),
        ];
        let mut world = World {
            program,
            clock,
            rng,
            users: self.users,
            banned,
            outages: self.outages,
            changes: self.changes,
            processes,
            store_runtime,
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

/// A random change: of a note, each of which is delivered, or of a draft, whose changes fold.
fn any_change(rng: &mut SeededRng, user: &str) -> NewEvent {
    let operation = *rng.pick(&[Operation::Create, Operation::Update, Operation::Delete]);
    let entity = rng.below(3) as i64;
    let (event_type, coalesce) =
        *rng.pick(&[("note", Coalesce::Never), ("draft", Coalesce::Latest)]);
    let order = *rng.pick(&[Order::Entity, Order::Entity, Order::User, Order::None]);
    let text = format!(r#"{{"text":"{}"}}"#, rng.word());
    NewEvent::new(event_type, entity, user, operation)
        .with_metadata(RawMetadata::from_bytes(text))
        .with_priority(rng.below(3) as i32)
        .with_max_attempts(1 + rng.below(5) as u32)
        .with_delay(Duration::from_secs(rng.below(2) * rng.below(60)))
        .with_order(order)
        .with_on_dead(*rng.pick(&[OnDead::Hold, OnDead::Skip]))
        .with_coalesce(coalesce)
}

/// Sends every event.
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
