//! Health: whether a run does its work, and what is wrong where it does not.

use chrono::{DateTime, Utc};

use crate::error::StoreErrorKind;
use crate::event::RefusalClass;
use crate::outage::{Outage, OutageExtent};

/// Whether a run does its work: [`Running::health`](super::Running::health).
///
/// # Examples
///
/// ```
/// # use outbox_runtime::{prelude::*, Health, HandlerSet, MemoryStore, Processor};
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "moodEntry")]
/// # struct MoodEntry { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] valence: f64 }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let processor = Processor::builder(MemoryStore::new()).handle::<MoodEntry>(|_| async { Ok(()) }).build()?;
/// let running = processor.start("user-1");
/// match running.health() {
///     Health::Healthy => {}
///     Health::Degraded { troubles } => {
///         for trouble in troubles {
///             println!("since {}: {}", trouble.since, trouble.last_error);
///         }
///     }
///     other => println!("{other:?}"),
/// }
/// running.stop().await?;
/// assert_eq!(running.health(), Health::Ended { error: None });
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// The run knows of nothing that is wrong.
    Healthy,
    /// The run goes on, and something is wrong that concerns more than single events.
    Degraded {
        /// What, in the order in which it began. Never empty.
        troubles: Vec<Trouble>,
    },
    /// The run is [suspended](super::Running::suspend).
    Suspended,
    /// The run has ended and delivers nothing any more.
    Ended {
        /// Why, unless it was stopped and has recorded everything.
        error: Option<String>,
    },
}

/// One thing that is wrong with a run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trouble {
    /// What is wrong.
    pub kind: TroubleKind,
    /// When it was first met. Successes in between begin it anew.
    pub since: DateTime<Utc>,
    /// How often it was met since.
    pub times: u64,
    /// The text of the last error.
    pub last_error: String,
    /// When the run tries again by itself, where that is known.
    pub retry_at: Option<DateTime<Utc>>,
}

/// What can be wrong with a run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TroubleKind {
    /// The store fails: nothing is claimed, and outcomes wait to be recorded.
    Store(StoreErrorKind),
    /// Nobody gets through, and one event at a time is tried ([`Outage`]). `times` is how many attempts
    /// were refused, `retry_at` when the next one is made.
    Outage {
        /// How much is down.
        extent: OutageExtent,
        /// What the last refusal was.
        class: RefusalClass,
    },
}

impl Health {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        *self == Self::Healthy
    }

    /// What is wrong. Empty unless [`Degraded`](Self::Degraded).
    #[must_use]
    pub fn troubles(&self) -> &[Trouble] {
        match self {
            Self::Degraded { troubles } => troubles,
            _ => &[],
        }
    }

    /// Notes that something is wrong, or still is.
    pub(super) fn add(&mut self, trouble: Trouble) {
        let mut troubles = self.take_troubles();
        let is_same = |known: &&mut Trouble| {
            std::mem::discriminant(&known.kind) == std::mem::discriminant(&trouble.kind)
        };
        match troubles.iter_mut().find(is_same) {
            Some(known) => {
                *known = Trouble {
                    since: known.since,
                    times: known.times.saturating_add(1),
                    ..trouble
                };
            }
            None => troubles.push(trouble),
        }
        *self = Self::Degraded { troubles };
    }

    /// These are the outages of now.
    pub(super) fn set_outages(&mut self, outages: &[Outage]) {
        self.clear(|kind| matches!(kind, TroubleKind::Outage { .. }));
        if outages.is_empty() {
            return;
        }
        let mut troubles = self.take_troubles();
        troubles.extend(outages.iter().map(|outage| Trouble {
            kind: TroubleKind::Outage {
                extent: outage.extent.clone(),
                class: outage.class,
            },
            since: outage.since,
            times: outage.refusals.into(),
            last_error: outage.last_error.clone(),
            retry_at: Some(outage.probe_at),
        }));
        troubles.sort_by_key(|trouble| trouble.since);
        *self = Self::Degraded { troubles };
    }

    /// Notes that something is not wrong any more.
    pub(super) fn clear(&mut self, which: impl Fn(&TroubleKind) -> bool) {
        let mut troubles = self.take_troubles();
        troubles.retain(|trouble| !which(&trouble.kind));
        *self = if troubles.is_empty() {
            Self::Healthy
        } else {
            Self::Degraded { troubles }
        };
    }

    fn take_troubles(&mut self) -> Vec<Trouble> {
        match self {
            Self::Degraded { troubles } => std::mem::take(troubles),
            _ => Vec::new(),
        }
    }
}

impl Trouble {
    /// Met for the first time.
    pub(super) fn new(
        kind: TroubleKind,
        now: DateTime<Utc>,
        last_error: String,
        retry_at: Option<DateTime<Utc>>,
    ) -> Self {
        Self {
            kind,
            since: now,
            times: 1,
            last_error,
            retry_at,
        }
    }
}
