//! One process of a simulation: a thread of its own as far as it can tell, that can be killed, stopped and frozen.

use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::ledger::Ledger;
use super::remote::Remote;
use super::report::Invariant;
use super::watched::{Watched, WatchedHandler};
use crate::{FaultRates, FaultStore, Injected, SeededRng};
use outbox_runtime::NewEvent;
use outbox_runtime::OutboxEventHandler;
use outbox_runtime::OutboxRepository;
use outbox_runtime::StoreError;
use outbox_runtime::{Processor, ProcessorBuilder, Running, Stopped};

/// What all processes have in common.
pub(super) struct Program {
    pub(super) ledger: Ledger,
    pub(super) remote: Remote,
    pub(super) store: Arc<dyn OutboxRepository>,
    pub(super) faults: FaultRates,
    pub(super) handlers: Box<dyn Fn(Remote) -> Arc<dyn OutboxEventHandler>>,
    pub(super) configure: Box<dyn Fn(ProcessorBuilder) -> ProcessorBuilder>,
}

pub(super) struct Process {
    pub(super) name: String,
    /// `None`: it delivers everybody's events.
    user: Option<String>,
    /// What its run uses.
    store: FaultStore,
    /// What it enqueues through: never late, so that a try is over before the clock moves on.
    producer: FaultStore,
    /// What it sees of the store below the faults.
    watched: Arc<Watched>,
    pub(super) frozen: bool,
    // In this order: nothing runs any more when the handle is dropped, so that nobody can tell it from a kill.
    life: Option<Life>,
}

struct Life {
    runtime: Runtime,
    state: State,
}

enum State {
    Running(Running),
    Stopping(JoinHandle<Result<Stopped, StoreError>>),
}

/// A process that has done so much without the clock having moved does not come to rest.
const LONGEST_TURN: usize = 500;

impl Process {
    pub(super) fn new(
        program: &Program,
        name: String,
        user: Option<String>,
        draw: &mut SeededRng,
    ) -> Self {
        let watched = Arc::new(Watched {
            inner: Arc::clone(&program.store),
            ledger: program.ledger.clone(),
            process: name.clone(),
            busy: watch::Sender::new(0),
        });
        let faulty = |rates| FaultStore::new(Arc::clone(&watched)).with_chance(rates, draw.fork());
        let [store, producer] = [program.faults, program.faults.without_delays()].map(faulty);
        Self {
            name,
            user,
            store,
            producer,
            watched,
            frozen: false,
            life: None,
        }
    }

    fn start(&mut self, program: &Program) -> Result<(), String> {
        if self.life.is_some() {
            return Ok(());
        }
        let runtime = Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let remote = program.remote.clone();
        let handler = WatchedHandler {
            inner: (program.handlers)(program.remote.called_by(&self.name)),
            store: Arc::clone(&self.watched),
            ledger: program.ledger.clone(),
            process: self.name.clone(),
            user: self.user.clone(),
        };
        let builder = Processor::builder(self.store.clone()).on_unauthenticated(move |user| {
            let remote = remote.clone();
            async move { remote.refresh(&user) }
        });
        let processor = {
            let _inside = runtime.enter();
            (program.configure)(builder).handler(handler).build()
        };
        let processor = processor.map_err(|error| error.to_string())?;
        let running = match &self.user {
            Some(user) => processor.start(user),
            None => processor.start_all_users(),
        };
        let state = State::Running(running);
        self.life = Some(Life { runtime, state });
        Ok(())
    }

    /// As a kill does it: whatever was under way ends where it is.
    pub(super) fn kill(&mut self, ledger: &Ledger) {
        if let Some(Life { runtime, state }) = self.life.take() {
            ledger.forget_attempts(&self.name);
            drop(runtime);
            drop(state);
        }
        self.frozen = false;
    }

    /// Begins to stop in good order; it may take a while.
    pub(super) fn stop(&mut self) {
        self.life = self.life.take().map(|life| Life {
            state: match life.state {
                State::Running(running) => State::Stopping(life.runtime.spawn(running.stop())),
                stopping => stopping,
            },
            ..life
        });
    }

    /// Lets it run until it waits for the clock, for the store or for ever. Where it does not run it starts.
    pub(super) fn turn(&mut self, program: &Program) -> Result<(), String> {
        if self.frozen {
            return Ok(());
        }
        self.start(program)?;
        self.rest(&program.ledger);
        let stopped = self
            .life
            .as_ref()
            .is_some_and(|life| matches!(&life.state, State::Stopping(stop) if stop.is_finished()));
        if stopped {
            let ledger = &program.ledger;
            ledger.trace(format_args!("{} has stopped, and starts again", self.name));
            self.life = None;
            self.start(program)?;
            self.rest(ledger);
        }
        Ok(())
    }

    fn rest(&self, ledger: &Ledger) {
        if let Some(life) = &self.life
            && !life.runtime.block_on(come_to_rest(ledger, &self.watched))
        {
            let what = format!("{} does ever more while nothing happens", self.name);
            ledger.broken(Invariant::AtRest, what);
        }
    }

    /// Enqueues an event. The answer is there at the end of the next turn.
    pub(super) fn enqueue(&self, ledger: &Ledger, event: NewEvent) {
        let Some(life) = &self.life else { return };
        ledger.promise(&event);
        let (ledger, store) = (ledger.clone(), self.producer.clone());
        life.runtime.spawn(async move {
            let id = event.id();
            let answer = store.create_event(event).await;
            ledger.enqueued(id, &answer);
        });
    }

    /// Tells the run that something may have changed.
    pub(super) fn nudge(&self, online: bool) {
        if let Some(Life {
            state: State::Running(running),
            ..
        }) = &self.life
        {
            if online {
                running.online();
            } else {
                running.trigger();
            }
        }
    }

    /// No more faults of its store.
    pub(super) fn heal(&mut self) {
        self.frozen = false;
        self.store.heal();
        self.producer.heal();
    }

    pub(super) fn injected(&self) -> Injected {
        let mut injected = self.store.injected();
        injected += self.producer.injected();
        injected
    }
}

/// Whether nothing more happened for a while before too much had.
async fn come_to_rest(ledger: &Ledger, store: &Watched) -> bool {
    let mut busy = store.busy.subscribe();
    let mut quiet = 0;
    for _ in 0..LONGEST_TURN {
        let seen = ledger.activity();
        // Whoever can go on has its turn before this one comes again.
        tokio::task::yield_now().await;
        // The sender is with the store, which outlives this.
        let _ = busy.wait_for(|calls| *calls == 0).await;
        quiet = if ledger.activity() == seen {
            quiet + 1
        } else {
            0
        };
        if quiet == 3 {
            return true;
        }
    }
    false
}
