//! A run until nothing is left to do, or until the first failure.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox_runtime::__private::clock;
use outbox_runtime::store::OutboxQueue as _;
use outbox_runtime::{
    EventFilter, OutboxEvent, OutboxRepository, OutboxStatus, Processor, Running, StoreError,
};
use uuid::Uuid;

use super::error::KitError;
use super::listing;
use super::look::Watch;
use super::report::Drained;

/// Delivers the events of all users until nothing is left that `processor` can deliver within
/// `timeout`, and reports what was delivered, what is dead, and what waits and why.
///
/// It returns early when everything that is left needs help: a dead letter holds it back, no
/// handler takes its type, a pause without an end holds it back, or its time lies beyond the
/// timeout. The timeout ends by the store's clock or by the machine's, whichever comes first. A
/// clock that stands still, such as a [`ManualClock`](crate::ManualClock), is not waited for: the
/// report has what waits for it. With tokio's paused time, hours of retries pass at once.
///
/// Stop other runs of the processor first, as they would take part.
///
/// # Errors
///
/// [`KitError::Store`] if the store fails.
///
/// # Cancel safety
///
/// Dropping the future begins to stop the run.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::prelude::*;
/// use outbox_runtime::WaitsFor;
/// use outbox_testing::{ManualClock, drain};
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "goal")]
/// struct Goal {
///     #[outbox(entity_id)]
///     id: i64,
///     #[outbox(user_id)]
///     user_id: String,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::with_clock(ManualClock::new());
/// let processor = Processor::builder(store.clone())
///     .handle::<Goal>(|event| async move {
///         match event.entity_id.as_integer() {
///             Some(1) => Ok(()),
///             _ => Err(HandlerError::permanent("no such goal")),
///         }
///     })
///     .build()?;
/// for id in 1..=2 {
///     Goal { id, user_id: "user-1".into() }.enqueue_create().on(&store).await?;
/// }
/// let later = Goal { id: 3, user_id: "user-1".into() };
/// later.enqueue_create().delay(Duration::from_secs(60)).on(&store).await?;
///
/// let report = drain(&processor, Duration::from_secs(5)).await?;
/// assert_eq!(report.delivered.len(), 1);
/// assert_eq!(report.dead[0].entity_id, EntityId::from(2));
/// assert!(matches!(report.waiting[0].waits_for, WaitsFor::DueTime { .. }));
/// # Ok(())
/// # }
/// ```
pub async fn drain(processor: &Processor, timeout: Duration) -> Result<Drained, KitError> {
    let (running, outcomes) = processor.__start_watched();
    let deadline = Deadline::new(&running, timeout);
    let mut watch = Watch::with(&running, outcomes);
    let report = until_settled(&running, &mut watch, &deadline).await;
    // A run tells its outcomes after it has recorded them, and all of them before it ends.
    end(&running).await?;
    Ok(watch.finish(report?).await)
}

/// Delivers the events of all users until an attempt fails, and returns the event as that attempt
/// left it. `None` if everything was delivered, or waits, before anything failed; see [`drain`] for
/// when that is.
///
/// A failure is an attempt that was refused, timed out or panicked, whether it counts or not. The
/// event's [`last_refusal`](OutboxEvent::last_refusal),
/// [`error_message`](OutboxEvent::error_message) and [`status`](OutboxEvent::status) say what the
/// processor made of it. A snooze is none, and neither is an event that no handler takes.
///
/// # Errors
///
/// [`KitError::Store`] if the store fails.
///
/// # Cancel safety
///
/// As for [`drain`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::prelude::*;
/// use outbox_testing::run_until_failed;
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "goal")]
/// struct Goal {
///     #[outbox(entity_id)]
///     id: i64,
///     #[outbox(user_id)]
///     user_id: String,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let processor = Processor::builder(store.clone())
///     .handle::<Goal>(|_| async { Err(HandlerError::offline()) })
///     .build()?;
/// Goal { id: 7, user_id: "user-1".into() }.enqueue_create().on(&store).await?;
///
/// let failed = run_until_failed(&processor, Duration::from_secs(5)).await?;
/// let failed = failed.ok_or("the handler is offline")?;
/// assert_eq!(failed.attempt_count, 0, "an outage uses no attempt up");
/// assert!(failed.last_refusal.is_some_and(|refusal| refusal.message == "offline"));
/// # Ok(())
/// # }
/// ```
pub async fn run_until_failed(
    processor: &Processor,
    timeout: Duration,
) -> Result<Option<OutboxEvent>, KitError> {
    // Before the run starts: its first attempt may fail at once.
    let before = attempts(processor.store()).await?;
    let running = processor.start_all_users();
    let deadline = Deadline::new(&running, timeout);
    let failed = until_failed(&running, before, &deadline).await;
    end(&running).await?;
    failed
}

