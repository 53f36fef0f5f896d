//! One process of a simulation, which can be killed, stopped and frozen.

use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::ledger::Ledger;
use super::remote::Remote;
use super::report::Invariant;
use super::setup::Handlers;
use super::watched::{Watched, WatchedHandler};
use crate::{FaultRates, FaultStore, Injected, SeededRng};
use outbox_runtime::{
    Cancel, NewEvent, OutboxEventHandler, OutboxRepository, Processor, ProcessorBuilder, Running,
    Stopped, StoreError,
};

/// The settings that all processes share.
pub(super) struct Program {
    pub(super) ledger: Ledger,
    pub(super) remote: Remote,
    pub(super) store: Arc<dyn OutboxRepository>,
    pub(super) faults: FaultRates,
    pub(super) handlers: Handlers,
    /// The handlers of the older release, if there is one.
    pub(super) older_handlers: Option<Handlers>,
    pub(super) configure: Box<dyn Fn(ProcessorBuilder) -> ProcessorBuilder>,
}

/// The release of the application that a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Release {
    Older,
    Newest,
}

impl Release {
    pub(super) fn draw(rng: &mut SeededRng) -> Self {
        match rng.chance(400) {
            true => Self::Older,
            false => Self::Newest,
        }
    }
}

pub(super) struct Process {
    pub(super) name: String,
    /// `None`: the process delivers the events of all users.
    user: Option<String>,
    /// The store that its run uses.
    store: FaultStore,
    /// The store that it enqueues through. It is never delayed, so that a call ends before the
    /// clock moves.
    producer: FaultStore,
    /// The observed store below the faults.
    watched: Arc<Watched>,
    pub(super) frozen: bool,
    /// The release that runs now.
    pub(super) release: Release,
    /// The release after the next restart.
    pub(super) next: Release,
    // In this order: once the runtime is dropped nothing runs any more, so dropping the handle
    // looks like a kill.
    instance: Option<Instance>,
}

struct Instance {
    runtime: Runtime,
    state: State,
}

enum State {
    Running(Running),
    Stopping(JoinHandle<Result<Stopped, StoreError>>),
}

/// A process that does more than this without the clock moving never becomes idle.
const LONGEST_TURN: usize = 500;

impl Process {
    pub(super) fn new(
        program: &Program,
        name: String,
        user: Option<String>,
        rng: &mut SeededRng,
    ) -> Self {
        let watched = Arc::new(Watched {
            inner: Arc::clone(&program.store),
            ledger: program.ledger.clone(),
            process: name.clone(),
            busy: watch::Sender::new(0),
        });
        let faulty = |rates| FaultStore::new(Arc::clone(&watched)).with_chance(rates, rng.fork());
        let [store, producer] = [program.faults, program.faults.without_delays()].map(faulty);
        Self {
            name,
            user,
            store,
            producer,
            watched,
            frozen: false,
            release: Release::Newest,
            next: Release::Newest,
            instance: None,
        }
    }

    fn start(&mut self, program: &Program) -> Result<(), String> {
        if self.instance.is_some() {
            return Ok(());
        }
        let runtime = Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let remote = program.remote.clone();
        self.release = self.next;
        let handlers = match &program.older_handlers {
            Some(older) if self.release == Release::Older => older,
            _ => &program.handlers,
        };
        let store = Arc::new(self.store.clone());
        let inner = handlers(program.remote.called_by(&self.name, store));
        let retired = inner.retired();
        let tells_retirements = !retired.is_empty();
        program.ledger.retires(&self.name, retired);
        let handler = WatchedHandler {
            inner,
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
        if tells_retirements {
            let mut outcomes = running.outcomes();
            let (ledger, name) = (program.ledger.clone(), self.name.clone());
            runtime.spawn(async move {
                while let Some(outcome) = outcomes.next().await {
                    ledger.told(&name, &outcome);
                }
            });
        }
        let state = State::Running(running);
        self.instance = Some(Instance { runtime, state });
        Ok(())
    }

    /// Kills the process: work in progress ends where it is.
    pub(super) fn kill(&mut self, ledger: &Ledger) {
        if let Some(Instance { runtime, state }) = self.instance.take() {
            ledger.forget_attempts(&self.name);
            drop(runtime);
            drop(state);
        }
        self.frozen = false;
    }

    /// Starts a graceful stop, which may take a while.
    pub(super) fn stop(&mut self) {
        self.instance = self.instance.take().map(|instance| Instance {
            state: match instance.state {
                State::Running(running) => State::Stopping(instance.runtime.spawn(running.stop())),
                stopping => stopping,
            },
            ..instance
        });
    }

    /// Starts the process if needed, and runs it until it waits for the clock, for the store or
    /// forever.
    pub(super) fn turn(&mut self, program: &Program) -> Result<(), String> {
        if self.frozen {
            return Ok(());
        }
        self.start(program)?;
        self.run_until_idle(&program.ledger);
        let stopped = self.instance.as_ref().is_some_and(
            |instance| matches!(&instance.state, State::Stopping(stop) if stop.is_finished()),
        );
        if stopped {
            let ledger = &program.ledger;
            ledger.trace(format_args!("{} has stopped, and restarts", self.name));
            self.instance = None;
            self.start(program)?;
            self.run_until_idle(ledger);
        }
        Ok(())
    }

    fn run_until_idle(&self, ledger: &Ledger) {
        if let Some(instance) = &self.instance
            && !instance.runtime.block_on(until_idle(ledger, &self.watched))
        {
            let what = format!("{} keeps working while nothing happens", self.name);
            ledger.broken(Invariant::AtRest, what);
        }
    }

    /// Enqueues an event. The result is available after the next turn.
    pub(super) fn enqueue(&self, ledger: &Ledger, event: NewEvent) {
        let Some(instance) = &self.instance else {
            return;
        };
        ledger.promise(&event);
        let (ledger, store) = (ledger.clone(), self.producer.clone());
        instance.runtime.spawn(async move {
            let id = event.id();
            let answer = store.create_event(event).await;
            ledger.enqueued(id, &answer);
        });
    }

    /// Cancels events. The result is available after the next turn.
    pub(super) fn cancel(&self, ledger: &Ledger, cancel: Cancel) {
        let Some(instance) = &self.instance else {
            return;
        };
        let (ledger, store) = (ledger.clone(), self.producer.clone());
        let process = self.name.clone();
        instance.runtime.spawn(async move {
            if let Err(error) = store.cancel(&cancel).await {
                ledger.trace(format_args!(
                    "{process} does not know what it canceled: {error}"
                ));
            }
        });
    }

    /// Stops the process if it runs an older release; it restarts with the newest.
    pub(super) fn update(&mut self) {
        self.next = Release::Newest;
        if self.release != Release::Newest {
            self.stop();
        }
    }

    /// Tells the run that something may have changed.
    pub(super) fn nudge(&self, online: bool) {
        if let Some(Instance {
            state: State::Running(running),
            ..
        }) = &self.instance
        {
            if online {
                running.online();
            } else {
                running.trigger();
            }
        }
    }

    /// Ends the faults of its store.
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

/// Runs until nothing has happened for a while. Returns `false` if too much happens first.
async fn until_idle(ledger: &Ledger, store: &Watched) -> bool {
    let mut busy = store.busy.subscribe();
    let mut quiet = 0;
    for _ in 0..LONGEST_TURN {
        let seen = ledger.activity();
        // Everything that can make progress runs before this task continues.
        tokio::task::yield_now().await;
        // The sender belongs to the store, which outlives this future.
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
