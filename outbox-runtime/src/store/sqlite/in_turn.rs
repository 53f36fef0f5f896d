//! Closes, suspensions and resumptions, one at a time, in the order in which they were asked for.
//!
//! Each blocks, so a thread runs it, and threads start in any order: a suspension whose future was
//! dropped after its first poll would otherwise begin after the resumption that was asked for
//! later, and leave the store suspended. A thread therefore runs whatever is next, not what it was
//! started for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::fault;
use super::lock::lock;
use super::threads;
use crate::clock;
use crate::error::StoreError;

/// The threads of an open store, which the work ends or starts.
pub(super) type Threads = Vec<JoinHandle<()>>;

type Work = Box<dyn FnOnce(&mut Threads) + Send>;

/// The work on a store's files.
pub(super) struct InTurn {
    /// Work that no thread has begun. Never locked across anything that blocks.
    queue: Mutex<VecDeque<Work>>,
    /// Locked by a thread while it works, never by a future, which a caller might keep without
    /// polling it.
    threads: Mutex<Threads>,
}

impl InTurn {
    pub(super) fn new(threads: Threads) -> Arc<Self> {
        Arc::new(Self {
            queue: Mutex::default(),
            threads: Mutex::new(threads),
        })
    }

    /// Runs `work` after all work that was asked for before, and waits for its end. It is asked for
    /// in the first poll, and runs even if the future is then kept unpolled or dropped.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Threads) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let (done, answer) = oneshot::channel();
        self.ask(Box::new(move |threads| drop(done.send(work(threads)))))?;
        let answer = clock::awaited(answer).await;
        answer.ok_or_else(|| fault::closed("open or close"))
    }

    fn ask(self: &Arc<Self>, work: Work) -> Result<(), StoreError> {
        // Locked until the thread is started, so that what is taken back is this work.
        let mut queue = lock(&self.queue);
        queue.push_back(work);
        let files = Arc::clone(self);
        let started = threads::spawn("outbox-files", move || files.serve_next());
        if started.is_err() {
            queue.pop_back();
        }
        started.map(drop)
    }

    /// Runs the next work; there is one thread for each.
    fn serve_next(&self) {
        let mut threads = lock(&self.threads);
        let next = lock(&self.queue).pop_front();
        if let Some(work) = next {
            work(&mut threads);
        }
    }
}
