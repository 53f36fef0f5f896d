//! Runs a simulation: sets its world up, and draws up the report.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;

use super::Simulation;
use super::ledger::Ledger;
use super::process::{Process, Program};
use super::remote::Remote;
use super::report::{Invariant, Report, SimulationFailure};
use super::setup::Setup;
use super::world::World;
use crate::{Injected, ManualClock, SeededRng};

impl Simulation {
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
        injected: &mut Injected,
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
        let (older_changes, older_handlers) = self.older.unzip();
        let program = Program {
            ledger: ledger.clone(),
            remote,
            store,
            faults: self.faults,
            handlers: self.handlers,
            older_handlers,
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
            cancellations: self.cancellations,
            changes: self.changes,
            older_changes,
            processes,
            store_runtime,
            set_back: Duration::ZERO,
        };
        for process in 0..world.processes.len() {
            world.draw_release(process);
        }
        let outcome = world.run(self.steps);
        for process in &world.processes {
            *injected += process.injected();
        }
        outcome
    }
}
