//! The results of a simulation: the report, the invariants, and failures.

use std::error::Error;
use std::fmt;
use std::ops::AddAssign;

use crate::Injected;

/// The counts of one or several simulations.
///
/// # Examples
///
/// ```
/// use outbox_testing::{Report, simulate};
///
/// let report: Report = simulate(0..5, |simulation| simulation);
/// assert!(report.delivered > 0, "a test that delivers nothing proves nothing");
/// assert!(report.crashes + report.stops + report.freezes > 0);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Report {
    /// Seeds that were run.
    pub seeds: u64,
    /// Steps that were drawn.
    pub steps: u64,
    /// Events that were enqueued and acknowledged.
    pub enqueued: u64,
    /// Events whose enqueuing had an unknown outcome, and that the store has.
    pub recovered: u64,
    /// Events that the remote service accepted and that were completed.
    pub delivered: u64,
    /// Events that were completed because nothing was left to deliver, according to the remote
    /// service or to the handler.
    pub obsolete: u64,
    /// Events that their handlers completed before they answered.
    pub completed_by_handlers: u64,
    /// Events that the application canceled in time.
    pub canceled: u64,
    /// Events that were completed or became dead letters because their type is retired.
    pub retired: u64,
    /// Events that were dead letters at the end.
    pub dead: u64,
    /// Repeated deliveries: the remote service received an event that it already had.
    pub duplicates: u64,
    /// Processes that were killed.
    pub crashes: u64,
    /// Processes that were stopped gracefully.
    pub stops: u64,
    /// Processes that were frozen for a while.
    pub freezes: u64,
    /// Outages of the remote service, partial or complete.
    pub outages: u64,
    /// Clock jumps, an hour back or up to a day ahead.
    pub clock_jumps: u64,
    /// Outcomes that a store refused because the lease had ended.
    pub leases_lost: u64,
    /// Attempts that failed: refused, unanswered, or panicked.
    pub remote_faults: u64,
    /// Attempts that ended while their handler waited for something other than the remote service.
    pub unanswered: u64,
    /// Faults of the store.
    pub injected: Injected,
    /// The trace of the last seed, in order.
    pub trace: Vec<String>,
}

impl AddAssign for Report {
    /// Adds the counts. The later trace is kept.
    fn add_assign(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.enqueued += other.enqueued;
        self.recovered += other.recovered;
        self.delivered += other.delivered;
        self.obsolete += other.obsolete;
        self.completed_by_handlers += other.completed_by_handlers;
        self.canceled += other.canceled;
        self.retired += other.retired;
        self.dead += other.dead;
        self.duplicates += other.duplicates;
        self.crashes += other.crashes;
        self.stops += other.stops;
        self.freezes += other.freezes;
        self.outages += other.outages;
        self.clock_jumps += other.clock_jumps;
        self.leases_lost += other.leases_lost;
        self.remote_faults += other.remote_faults;
        self.unanswered += other.unanswered;
        self.injected += other.injected;
        self.trace = other.trace;
    }
}

impl fmt::Display for Report {
    /// The counts in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seeds,
            steps,
            enqueued,
            recovered,
            delivered,
            obsolete,
            completed_by_handlers,
            canceled,
            retired,
            dead,
            duplicates,
            crashes,
            stops,
            freezes,
            outages,
            clock_jumps,
            leases_lost,
            remote_faults,
            unanswered,
            injected,
            trace: _,
        } = self;
        write!(
            f,
            "{seeds} seeds, {steps} steps: {enqueued} events enqueued, {recovered} recovered, {delivered} delivered, \
             {obsolete} obsolete, {completed_by_handlers} completed by their handlers, \
             {canceled} canceled, {retired} retired, {dead} dead, {duplicates} sent again; {crashes} crashes, {stops} stops, {freezes} freezes, {outages} outages, \
             {clock_jumps} clock jumps, {leases_lost} leases lost, {remote_faults} failed attempts, \
             {unanswered} unanswered, {} faults of the store",
            injected.total()
        )
    }
}

