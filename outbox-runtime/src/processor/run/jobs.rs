//! The tasks of a run: attempts under way, and a refresh of credentials.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tracing::warn;
use uuid::Uuid;

use crate::processor::attempt::Ended;
use crate::processor::evidence::Facts;
use crate::retry::RetryPolicy;

/// What a task brings back.
pub(super) enum Done {
    /// And how long it took.
    Attempt(Ended, Duration),
    Refresh(Result<(), String>),
}

/// What a task is about: one that panics cannot tell.
pub(super) enum Job {
    Attempt(Box<Attempt>),
    Refresh { user_id: String },
}

/// An attempt under way.
pub(super) struct Attempt {
    pub(super) facts: Facts,
    pub(super) retry: RetryPolicy,
    /// Whether its failures count whatever becomes of others.
    pub(super) is_always_charged: bool,
    pub(super) max_snoozes: Option<u32>,
    /// The credentials that it began with.
    pub(super) credentials: u64,
    /// Somebody else has the event: whatever the handler answers, nothing is recorded.
    pub(super) lease_lost: bool,
}

/// A task that has ended.
pub(super) struct TaskEnd {
    id: Id,
    /// What it brought back, or what its panic left; `None` where it was aborted.
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

/// What a task's panic says; `None` where it was aborted.
fn panic_of(error: JoinError) -> Option<Done> {
    let payload = error.try_into_panic().ok()?;
    // How long it took, nobody knows: not quick.
    let took = Duration::MAX;
    Some(Done::Attempt(Ended::panicked(payload), took))
}

/// All tasks, each with what it is about.
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

    /// Waits for the next task to end; `None` where there is none.
    ///
    /// # Cancel safety
    ///
    /// No end is lost.
    pub(super) async fn next(&mut self) -> Option<TaskEnd> {
        self.tasks.join_next_with_id().await.map(TaskEnd::of)
    }

    /// The next task that has ended already.
    pub(super) fn next_ended(&mut self) -> Option<TaskEnd> {
        self.tasks.try_join_next_with_id().map(TaskEnd::of)
    }

    /// What an ended task was about, and what it brought back.
    pub(super) fn take(&mut self, end: TaskEnd) -> Option<(Job, Option<Done>)> {
        let (job, _) = self.under_way.remove(&end.id)?;
        Some((job, end.done))
    }

    pub(super) fn attempts(&self) -> usize {
        self.flight().count()
    }

    /// The attempts under way.
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

    /// Somebody else has this event: its handler is stopped where it is.
    pub(super) fn lose(&mut self, event_id: Uuid) {
        for (job, abort) in self.under_way.values_mut() {
            if let Job::Attempt(attempt) = job
                && attempt.facts.claim.event.id == event_id
            {
                warn!(%event_id, "the lease was lost while the handler ran; it is stopped");
                attempt.lease_lost = true;
                abort.abort();
            }
        }
    }

    /// Tells the tasks of the users that `which` picks to stop. Those that had ended may not know.
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

    /// Stops all tasks and waits until none of them runs.
    pub(super) async fn shut_down(&mut self) {
        self.tasks.shutdown().await;
    }
}
