//! A caller without company commits its own event, where that keeps nobody waiting.
//!
//! Two changes of thread take longer than a commit in memory. A caller therefore commits on its own
//! thread, within the first poll of its future, if all of this holds:
//!
//! - No other request is in flight, and the writer's thread lately met none together. Several are
//!   faster there, because they share a commit.
//! - The task is the one that enqueued before. Tasks that each enqueue once may be many, of which
//!   the first cannot know. (Futures that one task polls with its own waker, as `tokio::join!`
//!   does, count as one.)
//! - A worker thread of a multi-thread runtime polls the caller, and there are other workers. A
//!   current-thread runtime, a `LocalSet` or a foreign executor has nobody to go on meanwhile.
//! - Recent commits were short: where each waits for a storage device, the writer's thread waits.
//! - Nobody else has SQLite's write lock, for which only the writer's thread waits.
//!
//! After a few such commits in a row one takes the usual way, so that the task yields to others.
//! Checkpoints are left to the writer's thread, and so are closures: they are the user's code and
//! may block.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};

use super::committer::Committer;
use super::request::Request;
use crate::store::sqlite::counter;
use crate::store::sqlite::lock::lock;
use crate::store::sqlite::own_thread::{self, Role};

/// The average duration of commits on a worker thread. Tokio's advice for the time between two
/// awaits is 10 to 100 microseconds.
const SHORT: Duration = Duration::from_micros(100);
/// The debt that does not matter: other programs interrupt a commit now and then.
const CREDIT: Duration = Duration::from_millis(1);
/// The debt of a store just opened: the first commits show on the writer's thread how long they
/// take.
const DEBT_AT_FIRST: Duration = Duration::from_millis(2);
/// The highest debt.
const LIMIT: Duration = Duration::from_millis(10);
/// The number of commits in a row on callers' threads.
const IN_A_ROW: u32 = 8;

/// What callers share with the writer's thread.
pub(super) struct Lone {
    /// `None` once the thread is ending.
    committer: Mutex<Option<Committer>>,
    /// Requests that were sent to the thread and are not answered yet.
    in_flight: Arc<AtomicUsize>,
    /// The task that enqueued last, while commits are short.
    last_task: Mutex<Option<Waker>>,
    pace: Pace,
}

impl Lone {
    pub(super) fn new(committer: Committer) -> Self {
        Self {
            committer: Mutex::new(Some(committer)),
            in_flight: Arc::default(),
            last_task: Mutex::default(),
            pace: Pace::default(),
        }
    }

    /// Counts a request that is sent to the thread.
    pub(super) fn depart(&self) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        InFlight(Arc::clone(&self.in_flight))
    }

    pub(super) fn pace(&self) -> &Pace {
        &self.pace
    }

    pub(super) fn committer(&self) -> MutexGuard<'_, Option<Committer>> {
        lock(&self.committer)
    }

    /// Commits the request of this task on this thread and sends its answer, or gives it back for
    /// the queue. Returns whether the log is due for a checkpoint.
    pub(super) fn commit(&self, mut request: Request, task: &Waker) -> Result<bool, Request> {
        let is_lone = || self.in_flight.load(Ordering::SeqCst) == 0;
        if !self.pace.is_short() || !self.is_last_task(task) || !is_lone() {
            return Err(request);
        }
        if !is_on_a_worker() || !self.pace.takes_a_turn() {
            return Err(request);
        }
        let mut committer = match self.committer.try_lock() {
            Ok(committer) => committer,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(request),
        };
        // Nobody who was first is overtaken: the thread takes requests from the queue only while it
        // has the committer.
        let Some(committer) = committer.as_mut().filter(|_| is_lone()) else {
            return Err(request);
        };
        let began = committer.clock.uptime();
        let is_done = {
            let _own = own_thread::lend(&committer.watch, Role::Writer, &committer.clock);
            let _counter = counter::lend(committer.settings.statements.as_ref());
            committer.commit_without_waiting(&mut request)
        };
        self.pace
            .note(committer.clock.uptime().saturating_sub(began));
        if !is_done {
            self.pace.restart();
            return Err(request);
        }
        Ok(committer.is_checkpoint_due(std::slice::from_ref(&request)))
    }

    /// Whether this task enqueued last, and remembers it. The clone of its waker keeps its address
    /// from being used again.
    fn is_last_task(&self, task: &Waker) -> bool {
        let Ok(mut last) = self.last_task.try_lock() else {
            return false;
        };
        let is_same = last.as_ref().is_some_and(|last| last.will_wake(task));
        if !is_same {
            *last = Some(task.clone());
        }
        is_same
    }
}

/// A request on its way, until dropped.
#[derive(Debug)]
pub(super) struct InFlight(Arc<AtomicUsize>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether commits are short at present: they may take [`SHORT`] each on average. What they take
/// beyond that is a debt, which shorter ones pay off. A hint: nothing is ordered by it.
#[derive(Debug)]
pub(super) struct Pace {
    /// In nanoseconds.
    debt: AtomicU64,
    /// The commits in a row on callers' threads.
    in_a_row: AtomicU32,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            debt: AtomicU64::new(nanos(DEBT_AT_FIRST)),
            in_a_row: AtomicU32::new(0),
        }
    }
}

impl Pace {
    fn is_short(&self) -> bool {
        self.debt.load(Ordering::Relaxed) <= nanos(CREDIT)
    }

    /// Takes note of how long the commit of one event took.
    pub(super) fn note(&self, took: Duration) {
        let debt = self
            .debt
            .load(Ordering::Relaxed)
            .saturating_add(nanos(took));
        let debt = debt.saturating_sub(nanos(SHORT)).min(nanos(LIMIT));
        self.debt.store(debt, Ordering::Relaxed);
    }

    /// Counts a commit on a caller's thread. Returns false if there were enough in a row.
    fn takes_a_turn(&self) -> bool {
        let before = self.in_a_row.load(Ordering::Relaxed);
        let is_next = before < IN_A_ROW;
        let now = if is_next { before + 1 } else { 0 };
        self.in_a_row.store(now, Ordering::Relaxed);
        is_next
    }

    /// Leaves the next few commits to the writer's thread.
    pub(super) fn restart(&self) {
        self.debt.fetch_max(nanos(DEBT_AT_FIRST), Ordering::Relaxed);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Whether a worker thread of a multi-thread runtime polls this task, and there are other workers.
fn is_on_a_worker() -> bool {
    let has_others = Handle::try_current().is_ok_and(|runtime| {
        runtime.runtime_flavor() == RuntimeFlavor::MultiThread
            && runtime.metrics().num_workers() > 1
    });
    has_others && PROBE.with(Probe::is_deferred)
}

thread_local! {
    static PROBE: Probe = Probe::new();
}

/// Tells a worker from everything else that can poll a task of a multi-thread runtime: a
/// `LocalSet`, the root future of `block_on`, a foreign executor that entered the runtime.
///
/// Only a worker defers the wake-up of a task that yields; elsewhere it comes at once. A runtime
/// that never defers makes this false, and then the writer's thread commits.
struct Probe {
    woken: Arc<Woken>,
    /// One for all tasks: the deferred wake-ups of a worker are merged.
    waker: Waker,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Probe {
    fn new() -> Self {
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&woken));
        Self { woken, waker }
    }

    fn is_deferred(&self) -> bool {
        self.woken.0.store(false, Ordering::Relaxed);
        let yielding = pin!(tokio::task::yield_now());
        let is_pending = yielding
            .poll(&mut Context::from_waker(&self.waker))
            .is_pending();
        is_pending && !self.woken.0.load(Ordering::Relaxed)
    }
}
