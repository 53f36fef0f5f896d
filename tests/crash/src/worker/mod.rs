//! The process under test: enqueues, delivers to its ledger, and stops on a signal.

use std::future::pending;
use std::io::Read;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::Connection;
use outbox_runtime::{Charge, Rejections, RetryPolicy, StoreError};
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use crate::ledger::{Answer, Ledger, Record};
use crate::plan::{Plan, Then, Work, exit};
use crate::task::{Chore, Task};

mod completing;
mod draining;
mod producing;

/// State shared by producer and handlers.
#[derive(Debug)]
struct Worker {
    plan: Plan,
    ledger: Ledger,
    /// Events that this process has snoozed: the next time it delivers them.
    snoozed: Mutex<Vec<Uuid>>,
    /// Connections that hold a lock until the process exits.
    locks: Mutex<Vec<Connection>>,
}

/// Entry point: the argument is a [`Plan`] as JSON.
#[must_use]
pub fn main() -> ExitCode {
    let plan = std::env::args().nth(1).expect("the plan, as JSON");
    let plan: Plan = serde_json::from_str(&plan).expect("the plan, as JSON");
    // The supervisor holds the other end: no worker outlives its test.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(exit::ORPHANED);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let code = runtime.block_on(run(plan));
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

async fn run(plan: Plan) -> i32 {
    let mut terminated = signal(SignalKind::terminate()).expect("signals");
    let worker = Arc::new(Worker {
        ledger: Ledger::open(&plan.ledger),
        plan,
        snoozed: Mutex::default(),
        locks: Mutex::default(),
    });
    let plan = &worker.plan;
    let store = SqliteStore::builder(&plan.database)
        .busy_timeout(Duration::from_millis(plan.busy_timeout))
        .count_statements()
        .open()
        .await;
    let store = match store {
        Ok(store) => store,
        Err(error) => {
            worker.failed("open", &error);
            return exit::CANNOT_OPEN;
        }
    };
    let process = std::process::id();
    worker.ledger.write(&Record::Opened { process });
    match &plan.work {
        Work::Open => {}
        Work::Enqueue { tasks, first } => {
            for ((entity, chore), number) in tasks.iter().zip(*first..) {
                let task = Task::new(*entity, number, *chore);
                worker.enqueue_with_retries(&store, 0, &task).await;
            }
        }
        Work::Together { count } => producing::enqueue_concurrently(&worker, &store, *count).await,
        Work::DieInTransaction { transaction, point } => {
            producing::die_in(*transaction, *point, &store).await;
        }
        Work::Mix { .. } | Work::Serve | Work::Drain | Work::Upkeep => {
            let running = worker.start(&store);
            let drained = async {
                match plan.work {
                    Work::Mix {
                        producer,
                        first,
                        count,
                        then,
                    } => {
                        for number in first..first + count {
                            let task = Task::mixed(producer, number);
                            worker.enqueue_with_retries(&store, producer, &task).await;
                        }
                        match then {
                            Then::Serve => pending().await,
                            Then::Drain => draining::drain(&worker, &running).await,
                        }
                    }
                    Work::Drain => draining::drain(&worker, &running).await,
                    Work::Upkeep => draining::until_cleaned_up(&worker, &store).await,
                    _ => pending().await,
                }
            };
            tokio::select! {
                () = drained => {}
                () = worker.record_statements(&store) => {}
                _ = terminated.recv() => worker.ledger.write(&Record::Stopping),
            }
            let hurried = AtomicBool::new(false);
            let hurry = async {
                terminated.recv().await;
                hurried.store(true, Ordering::SeqCst);
            };
            match running.stop_unless(hurry).await {
                Ok(stopped) => worker.ledger.write(&Record::Stopped {
                    finished: stopped.finished,
                    given_back: stopped.given_back,
                }),
                Err(error) => {
                    worker.failed("stop", &error);
                    return exit::CANNOT_STOP;
                }
            }
            if hurried.load(Ordering::SeqCst) {
                return exit::HURRIED;
            }
        }
    }
    store.close().await;
    exit::FINE
}

impl Worker {
    fn start(self: &Arc<Self>, store: &SqliteStore) -> Running {
        let plan = &self.plan;
        let worker = Arc::clone(self);
        let handled = store.clone();
        let mut builder = Processor::builder(store.clone())
            .handle::<Task>(move |event| {
                let (worker, store) = (Arc::clone(&worker), handled.clone());
                async move { worker.handle(&store, event).await }
            })
            .lease(Duration::from_millis(plan.lease))
            .timeout(Duration::from_millis(plan.timeout))
            .max_concurrency(plan.concurrency)
            .stop_deadline(Duration::from_millis(plan.stop_deadline))
            // Every failure counts: chores depend on the attempt number, and the verdict on each
            // event's final state.
            .charge(Charge::Always)
            .rejections(Rejections::Always)
            .retry(RetryPolicy::new([
                Duration::from_millis(5),
                Duration::from_millis(20),
                Duration::from_millis(50),
            ]));
        if let Some(keep) = plan.keep_completed.map(Duration::from_millis) {
            builder = builder.keep_completed(keep).cleanup_interval(keep);
        }
        let processor = builder.build().expect("the plan's settings are valid");
        processor.start_all_users()
    }

    async fn handle(&self, store: &SqliteStore, event: Event<Task>) -> Result<(), HandlerError> {
        let attempt = event.attempt_count;
        // First attempt, and no process has crashed with the event.
        let is_first = attempt == 1 && event.crashes == 0;
        let chore = event.metadata().chore;
        if chore == Chore::AbortBefore && is_first {
            std::process::abort();
        }
        self.ledger.write(&Record::Started {
            event: event.id,
            key: event.idempotency_key(),
            user: event.user_id.clone(),
            entity: event.entity_id.as_integer().expect("an integer"),
            number: event.metadata().number,
            attempt,
            crashes: event.crashes,
            process: std::process::id(),
        });
        let answer = match chore {
            Chore::Abort => std::process::abort(),
            Chore::Hang => pending().await,
            Chore::Slow(millis) => {
                pause(millis.into()).await;
                Answer::Ok
            }
            Chore::Fail(times) if attempt <= times => Answer::Retry,
            Chore::Snooze if self.is_first_sight(event.id) => Answer::Snooze,
            Chore::Reject => Answer::Reject,
            Chore::DeliverLocked if is_first => {
                self.lock_until_exit();
                Answer::Ok
            }
            _ => Answer::Ok,
        };
        self.ledger.write(&Record::Answered {
            event: event.id,
            attempt,
            answer,
        });
        match answer {
            Answer::Ok => self.complete(store, event).await,
            Answer::Retry => Err(HandlerError::retry("as planned")),
            Answer::Reject => Err(HandlerError::permanent("as planned")),
            Answer::Snooze => Err(HandlerError::snooze(Duration::from_millis(10))),
        }
    }

    fn is_first_sight(&self, event: Uuid) -> bool {
        let mut snoozed = self
            .snoozed
            .lock()
            .expect("nothing panics while holding the mutex");
        let first = !snoozed.contains(&event);
        snoozed.push(event);
        first
    }

    /// Locks the database against writers until this process exits.
    fn lock_until_exit(&self) {
        let conn = Connection::open(&self.plan.database).expect("the database exists");
        conn.busy_timeout(Duration::from_secs(60))
            .expect("setting a timeout succeeds");
        conn.execute_batch("BEGIN IMMEDIATE")
            .expect("the lock is free");
        let mut locks = self
            .locks
            .lock()
            .expect("nothing panics while holding the mutex");
        locks.push(conn);
    }

    /// Records the number of statements now and then, to detect spinning.
    async fn record_statements(&self, store: &SqliteStore) {
        let every = Duration::from_millis(100);
        for round in 1.. {
            pause(100).await;
            self.ledger.write(&Record::Statements {
                count: store.statements().get(),
                millis: u64::try_from(every.as_millis()).unwrap_or(0) * round,
                wall: store.clock().now().timestamp(),
            });
        }
    }

    fn failed(&self, operation: &str, error: &StoreError) {
        self.ledger.write(&Record::Failed {
            operation: operation.to_owned(),
            kind: format!("{:?}", error.kind()),
            text: error.to_string(),
        });
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "a worker runs in real time, because the tests inject real faults"
)]
async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}
