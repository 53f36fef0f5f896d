//! Simulation: the real processor under reproducible faults.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use self::defaults::{SendAll, any_change};
use self::setup::{Changes, Handlers, MakeStore, boxed};
use super::{FaultRates, ManualClock, SeededRng};
use outbox_runtime::{
    EnqueueError, MemoryStore, NewEvent, OutboxEventHandler, OutboxRepository, ProcessorBuilder,
};

mod attempts; // handler attempts and their effect on the remote service
mod book; // the content of the ledger
mod canceling; // cancellations by the application
mod completing; // completions by handlers
mod defaults; // the default changes and handlers
mod drain; // the end of a simulation
mod evidence; // attempts in progress, passes and refusals
mod headers; // headers of the default changes, and of every attempt
mod ledger; // promises, observations, and the invariants between them
mod observed; // recording store calls and handlers
mod outage; // refusals by the remote service for a while
mod process; // processes that can be killed, stopped and frozen
mod promise; // one enqueued event
mod releases; // an older release of the application beside the newest
mod remote; // a remote service that misbehaves
mod remote_error; // its refusals
mod replacing; // events in whose place others are
mod report; // results
mod retiring; // types that are given up
mod running; // from the first step to the report
mod setup; // what the user supplies, and the setup error
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
/// The default changes vary in priority, delay, attempts, order and headers. The default fault
/// rates per thousand calls are 30 failures, 20 failures after the commit, 20 delays of up to 90 s,
/// and 100 stale listings.
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
    cancellations: bool,
    faults: FaultRates,
    store: MakeStore,
    changes: Changes,
    handlers: Handlers,
    older: Option<(Changes, Handlers)>,
    configure: Box<dyn Fn(ProcessorBuilder) -> ProcessorBuilder>,
}

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
            cancellations: false,
            faults: FaultRates::default()
                .with_failures(30)
                .with_failures_after_commit(20)
                .with_delays(20, Duration::from_secs(90))
                .with_stale_listings(100),
            store: boxed(|clock| async { (MemoryStore::with_clock(clock), ()) }),
            changes: Box::new(|rng, user| Ok(any_change(rng, user))),
            handlers: Box::new(|remote| Arc::new(SendAll(remote))),
            older: None,
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

    /// Adds cancellations: now and then the application cancels the events of a
    /// [key](outbox_runtime::Cancel::key) or an [entity](outbox_runtime::Cancel::entity), and
    /// [`Invariant::TakenBack`] is checked as well. Default: none.
    ///
    /// Keys are those of the [changes](Self::changes); the default changes have none.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_testing::{Simulation, simulate};
    ///
    /// let report = simulate(0..20, Simulation::cancellations);
    /// assert!(report.canceled > 0);
    /// ```
    pub fn cancellations(mut self) -> Self {
        self.cancellations = true;
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

    /// Adds an older release of the application, with changes and handlers of its own: a process
    /// runs one of the two releases, and is perhaps updated or set back whenever it restarts. Once
    /// the faults stop, all processes are updated. [`Invariant::Retired`] is checked for the event
    /// types that either release [retires](outbox_runtime::HandlerSet::retire). Default: none.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::support::{Retired, Retirement};
    /// use outbox_runtime::{HandlerSet, NewEvent, prelude::*};
    /// use outbox_testing::{Remote, simulate};
    ///
    /// /// It was called `mood` in the older release.
    /// #[derive(OutboxEntity)]
    /// #[outbox(event_type = "moodEntry", alias = ["mood"])]
    /// struct Mood {
    ///     #[outbox(entity_id)]
    ///     id: i64,
    ///     #[outbox(user_id)]
    ///     user_id: String,
    /// }
    ///
    /// fn deliver(remote: Remote) -> HandlerSet {
    ///     HandlerSet::new().with::<Mood>(move |event| {
    ///         let remote = remote.clone();
    ///         async move { Ok(remote.send(&event).await?) }
    ///     })
    /// }
    ///
    /// let report = simulate(0..20, |simulation| {
    ///     simulation
    ///         .changes(|rng, user| {
    ///             let mood = Mood { id: rng.below(3) as i64, user_id: user.into() };
    ///             mood.enqueue_update().into_event()
    ///         })
    ///         .handlers(|remote| {
    ///             deliver(remote).retire(&[Retired::new("draft", Retirement::Drop)])
    ///         })
    ///         .older_release(
    ///             |rng, user| {
    ///                 let name = *rng.pick(&["mood", "draft"]);
    ///                 Ok(NewEvent::new(name, rng.below(3) as i64, user, Operation::Update))
    ///             },
    ///             deliver, // leaves drafts alone
    ///         )
    /// });
    /// assert!(report.retired > 0);
    /// ```
    pub fn older_release<H: OutboxEventHandler>(
        mut self,
        changes: impl FnMut(&mut SeededRng, &str) -> Result<NewEvent, EnqueueError> + 'static,
        handlers: impl Fn(Remote) -> H + 'static,
    ) -> Self {
        let handlers: Handlers = Box::new(move |remote| Arc::new(handlers(remote)));
        self.older = Some((Box::new(changes), handlers));
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
