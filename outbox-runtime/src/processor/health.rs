//! Health: whether a run does its work, and its troubles if it does not.

use chrono::{DateTime, Utc};

use crate::error::StoreErrorKind;
use crate::event::RefusalClass;
use crate::outage::{Outage, OutageExtent};

/// The health of a run, as returned by [`Running::health`](super::Running::health).
///
/// # Examples
///
/// ```
/// # use outbox_runtime::{prelude::*, Health, HandlerSet, MemoryStore, Processor};
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "moodEntry")]
/// # struct MoodEntry {
/// #     #[outbox(entity_id)] id: i64,
/// #     #[outbox(user_id)] user_id: String,
/// #     #[outbox(metadata)] valence: f64,
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let processor = Processor::builder(MemoryStore::new())
/// #     .handle::<MoodEntry>(|_| async { Ok(()) })
/// #     .build()?;
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
/// assert!(running.health().is_healthy());
/// running.stop().await?;
/// assert_eq!(running.health(), Health::Ended { error: None });
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// The run knows of no trouble.
    Healthy,
    /// The run continues, with trouble that concerns more than single events.
    Degraded {
        /// The troubles, in the order in which they began. Never empty.
        troubles: Vec<Trouble>,
    },
    /// The run is [suspended](super::Running::suspend).
    Suspended,
    /// The run has ended and delivers nothing.
    Ended {
        /// The reason; `None` if the run was stopped and recorded everything.
        error: Option<String>,
    },
}

/// One trouble of a run.
///
/// # Examples
///
/// ```
/// use outbox_runtime::{Trouble, TroubleKind};
///
/// fn line(trouble: &Trouble) -> String {
///     let what = match &trouble.kind {
///         TroubleKind::Store(kind) => format!("the store fails ({kind:?})"),
///         TroubleKind::Outage { extent, .. } => format!("nothing gets through: {extent}"),
///         other => format!("{other:?}"),
///     };
///     format!("{what} since {}, {} times: {}", trouble.since, trouble.times, trouble.last_error)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trouble {
    /// The kind of trouble.
    pub kind: TroubleKind,
    /// When it was first met. A success in between starts it over.
    pub since: DateTime<Utc>,
    /// How often it was met since then.
    pub times: u64,
    /// The text of the last error.
    pub last_error: String,
    /// When the run tries again by itself, if known.
    pub retry_at: Option<DateTime<Utc>>,
}

/// The kinds of trouble that a run can have.
///
/// # Examples
///
/// ```
/// use outbox_runtime::{StoreErrorKind, TroubleKind};
///
/// /// Whether somebody must act: an outage of the service ends without our help.
/// fn is_ours(kind: &TroubleKind) -> bool {
///     matches!(kind, TroubleKind::Store(_))
/// }
///
/// assert!(is_ours(&TroubleKind::Store(StoreErrorKind::StorageFull)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TroubleKind {
    /// The store fails: nothing is claimed, and outcomes wait to be recorded.
    Store(StoreErrorKind),
    /// No event gets through, and the run probes with one event at a time ([`Outage`]). `times`
    /// counts the refused attempts; `retry_at` is the time of the next probe.
    Outage {
        /// The part of the work that is down.
        extent: OutageExtent,
        /// The class of the last refusal.
        class: RefusalClass,
    },
}

impl Health {
    /// Whether the run knows of no trouble.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        *self == Self::Healthy
    }

    /// The troubles. Empty unless [`Degraded`](Self::Degraded).
    #[must_use]
    pub fn troubles(&self) -> &[Trouble] {
        match self {
            Self::Degraded { troubles } => troubles,
            _ => &[],
        }
    }

    /// Adds a trouble, or counts it once more if one of its kind is there.
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

    /// Replaces the outages among the troubles.
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

    /// Removes the troubles of the kinds that `which` picks.
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
    /// A trouble that is met for the first time.
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
