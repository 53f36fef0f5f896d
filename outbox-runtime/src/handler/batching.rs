//! The bounds of a batch: how many events, how many bytes, and how long it waits for more.

use std::time::Duration;

/// How the events of a type are put together for a batch handler: at most
/// [`max_events`](Self::max_events) with [`max_bytes`](Self::max_bytes) of metadata, gathered for
/// at most [`wait`](Self::wait).
///
/// A batch has events of one type, one user and one destination, and at most one of each lane, so
/// that none of them overtakes another. It takes what is claimable at once; if that does not fill
/// it, it waits for more.
///
/// The guide: `docs/guide/batches.md`.
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
}
