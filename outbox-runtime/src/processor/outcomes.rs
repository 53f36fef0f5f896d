//! Outcomes: a stream of what a run records.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::event::{DeadReason, OutboxEvent, OutboxStatus, Refusal};
use crate::outcome::Disposition;

/// The number of outcomes that a run keeps for a stream that lags behind.
pub(super) const CAPACITY: usize = 256;

/// The outcomes that a run records, as returned by
/// [`Running::outcomes`](super::Running::outcomes).
///
/// # Examples
///
/// ```
/// # use outbox_runtime::{prelude::*, MemoryStore, Processor, RunOutcome};
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "moodEntry")]
/// # struct MoodEntry {
/// #     #[outbox(entity_id)] id: i64,
/// #     #[outbox(user_id)] user_id: String,
/// #     #[outbox(metadata)] valence: f64,
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = MemoryStore::new();
/// # let processor = Processor::builder(store.clone())
/// #     .handle::<MoodEntry>(|_| async { Ok(()) })
/// #     .build()?;
/// let running = processor.start("user-1");
/// let mut outcomes = running.outcomes();
/// # let mood = MoodEntry { id: 1, user_id: "user-1".into(), valence: 0.5 };
/// mood.enqueue_create().on(&store).await?;
/// match outcomes.next().await {
///     Some(RunOutcome::Delivered { event }) => println!("synced: {}", event.entity_id),
///     Some(RunOutcome::Dead { event, reason, .. }) => println!("{}: {reason}", event.entity_id),
///     Some(RunOutcome::Missed { count }) => println!("too slow: {count} are missing"),
///     other => println!("{other:?}"),
/// }
/// # running.stop().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Outcomes(broadcast::Receiver<RunOutcome>);

/// An outcome that a run has recorded. The event is shown as it is afterwards.
///
/// An attempt that was given back uncounted, as in an outage, is none.
///
/// # Examples
///
/// ```
/// use outbox_runtime::RunOutcome;
///
/// fn line(outcome: &RunOutcome) -> Option<String> {
///     let event = outcome.event()?; // none if outcomes were missed
///     let text = match outcome {
///         RunOutcome::Delivered { .. } => "synchronized".to_owned(),
///         RunOutcome::Failed { message, .. } => format!("will be sent again: {message}"),
///         RunOutcome::Dead { reason, .. } => format!("given up: {reason}"),
///         _ => return None,
///     };
///     Some(format!("{}: {text}", event.entity_id))
/// }
///
/// assert_eq!(line(&RunOutcome::Missed { count: 3 }), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunOutcome {
    /// The event was delivered.
    Delivered {
        /// The event.
        event: Arc<OutboxEvent>,
    },
    /// The attempt failed, and is repeated at the event's
    /// [`next_attempt_at`](OutboxEvent::next_attempt_at).
    Failed {
        /// The event.
        event: Arc<OutboxEvent>,
        /// The error.
        message: String,
    },
    /// The event was refused while others got through. It is tried again at its
    /// [`next_attempt_at`](OutboxEvent::next_attempt_at).
    Deferred {
        /// The event.
        event: Arc<OutboxEvent>,
        /// The answer.
        refusal: Refusal,
    },
    /// The handler asked for a later time.
    Snoozed {
        /// The event.
        event: Arc<OutboxEvent>,
    },
    /// The event is a dead letter.
    Dead {
        /// The event.
        event: Arc<OutboxEvent>,
        /// The reason.
        reason: DeadReason,
        /// The last error.
        message: String,
    },
    /// The event expired before it was delivered, and was deleted, as its type
    /// [says](crate::OnExpiry::Drop). One that becomes a dead letter is [`Dead`](Self::Dead) with
    /// the reason [`Expired`](DeadReason::Expired).
    Dropped {
        /// The event.
        event: Arc<OutboxEvent>,
    },
    /// The event was completed without a delivery, because its type is
    /// [retired](crate::support::Retirement::Drop).
    Retired {
        /// The event.
        event: Arc<OutboxEvent>,
    },
    /// The stream lagged behind and lost the oldest outcomes.
    Missed {
        /// Their number.
        count: u64,
    },
}

impl Outcomes {
    pub(super) fn new(receiver: broadcast::Receiver<RunOutcome>) -> Self {
        Self(receiver)
    }

    /// Returns the next outcome; `None` once the run has ended and all outcomes were returned.
    ///
    /// A stream that is not read keeps the last 256 outcomes; then [`RunOutcome::Missed`] tells how
    /// many are lost.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no outcome.
    pub async fn next(&mut self) -> Option<RunOutcome> {
        match self.0.recv().await {
            Ok(outcome) => Some(outcome),
            Err(RecvError::Lagged(count)) => Some(RunOutcome::Missed { count }),
            Err(RecvError::Closed) => None,
        }
    }
}

impl RunOutcome {
    /// The event; `None` for those that were missed.
    #[must_use]
    pub fn event(&self) -> Option<&OutboxEvent> {
        match self {
            Self::Delivered { event }
            | Self::Failed { event, .. }
            | Self::Deferred { event, .. }
            | Self::Snoozed { event }
            | Self::Dropped { event }
            | Self::Retired { event }
            | Self::Dead { event, .. } => Some(event),
            Self::Missed { .. } => None,
        }
    }

    /// The outcome that a settlement of this claimed event records at `now`. `None` for an attempt
    /// that is given back.
    pub(super) fn of(
        mut event: OutboxEvent,
        disposition: Disposition,
        now: DateTime<Utc>,
    ) -> Option<Self> {
        event.lease_token = None;
        event.lease_expires_at = None;
        event.crashes = 0;
        Some(match disposition {
            Disposition::Complete | Disposition::Remove => {
                event.status = OutboxStatus::Completed;
                event.completed_at = Some(now);
                event.error_message = None;
                Self::Delivered {
                    event: Arc::new(event),
                }
            }
            Disposition::Drop => Self::Dropped {
                event: Arc::new(event),
            },
            Disposition::Fail {
                next_attempt_at,
                message,
            } => {
                event.status = OutboxStatus::Failed;
                event.next_attempt_at = next_attempt_at;
                event.error_message = Some(message.clone());
                Self::Failed {
                    event: Arc::new(event),
                    message,
                }
            }
            Disposition::Bury { reason, message } => {
                event.status = OutboxStatus::Dead;
                event.dead_reason = Some(reason);
                event.error_message = Some(message.clone());
                Self::Dead {
                    event: Arc::new(event),
                    reason,
                    message,
                }
            }
            Disposition::Defer {
                next_attempt_at,
                refusal,
            } => {
                put_back(&mut event, next_attempt_at);
                event.deferrals = event.deferrals.saturating_add(1);
                event.deferred_since.get_or_insert(now);
                event.last_refusal = Some(refusal.clone());
                Self::Deferred {
                    event: Arc::new(event),
                    refusal,
                }
            }
            Disposition::Snooze { next_attempt_at } => {
                put_back(&mut event, next_attempt_at);
                event.snoozes = event.snoozes.saturating_add(1);
                Self::Snoozed {
                    event: Arc::new(event),
                }
            }
            Disposition::GiveBack { .. } => return None,
        })
    }
}

/// Shows an event whose attempt does not count.
fn put_back(event: &mut OutboxEvent, next_attempt_at: DateTime<Utc>) {
    event.attempt_count = event.attempt_count.saturating_sub(1);
    event.status = match event.attempt_count {
        0 => OutboxStatus::Pending,
        _ => OutboxStatus::Failed,
    };
    event.next_attempt_at = next_attempt_at;
}
