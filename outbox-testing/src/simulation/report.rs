//! What a simulation tells: what happened, and what must not have happened.

use std::error::Error;
use std::fmt;
use std::ops::AddAssign;

use crate::Injected;

/// What happened in a simulation, or in several.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Report {
    /// How many seeds it was.
    pub seeds: u64,
    /// Steps that were drawn.
    pub steps: u64,
    /// Events that were enqueued and acknowledged.
    pub enqueued: u64,
    /// Events that the store may have, although nobody was told, and that it has.
    pub recovered: u64,
    /// Events that the remote service accepted, and that were completed.
    pub delivered: u64,
    /// Events that were completed because there was nothing left to deliver: the remote service said so, or the handler by
    /// itself.
    pub obsolete: u64,
    /// Events that were dead letters in the end.
    pub dead: u64,
    /// How often the remote service took an event that it had already.
    pub duplicates: u64,
    /// How often a process was killed.
    pub crashes: u64,
    /// How often a process was stopped in good order.
    pub stops: u64,
    /// How often a process was frozen for a while.
    pub freezes: u64,
    /// How often the remote service began to refuse a part of the world, or all of it.
    pub outages: u64,
    /// How often the clock was set an hour back or up to a day ahead.
    pub clock_jumps: u64,
    /// How often a store refused an outcome because its lease was over.
    pub leases_lost: u64,
    /// How often an attempt did not end well: refused, unanswered, or a panic.
    pub remote_faults: u64,
    /// How often an attempt was given up while its handler waited for something else than the remote service.
    pub unanswered: u64,
    /// Faults of the store.
    pub injected: Injected,
    /// Of each seed, what happened in which order.
    pub trace: Vec<String>,
}

impl AddAssign for Report {
    /// The sum of both. The trace of the later one is kept.
    fn add_assign(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.enqueued += other.enqueued;
        self.recovered += other.recovered;
        self.delivered += other.delivered;
        self.obsolete += other.obsolete;
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
             {obsolete} obsolete, {dead} dead, {duplicates} sent again; {crashes} crashes, {stops} stops, {freezes} freezes, {outages} outages, \
             {clock_jumps} clock jumps, {leases_lost} leases lost, {remote_faults} failed attempts, \
             {unanswered} unanswered, {} faults of the store",
            injected.total()
        )
    }
}

/// What must hold at every step of a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Invariant {
    /// The simulation itself could be set up: its changes keep the rules of the row, its processor can be built, and its store
    /// fails only when it is told to.
    Setup,
    /// What was acknowledged is there until it is delivered, or somebody deletes it.
    NothingLost,
    /// Nothing is there, and nothing is handled, that nobody enqueued.
    NothingInvented,
    /// An event is completed only by a handler that delivered it, under the very claim that completes it, and stays so.
    /// Delivered is what the remote service has accepted by the time the handler says so. A handler may call an event obsolete where
    /// the service says that, or without asking it, but not where it refused.
    CompletedMeansDelivered,
    /// Every attempt has the content that was enqueued, under the same id, and that is what reaches the remote service.
    SameEveryTime,
    /// An event is claimed, and accepted by the remote service, only when those before it in its order are delivered, or dead
    /// where that does not hold it back.
    InOrder,
    /// An event has one lease at a time, outcomes are recorded under that one and no other, a handler starts only under it, and
    /// nothing is sent while no handler has it.
    OneLease,
    /// Once the faults are over everything is delivered or dead, whatever became of other events and users.
    NothingStuck,
    /// Where nothing happens, nothing is done.
    AtRest,
    /// Each claim counts an attempt, what is given back does not count, and what may be attempted
    /// once is attempted once.
    AttemptsCounted,
    /// The columns of a row fit its status.
    RowWhole,
    /// A run for one user handles nothing of another, and an event reaches the remote service as its user's.
    OneUser,
    /// Whose fault a failure is: it is charged to an event (failed, or dead because its attempts are used up) only where another
    /// event of its type and destination got through since it was refused before, and what is refused holds up nobody else. Checked
    /// with [`Simulation::outages`](super::Simulation::outages).
    OwnFault,
    /// Handlers wait for the remote service, or for the clock of the simulation: most attempts are answered in time. A handler
    /// that sleeps by the machine's clock is not woken here.
    InTime,
    /// A handler refuses for good only what the remote service refuses for good, or what it did not
    /// ask about; and most of what the service accepted and answered is no failure to the handler.
    TrueAnswer,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Setup => "the simulation could not be set up",
            Self::NothingLost => "something was lost",
            Self::NothingInvented => "something was never enqueued",
            Self::CompletedMeansDelivered => "something was completed without delivery",
            Self::SameEveryTime => "an event changed",
            Self::InOrder => "the order was broken",
            Self::OneLease => "a lease was not respected",
            Self::NothingStuck => "something is stuck",
            Self::AtRest => "a process does not come to rest",
            Self::AttemptsCounted => "attempts were miscounted",
            Self::RowWhole => "a row contradicts itself",
            Self::OneUser => "users were mixed up",
            Self::OwnFault => "a refusal was charged or held against the wrong event",
            Self::InTime => "nearly every attempt ran out of time",
            Self::TrueAnswer => "a handler says something else than the remote service",
        })
    }
}

/// An invariant that did not hold, with everything that led there.
///
/// `Debug` shows the same as `Display`, so that unwrapping it in a test is readable.
#[derive(Clone)]
pub struct SimulationFailure {
    pub(super) seed: u64,
    pub(super) invariant: Invariant,
    pub(super) what: String,
    pub(super) trace: Vec<String>,
}

impl SimulationFailure {
    /// The seed that leads there again.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What did not hold.
    #[must_use]
    pub fn invariant(&self) -> Invariant {
        self.invariant
    }

    /// What happened before, in order.
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
            "seed {}: {}: {} (`Simulation::new({})` with the same settings leads here again)",
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