/// A property that must hold at every step of a simulation.
///
/// # Examples
///
/// ```
/// use outbox_runtime::OutboxEventHandler;
/// use outbox_runtime::{HandlerError, OutboxEvent, async_trait};
/// use outbox_testing::{Invariant, Simulation};
///
/// /// Answers `Ok` and sends nothing.
/// struct Liar;
///
/// #[async_trait]
/// impl OutboxEventHandler for Liar {
///     fn can_handle(&self, _event_type: &str) -> bool {
///         true
///     }
///
///     async fn handle(&self, _event: &OutboxEvent) -> Result<(), HandlerError> {
///         Ok(())
///     }
/// }
///
/// let failure = (0..50).find_map(|seed| Simulation::new(seed).handlers(|_| Liar).run().err());
/// assert!(failure.is_some_and(|it| it.invariant() == Invariant::CompletedMeansDelivered));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Invariant {
    /// The simulation can be set up: its changes follow the rules of the row, its processor can be
    /// built, and its store fails only when told to.
    Setup,
    /// An acknowledged event stays stored until it is delivered or deleted manually.
    NothingLost,
    /// Nothing is stored or handled that was never enqueued.
    NothingInvented,
    /// An event is completed only by a handler that delivered it, under the same claim, and stays
    /// completed. Delivered means that the remote service has accepted it by the time the handler
    /// returns. A handler may report an event as obsolete if the service says so or was not asked,
    /// but not if the service refused it.
    CompletedMeansDelivered,
    /// An event that its handler [completes itself](outbox_runtime::OutboxEvent::complete_on) is
    /// completed under the valid lease of that attempt, or not at all; it stays completed whatever
    /// the handler answers, and is not claimed again.
    CompletedByHandler,
    /// Every attempt, and every request to the remote service, has the content that was enqueued,
    /// under the same id.
    SameEveryTime,
    /// An event is claimed, and accepted by the remote service, only after all events before it in
    /// its order are delivered, or are dead and do not block it.
    InOrder,
    /// An event has one lease at a time. Outcomes are recorded and handlers start only under that
    /// lease, and nothing is sent outside of a handler.
    OneLease,
    /// Once the faults stop, every event is delivered or dead, regardless of other events and
    /// users.
    NothingStuck,
    /// A process is idle when nothing happens.
    AtRest,
    /// Each claim counts as an attempt; an attempt that is given back does not count; an event with
    /// a single attempt is attempted once.
    AttemptsCounted,
    /// The columns of a row are consistent with its status.
    RowWhole,
    /// A run for one user handles no events of other users, and an event reaches the remote service
    /// as its own user's.
    OneUser,
    /// A failure is charged to an event (as failed, or dead with its attempts used up) only if
    /// another event of its type and destination got through since it was last refused, and a
    /// refusal blocks no other events. Checked with
    /// [`Simulation::outages`](super::Simulation::outages).
    OwnFault,
    /// Handlers wait for the remote service or for the simulation's clock, so most attempts finish
    /// in time. A handler that sleeps on the machine's clock never wakes up here.
    InTime,
    /// No handler begins on an event that has [expired](outbox_runtime::Enqueue::expires_at), and
    /// no attempt of it is due later.
    NotAfterExpiry,
    /// Of the unclaimed events of a user with one [key](outbox_runtime::Enqueue::key) there is one,
    /// and an event that another replaced is never sent.
    OnePerKey,
    /// An event that a [cancellation](outbox_runtime::Cancel) reports as canceled was never
    /// claimed, is gone, and no attempt of it begins. One that is reported as too late was claimed
    /// or has ended, and stays. An unclaimed event that the cancellation selects is never left out.
    TakenBack,
    /// No process handles an event of a type that it
    /// [retires](outbox_runtime::HandlerSet::retire): it completes the event without a delivery,
    /// makes it a dead letter with that reason, or leaves it alone, as the type's policy says.
    /// Other events have no such fate, and the outcomes that the process tells agree.
    Retired,
    /// An event is stored and handled with the [headers](outbox_runtime::Enqueue::header) that it
    /// was enqueued with; after a fold, with those of the newest change.
    SameHeaders,
    /// An event is claimed only after the creations of its
    /// [parents](outbox_runtime::Enqueue::after) are delivered, gone, or dead and do not hold it
    /// back.
    ParentFirst,
    /// A handler rejects permanently only what the remote service refuses permanently, or what it
    /// did not send; and the handler treats most of what the service accepted and answered as
    /// delivered.
    TrueAnswer,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Setup => "the simulation could not be set up",
            Self::NothingLost => "an event was lost",
            Self::NothingInvented => "an event was never enqueued",
            Self::CompletedMeansDelivered => "an event was completed without delivery",
            Self::CompletedByHandler => "a completion by a handler was not fenced or did not last",
            Self::SameEveryTime => "an event changed",
            Self::InOrder => "the order was violated",
            Self::OneLease => "a lease was violated",
            Self::NothingStuck => "an event is stuck",
            Self::AtRest => "a process never becomes idle",
            Self::AttemptsCounted => "attempts were miscounted",
            Self::RowWhole => "a row is inconsistent",
            Self::OneUser => "users were mixed up",
            Self::OwnFault => "a refusal was charged to or blocked the wrong event",
            Self::InTime => "nearly every attempt timed out",
            Self::NotAfterExpiry => "an event was kept or sent after it expired",
            Self::OnePerKey => "events with one key were mixed up",
            Self::TakenBack => "a cancellation was wrong or did not last",
            Self::Retired => "an event of a retired type had another fate",
            Self::SameHeaders => "headers were lost or mixed up",
            Self::ParentFirst => "an event went before its parent",
            Self::TrueAnswer => "a handler contradicts the remote service",
        })
    }
}

/// A violated invariant, with the complete trace.
///
/// `Debug` prints the same text as `Display`, so unwrapping it in a test is readable.
///
/// # Examples
///
/// ```
/// use outbox_testing::{Simulation, SimulationFailure};
///
/// fn explain(failure: &SimulationFailure) -> String {
///     let last = failure.trace().last().map_or("nothing happened", String::as_str);
///     format!("seed {}: {:?} after: {last}", failure.seed(), failure.invariant())
/// }
///
/// if let Err(failure) = Simulation::new(7).run() {
///     eprintln!("{}", explain(&failure)); // `Display` has the whole trace
/// }
/// ```
#[derive(Clone)]
pub struct SimulationFailure {
    pub(super) seed: u64,
    pub(super) invariant: Invariant,
    pub(super) what: String,
    pub(super) trace: Vec<String>,
}

impl SimulationFailure {
    /// The seed that reproduces the failure.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The invariant that was violated.
    #[must_use]
    pub fn invariant(&self) -> Invariant {
        self.invariant
    }

    /// The steps that led to the failure, in order.
    #[must_use]
    pub fn trace(&self) -> &[String] {
        &self.trace
    }
}

impl fmt::Display for SimulationFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace {
            writeln!(f, "{line}")?;
        }
        write!(
            f,
            "seed {}: {}: {} (reproduce with `Simulation::new({})` and the same settings)",
            self.seed, self.invariant, self.what, self.seed
        )
    }
}

impl fmt::Debug for SimulationFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for SimulationFailure {}
