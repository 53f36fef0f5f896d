//! A processor on its own runtime, run until it waits for the clock.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use outbox_runtime::{Explanation, OutboxRepository, Processor, Running};
use tokio::runtime::{Builder, Runtime};

use crate::watched::Watched;
use crate::world::{Client, World};

pub(crate) struct Process {
    number: usize,
    store: Arc<Watched>,
    keep_completed: Duration,
    // The order of the fields matters: the runtime is dropped first, so dropping the handle has no
    // effect and the end looks like a kill.
    life: Option<(Runtime, Running)>,
}

/// The number of turns without progress of the clock after which a process counts as busy forever.
const LONGEST_TURN: usize = 100_000;

impl Process {
    pub(crate) fn start(
        number: usize,
        store: Arc<dyn OutboxRepository>,
        world: &World,
        keep_completed: Duration,
    ) -> Self {
        let mut process = Self {
            number,
            store: Arc::new(Watched::new(store)),
            keep_completed,
            life: None,
        };
        process.start_again(world);
        process
    }

    /// Stops the process like a kill: all work in progress ends where it is.
    pub(crate) fn kill(&mut self, world: &World) {
        if let Some((runtime, running)) = self.life.take() {
            drop(runtime);
            drop(running);
        }
        self.start_again(world);
    }

    /// The explanation of an event.
    pub(crate) fn explain(&self, event: usize) -> Explanation {
        let (runtime, running) = self.life.as_ref().expect("a process is killed and started");
        let explanation = runtime.block_on(running.explain(event as i64));
        explanation.expect("the store can be asked")
    }

    fn start_again(&mut self, world: &World) {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let client = Client {
            world: world.clone(),
            processor: self.number,
        };
        let running = {
            let _inside = runtime.enter();
            let processor = Processor::builder(Arc::clone(&self.store))
                .handler(client)
                .keep_completed(self.keep_completed)
                .max_concurrency(world.case.concurrency)
                .on_unauthenticated(|_| async { Ok(()) })
                .build()
                .unwrap();
            match world.case.users {
                1 => processor.start("user-0"),
                _ => processor.start_all_users(),
            }
        };
        self.life = Some((runtime, running));
    }

    /// Runs the process until it waits for the clock, for the store, or forever.
    pub(crate) fn rest(&self, world: &World) {
        let (runtime, _) = self.life.as_ref().expect("a process is killed and started");
        let rested = runtime.block_on(async {
            let mut busy = self.store.busy.subscribe();
            let activity = || {
                (
                    self.store.activity.load(Ordering::SeqCst),
                    world.log().activity,
                )
            };
            let mut quiet = 0;
            for _ in 0..LONGEST_TURN {
                let seen = activity();
                // Every runnable task runs before this one continues.
                tokio::task::yield_now().await;
                let _ = busy.wait_for(|calls| *calls == 0).await;
                quiet = if activity() == seen { quiet + 1 } else { 0 };
                if quiet == 3 {
                    return true;
                }
            }
            false
        });
        assert!(
            rested,
            "processor {} does ever more while the clock stands",
            self.number
        );
    }
}
