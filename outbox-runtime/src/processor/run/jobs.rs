//! The tasks of a run: attempts in flight, and a refresh of credentials.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tracing::warn;
use uuid::Uuid;

use super::search::Place;
use crate::processor::attempt::Ended;
use crate::processor::batch_attempt::BatchEnded;
use crate::processor::evidence::Facts;
use crate::retry::RetryPolicy;

/// The result of a task.
pub(super) enum Done {
    /// How the attempt ended, and how long it took.
    Attempt(Ended, Duration),
    /// The same for a batch.
    Batch(BatchEnded, Duration),
    Refresh(Result<(), String>),
}

/// The purpose of a task, kept here because a task that panics cannot return it.
pub(super) enum Job {
    Attempt(Box<Attempt>),
    Refresh { user_id: String },
}

/// An attempt in flight.
pub(super) struct Attempt {
    pub(super) facts: Facts,
    pub(super) retry: RetryPolicy,
    /// Whether every failure is charged, regardless of evidence.
    pub(super) is_always_charged: bool,
    pub(super) max_snoozes: Option<u32>,
    /// The generation of the user's credentials when the attempt began.
    pub(super) credentials: u64,
    /// Another worker has the event: no matter what the handler answers, nothing is recorded.
    pub(super) lease_lost: bool,
    /// The events of a batch that another worker has.
    pub(super) lost: Vec<Uuid>,
    /// Its place in a search.
    pub(super) place: Option<Place>,
    /// Whether it may have several events of a lane, in their order.
    pub(super) keeps_order: bool,
}

impl Attempt {
    /// Whether another worker has this event of it.
    pub(super) fn has_lost(&self, event_id: &Uuid) -> bool {
        self.lease_lost || self.lost.contains(event_id)
    }
}

/// A task that has ended.
pub(super) struct TaskEnd {
    id: Id,
    /// The task's result or panic; `None` if it was aborted.
    done: Option<Done>,
}

impl TaskEnd {
    fn of(joined: Result<(Id, Done), JoinError>) -> Self {
        match joined {
            Ok((id, done)) => Self {
                id,
                done: Some(done),
            },
            Err(error) => Self {
                id: error.id(),
                done: panic_of(error),
            },
        }
    }

    pub(super) fn id(&self) -> Id {
        self.id
    }

    pub(super) fn is_aborted(&self) -> bool {
        self.done.is_none()
    }
}

/// The result of a task that panicked; `None` if it was aborted.
fn panic_of(error: JoinError) -> Option<Done> {
    let payload = error.try_into_panic().ok()?;
    // The duration is unknown, so count the attempt as slow.
    let took = Duration::MAX;
    Some(Done::Attempt(Ended::panicked(payload), took))
}

/// All tasks, each with its purpose.
#[derive(Default)]
pub(super) struct Jobs {
    tasks: JoinSet<Done>,
    under_way: HashMap<Id, (Job, AbortHandle)>,
}

impl Jobs {
    pub(super) fn spawn(&mut self, job: Job, task: impl Future<Output = Done> + Send + 'static) {
        let abort = self.tasks.spawn(task);
        self.under_way.insert(abort.id(), (job, abort));
    }

    /// Waits for the next task to end; `None` if there are no tasks.
    ///
    /// # Cancel safety
    ///
    /// No end is lost.
    pub(super) async fn next(&mut self) -> Option<TaskEnd> {
        self.tasks.join_next_with_id().await.map(TaskEnd::of)
    }

    /// Returns a task that has ended already, without waiting.
    pub(super) fn next_ended(&mut self) -> Option<TaskEnd> {
        self.tasks.try_join_next_with_id().map(TaskEnd::of)
    }

    /// The purpose of an ended task, and its result.
    pub(super) fn take(&mut self, end: TaskEnd) -> Option<(Job, Option<Done>)> {
        let (job, _) = self.under_way.remove(&end.id)?;
        Some((job, end.done))
    }

    pub(super) fn attempts(&self) -> usize {
        self.flight().count()
    }

    /// The attempts in flight.
    pub(super) fn flight(&self) -> impl Iterator<Item = &Facts> {
        self.under_way.values().filter_map(|(job, _)| match job {
            Job::Attempt(attempt) => Some(&attempt.facts),
            Job::Refresh { .. } => None,
        })
    }

    pub(super) fn is_refreshing(&self) -> bool {
        let is_refresh = |(job, _): &(Job, AbortHandle)| matches!(job, Job::Refresh { .. });
        self.under_way.values().any(is_refresh)
    }

    /// Aborts the handler of this event, which another worker has. The handler of a batch goes on
    /// for its other events.
    pub(super) fn lose(&mut self, event_id: Uuid) {
        for (job, abort) in self.under_way.values_mut() {
            if let Job::Attempt(attempt) = job
                && attempt.facts.covers(event_id)
            {
                if attempt.facts.is_batch() {
                    if !attempt.lost.contains(&event_id) {
                        attempt.lost.push(event_id);
                    }
                    if attempt.lost.len() < attempt.facts.members().count() {
                        warn!(%event_id, "the lease was lost; its batch goes on without it");
                        continue;
                    }
                }
                warn!(%event_id, "the lease was lost; its handler is aborted");
                attempt.lease_lost = true;
                abort.abort();
            }
        }
    }

    /// Aborts the tasks of the users that `which` picks. A task that has ended by then keeps its
    /// result.
    pub(super) fn stop(&mut self, which: impl Fn(&str) -> bool) -> HashSet<Id> {
        let mut stopped = HashSet::new();
        for (id, (job, abort)) in &self.under_way {
            let user_id = match job {
                Job::Attempt(attempt) => &attempt.facts.claim.event.user_id,
                Job::Refresh { user_id } => user_id,
            };
            if which(user_id) {
                abort.abort();
                stopped.insert(*id);
            }
        }
        stopped
    }

    /// Aborts all tasks and waits until none of them runs.
    pub(super) async fn shut_down(&mut self) {
        self.tasks.shutdown().await;
    }
}
