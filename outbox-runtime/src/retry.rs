//! The back-off between attempts.

use std::borrow::Cow;
use std::time::Duration;

use uuid::Uuid;

/// The delays between attempts, with optional jitter.
///
/// The delay after the n-th counted failure is `schedule[min(n, len) - 1]`. Jitter lengthens it by
/// up to a fifth, so that events that failed together do not retry together. It never shortens a
/// delay.
///
/// The jitter is computed from the event id and the attempt number (`SplitMix64`, Steele, Lea and
/// Flood, OOPSLA 2014), so it is deterministic for each attempt.
///
/// # Default
///
/// 1, 5, 30, 120 and 600 seconds, with jitter.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::RetryPolicy;
/// use uuid::Uuid;
///
/// let policy = RetryPolicy::default().without_jitter();
/// assert_eq!(policy.delay(1, Uuid::nil()), Duration::from_secs(1));
/// assert_eq!(policy.delay(5, Uuid::nil()), Duration::from_secs(600));
/// assert_eq!(policy.delay(9, Uuid::nil()), Duration::from_secs(600));
/// ```
///
/// A schedule of its own, with jitter:
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::RetryPolicy;
/// use uuid::Uuid;
///
/// const PATIENT: RetryPolicy =
///     RetryPolicy::from_static(&[Duration::from_secs(60), Duration::from_secs(3600)]);
/// assert_eq!(PATIENT, RetryPolicy::new(PATIENT.schedule()));
///
/// let delay = PATIENT.delay(1, Uuid::now_v7()); // 60 s and at most a fifth more
/// assert!(delay >= Duration::from_secs(60) && delay <= Duration::from_secs(72));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    schedule: Cow<'static, [Duration]>,
    jitter: bool,
}

/// The default delays.
const DEFAULT_SCHEDULE: &[Duration] = &[
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
];

/// The maximum jitter, as a fraction of the delay.
const MAX_JITTER: f64 = 0.2;

impl RetryPolicy {
    /// Creates a policy with this schedule and jitter.
    ///
    /// An empty schedule retries immediately.
    #[must_use]
    pub fn new(schedule: impl Into<Vec<Duration>>) -> Self {
        Self {
            schedule: Cow::Owned(schedule.into()),
            jitter: true,
        }
    }

    /// Creates a policy with a static schedule and jitter; usable in constants.
    #[must_use]
    pub const fn from_static(schedule: &'static [Duration]) -> Self {
        Self {
            schedule: Cow::Borrowed(schedule),
            jitter: true,
        }
    }

    /// Disables jitter, so that delays are exact.
    #[must_use]
    pub fn without_jitter(mut self) -> Self {
        self.jitter = false;
        self
    }

    /// The delay after counted failure number `failures` (from 1) of the event `id`.
    #[must_use]
    pub fn delay(&self, failures: u32, id: Uuid) -> Duration {
        let place = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
        let last = self.schedule.len().saturating_sub(1);
        let Some(base) = self.schedule.get(place.min(last)).copied() else {
            return Duration::ZERO;
        };
        if self.jitter {
            base.saturating_add(base.mul_f64(MAX_JITTER * fraction(id, failures)))
        } else {
            base
        }
    }

    /// The delays, in order.
    #[must_use]
    pub fn schedule(&self) -> &[Duration] {
        &self.schedule
    }

    /// Replaces the schedule and keeps the jitter setting.
    pub(crate) fn with_schedule(&self, schedule: &'static [Duration]) -> Self {
        Self {
            schedule: Cow::Borrowed(schedule),
            jitter: self.jitter,
        }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::from_static(DEFAULT_SCHEDULE)
    }
}

/// A number in `0.0..1.0` that depends only on the event and the attempt.
fn fraction(id: Uuid, attempt: u32) -> f64 {
    let (high, low) = id.as_u64_pair();
    let word =
        mix(high ^ low.rotate_left(32) ^ u64::from(attempt).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    // 53 bits exactly fill the mantissa of an `f64`.
    (word >> 11) as f64 / (1_u64 << 53) as f64
}

/// Mixes the bits of a word (the finalizer of `SplitMix64`).
#[must_use]
pub fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}