/// Stops the run, without waiting for handlers in flight.
async fn end(running: &Running) -> Result<(), StoreError> {
    running.stop_unless(std::future::ready(())).await.map(drop)
}

/// When a run is over, by the store's clock and by the machine's.
struct Deadline {
    at: DateTime<Utc>,
    timeout: Duration,
}

impl Deadline {
    fn new(running: &Running, timeout: Duration) -> Self {
        let now = running.store().clock().now();
        Self {
            at: clock::after(now, timeout),
            timeout,
        }
    }

    async fn passed(&self, running: &Running) {
        tokio::select! {
            () = running.store().clock().sleep_until(self.at) => {}
            () = clock::pause(self.timeout) => {}
        }
    }
}

async fn until_settled(
    running: &Running,
    watch: &mut Watch<'_>,
    deadline: &Deadline,
) -> Result<Drained, KitError> {
    let passed = deadline.passed(running);
    tokio::pin!(passed);
    loop {
        let now = running.store().clock().now();
        let mut next = None;
        if let Some(report) = watch.look_if_quiet().await? {
            if is_settled(watch, &report, now, deadline).await {
                return Ok(report);
            }
            next = report.next(now);
        }
        tokio::select! {
            () = watch.changed(next) => {}
            () = &mut passed => return Ok(watch.look().await?),
        }
    }
}

/// Whether nothing that waits goes on by itself before the deadline.
async fn is_settled(
    watch: &Watch<'_>,
    report: &Drained,
    now: DateTime<Utc>,
    deadline: &Deadline,
) -> bool {
    if report.is_busy(now) {
        return false;
    }
    let next = report.next(now);
    next.is_none_or(|next| next > deadline.at) || watch.clock_stands_still().await
}

async fn until_failed(
    running: &Running,
    before: Vec<OutboxEvent>,
    deadline: &Deadline,
) -> Result<Option<OutboxEvent>, KitError> {
    let mut watch = Watch::new(running);
    let before: HashMap<Uuid, OutboxEvent> =
        before.into_iter().map(|event| (event.id, event)).collect();
    let passed = deadline.passed(running);
    tokio::pin!(passed);
    loop {
        let now = running.store().clock().now();
        let report = watch.look().await?;
        let events = attempts(running.store()).await?;
        let failed = events
            .into_iter()
            .find(|event| has_failed(event, before.get(&event.id)));
        if failed.is_some() || is_settled(&watch, &report, now, deadline).await {
            return Ok(failed);
        }
        tokio::select! {
            () = watch.changed(report.next(now)) => {}
            () = &mut passed => return Ok(None),
        }
    }
}

/// The events that may have had an attempt that was no delivery.
async fn attempts(store: &Arc<dyn OutboxRepository>) -> Result<Vec<OutboxEvent>, StoreError> {
    listing::all(store, &EventFilter::undelivered_or_dead()).await
}

/// Whether an attempt at the event has failed since it was as before.
fn has_failed(event: &OutboxEvent, before: Option<&OutboxEvent>) -> bool {
    let is_dead = |event: &OutboxEvent| event.status == OutboxStatus::Dead;
    if event.status == OutboxStatus::Processing {
        return false;
    }
    if is_dead(event) {
        return before.is_none_or(|before| !is_dead(before));
    }
    let is_attempted = event.last_attempt_at != before.and_then(|before| before.last_attempt_at);
    let is_snoozed = event.snoozes != before.map_or(0, |before| before.snoozes);
    let is_refused = event.last_refusal.is_some() || event.status == OutboxStatus::Failed;
    is_attempted && is_refused && !is_snoozed
}
