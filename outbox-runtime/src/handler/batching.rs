//! The bounds of a batch: how many events, how many bytes, how long it waits for more, and whether
//! it has several events of a lane.

use std::time::Duration;

use crate::entity::EntityOptions;

/// How the events of a type are put together for a batch handler: at most
/// [`max_events`](Self::max_events) with [`max_bytes`](Self::max_bytes) of metadata, gathered for
/// at most [`wait`](Self::wait).
///
/// A batch has events of one type, one user and one destination. Of each lane it has at most one,
/// so that none of them overtakes another, unless it [keeps their order](Self::in_order). It takes
/// what is claimable at once; if that does not fill it, it waits for more.
///
/// The guide: [batches](https://docs.rs/outbox-guide/latest/outbox_guide/batches/).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::Batching;
///
/// const HOURLY: Batching = Batching::of(100).within(Duration::from_secs(2));
/// assert_eq!(HOURLY.max_events(), 100);
/// assert_eq!(HOURLY.max_bytes(), 1024 * 1024);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Batching {
    max_events: usize,
    max_bytes: usize,
    wait: Duration,
    order: BatchOrder,
}

/// Which events of a lane come in one batch, for [`Batching::in_order`].
///
/// # Examples
///
/// ```
/// use outbox_runtime::{BatchOrder, Batching};
///
/// assert_eq!(Batching::of(100).order(), BatchOrder::First);
/// assert_eq!(BatchOrder::default(), BatchOrder::First);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum BatchOrder {
    /// Only the first one. The next follows in a later batch, once this one is delivered.
    #[default]
    First,
    /// All that are due, in their order. An event that fails holds back the later ones of its lane.
    Keep,
}

impl Batching {
    /// The largest [`max_events`](Self::max_events): 10,000.
    pub const MOST_EVENTS: usize = 10_000;

    /// The longest [`wait`](Self::wait): 60 s. The events of a batch that waits are claimed, so
    /// that no other worker delivers them and no newer change folds into them.
    pub const LONGEST_WAIT: Duration = Duration::from_secs(60);

    /// Batches of at most this many events, from 1 to [`MOST_EVENTS`](Self::MOST_EVENTS), which do
    /// not wait for more.
    pub const fn of(max_events: usize) -> Self {
        Self {
            max_events,
            max_bytes: 1024 * 1024,
            wait: Duration::ZERO,
            order: BatchOrder::First,
        }
    }

    /// Sets how long a batch that is not full waits for more events, at most
    /// [`LONGEST_WAIT`](Self::LONGEST_WAIT). Default: zero.
    ///
    /// A batch waits for less if as many others wait as the processor has
    /// [places](crate::ProcessorBuilder::max_concurrency), and not at all while the service is
    /// probed after a refusal. [`trigger`](crate::Running::trigger) and
    /// [`flush`](crate::Running::flush) send every batch at once.
    pub const fn within(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Sets the maximum size of the metadata of all events together, in bytes, at least 1. An event
    /// that is larger is a batch of its own. Default: 1 MiB.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::Batching;
    ///
    /// const SMALL: Batching = Batching::of(100).up_to_bytes(64 * 1024);
    /// assert_eq!(SMALL.max_bytes(), 65_536);
    /// ```
    pub const fn up_to_bytes(mut self, max_bytes: usize) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Sets which events of a lane come in one batch. Default: [`BatchOrder::First`].
    ///
    /// With [`BatchOrder::Keep`] a batch has the events of a lane in the order in which they were
    /// enqueued, and a failure holds back what follows: the later events of the lane in that batch
    /// come again behind the failed one, without a counted attempt, whatever the handler answered
    /// for them. The service then sees again what it had accepted of them, in order, so it must
    /// know each [idempotency key](crate::Event::idempotency_key) again.
    ///
    /// A store that [cannot lease](crate::store::OutboxQueue::can_follow) several events of a lane
    /// makes batches as with `First`. The stores of this library can.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use outbox_runtime::{BatchOrder, Batching};
    ///
    /// const EDITS: Batching = Batching::of(100)
    ///     .within(Duration::from_secs(2))
    ///     .in_order(BatchOrder::Keep);
    /// assert_eq!(EDITS.order(), BatchOrder::Keep);
    /// ```
    pub const fn in_order(mut self, order: BatchOrder) -> Self {
        self.order = order;
        self
    }

    /// The maximum number of events.
    #[must_use]
    pub const fn max_events(&self) -> usize {
        self.max_events
    }

    /// The maximum size of the metadata, in bytes.
    #[must_use]
    pub const fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// How long a batch that is not full waits for more events.
    #[must_use]
    pub const fn wait(&self) -> Duration {
        self.wait
    }

    /// Which events of a lane come in one batch.
    #[must_use]
    pub const fn order(&self) -> BatchOrder {
        self.order
    }

    pub(crate) fn keeps_order(&self) -> bool {
        self.order == BatchOrder::Keep
    }

    /// The first rule that the bounds violate, if any.
    pub(crate) const fn fault(&self) -> Option<&'static str> {
        if self.max_events == 0 {
            return Some("a batch needs at least 1 event");
        }
        if self.max_events > Self::MOST_EVENTS {
            return Some("a batch has at most 10,000 events");
        }
        if self.max_bytes == 0 {
            return Some("a batch needs at least 1 byte");
        }
        if self.wait.as_nanos() > Self::LONGEST_WAIT.as_nanos() {
            return Some("a batch waits for at most 60 s");
        }
        None
    }

    /// The first rule that batches of an entity with these options violate, if any.
    pub(crate) const fn fault_of(&self, options: &EntityOptions) -> Option<&'static str> {
        match options.expires_after() {
            Some(lives) if self.wait.as_nanos() >= lives.as_nanos() => Some(
                "`within` must be shorter than `expires_after` of the entity, whose events would expire while their batch waits for more",
            ),
            _ => None,
        }
    }
}
