//! The clock: the only module that reads the time or sleeps.
//!
//! All code takes the time from a [`Clock`]. A test gives the store a manual clock and advances it,
//! which checks a retry schedule to the millisecond without waiting.

use std::future::Future;
use std::pin::Pin;
#[cfg(feature = "sqlite")]
use std::sync::Arc;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};

/// A future that resolves when a [`Clock`] reaches an instant.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The source of time for a store and the processors on it.
///
/// A store owns its clock (the builder accepts one) and a processor uses its store's clock, so a
/// due time is always compared with the clock that wrote it.
///
/// # Implementing
///
/// `now` may go backward, like the wall clock. `sleep_until` must resolve once `now` reaches the
/// deadline, even if the clock jumps over it, and must resolve immediately for a deadline in the
/// past. It may resolve early if the clock is set back during the sleep. A clock that both advances
/// on its own and can be set must override `uptime` and `sleep`.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use chrono::{DateTime, TimeDelta, Utc};
/// use outbox_runtime::store::{Sleep, SystemClock};
/// use outbox_runtime::{Clock, MemoryStore};
///
/// /// The time of the service, which the app has measured once.
/// #[derive(Debug)]
/// struct Corrected(TimeDelta);
///
/// impl Clock for Corrected {
///     fn now(&self) -> DateTime<Utc> {
///         SystemClock.now() + self.0
///     }
///
///     fn sleep_until(&self, deadline: DateTime<Utc>) -> Sleep {
///         SystemClock.sleep_until(deadline - self.0)
///     }
///
///     fn uptime(&self) -> Duration {
///         SystemClock.uptime()
///     }
///
///     fn sleep(&self, duration: Duration) -> Sleep {
///         SystemClock.sleep(duration)
///     }
/// }
///
/// let store = MemoryStore::with_clock(Corrected(TimeDelta::minutes(-3)));
/// # drop(store);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a clock",
    label = "`Clock` is not implemented for this type",
    note = "pass a clock by value: `SystemClock`, `outbox_testing::ManualClock` in tests, or your own implementation of `outbox_runtime::Clock`"
)]
pub trait Clock: std::fmt::Debug + Send + Sync + 'static {
    /// The current time in whole microseconds, the precision that stores keep.
    fn now(&self) -> DateTime<Utc>;

    /// Resolves when [`now`](Clock::now) reaches `deadline`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the wait and has no other effect.
    fn sleep_until(&self, deadline: DateTime<Utc>) -> Sleep;

    /// The time elapsed since a fixed instant, unaffected by setting the clock. A run measures its
    /// own leases with it. Default: derived from [`now`](Clock::now).
    fn uptime(&self) -> Duration {
        // Measured from the earliest representable time, so that it also advances before 1970.
        let since = self.now() - DateTime::<Utc>::MIN_UTC;
        since.to_std().unwrap_or_default()
    }

    /// Resolves when `duration` has elapsed, even if the clock is set in the meantime. Default:
    /// sleeps until `now` has advanced by `duration`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the wait and has no other effect.
    fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(after(self.now(), duration))
    }
}

/// The system clock, the default of every store.
///
/// In a tokio runtime with paused time (such as `#[tokio::test(start_paused = true)]`) it follows
/// the runtime's time, which jumps ahead whenever all tasks are waiting. Open the store inside that
/// runtime, after the pause: a store that was opened earlier follows the system time.
///
/// # Examples
///
/// ```
/// use outbox_runtime::Clock;
/// use outbox_runtime::store::SystemClock;
///
/// assert!(SystemClock.now() <= SystemClock.now());
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// The longest single sleep. Timers use the monotonic clock, which does not advance while a laptop
/// is suspended, so a long wait checks the wall clock periodically.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        if !runtime_time_differs() {
            return now_in_micros();
        }
        let (began, begin) = *BEGIN;
        let passed = |later: Instant, earlier: Instant| {
            TimeDelta::from_std(later.saturating_duration_since(earlier)).unwrap_or(TimeDelta::MAX)
        };
        let told = tokio::time::Instant::now().into_std();
        to_micros(shifted(began, passed(told, begin) - passed(begin, told)))
    }

    /// Setting the clock back does not prolong the sleep.
    fn sleep_until(&self, deadline: DateTime<Utc>) -> Sleep {
        Box::pin(async move {
            let left = |now: DateTime<Utc>| (deadline - now).to_std().unwrap_or_default();
            let wakes_at = SystemClock.uptime() + left(SystemClock.now());
            loop {
                let steady = wakes_at.saturating_sub(SystemClock.uptime());
                let left = left(SystemClock.now()).min(steady);
                if left.is_zero() {
                    break;
                }
                pause(left.min(LONGEST_SLEEP)).await;
            }
        })
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one place that asks for the time"
    )]
    fn uptime(&self) -> Duration {
        let (_, begin) = *BEGIN;
        let now = tokio::time::Instant::now().into_std();
        let since = HEAD_START.saturating_add(now.saturating_duration_since(begin));
        since.saturating_sub(begin.saturating_duration_since(now))
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(pause(duration))
    }
}

/// The uptime at [`BEGIN`]. A runtime whose time was paused before that instant is behind it, and
/// its uptime must advance from there: at zero it would stand still until the runtime's time has
/// caught up. No process pauses its time for this long before it first asks.
const HEAD_START: Duration = Duration::from_secs(365 * 24 * 3_600);

/// The same instant on both clocks, at the first question in this process.
#[allow(
    clippy::disallowed_methods,
    reason = "this is the one place that asks for the time"
)]
static BEGIN: LazyLock<(DateTime<Utc>, Instant)> = LazyLock::new(|| (Utc::now(), Instant::now()));

/// Whether the current tokio runtime's time differs from the system's, because it is or was paused.
#[allow(
    clippy::disallowed_methods,
    reason = "this is the one place that asks for the time"
)]
fn runtime_time_differs() -> bool {
    let before = Instant::now();
    let told = tokio::time::Instant::now().into_std();
    !(before..=Instant::now()).contains(&told)
}

/// The clock for a store opened here: the system's, unless the current tokio runtime's time is
/// paused.
#[cfg(feature = "sqlite")]
pub(crate) fn of_this_runtime() -> Arc<dyn Clock> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) if runtime_time_differs() => Arc::new(RuntimeClock(runtime)),
        _ => Arc::new(SystemClock),
    }
}

/// A tokio runtime's time, for threads outside that runtime.
#[cfg(feature = "sqlite")]
#[derive(Debug)]
struct RuntimeClock(tokio::runtime::Handle);

#[cfg(feature = "sqlite")]
impl Clock for RuntimeClock {
    fn now(&self) -> DateTime<Utc> {
        let _entered = self.0.enter();
        SystemClock.now()
    }

    fn sleep_until(&self, deadline: DateTime<Utc>) -> Sleep {
        SystemClock.sleep_until(deadline)
    }

    fn uptime(&self) -> Duration {
        let _entered = self.0.enter();
        SystemClock.uptime()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        SystemClock.sleep(duration)
    }
}

/// Waits for a thread's reply; `None` if the thread ended without one.
#[cfg(feature = "sqlite")]
pub(crate) async fn awaited<T>(answer: tokio::sync::oneshot::Receiver<T>) -> Option<T> {
    let _still = hold_paused_time();
    answer.await.ok()
}

/// Keeps paused time where it is until the returned value is dropped.
///
/// Paused time jumps ahead as soon as all tasks are waiting. It must stand still while a thread
/// works on behalf of a task; tokio does not advance it while a blocking task runs.
#[cfg(feature = "sqlite")]
fn hold_paused_time() -> Option<tokio::sync::oneshot::Sender<()>> {
    if tokio::runtime::Handle::try_current().is_err() || !runtime_time_differs() {
        return None;
    }
    let (held, released) = tokio::sync::oneshot::channel();
    tokio::task::spawn_blocking(move || released.blocking_recv());
    Some(held)
}

/// Sleeps on the system timer, whichever clock the store has.
///
/// For waiting on something outside the program (such as another process that writes to the file),
/// which a manual clock does not control.
#[allow(
    clippy::disallowed_methods,
    reason = "this is the one place that sleeps"
)]
pub async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Measures elapsed time, such as how long a handler takes, on the system's monotonic clock rather
/// than the store's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(std::time::Instant);

impl Stopwatch {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one place that asks for the time"
    )]
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Whether `at`, a file system timestamp, is within `span` of the system time, before or after it.
#[allow(
    clippy::disallowed_methods,
    reason = "this is the one place that asks for the time"
)]
#[cfg(feature = "sqlite")]
pub(crate) fn is_recent(at: std::time::SystemTime, span: Duration) -> bool {
    let now = std::time::SystemTime::now();
    let distance = now.duration_since(at);
    distance.unwrap_or_else(|ahead| ahead.duration()) < span
}

/// `time` plus `duration`, saturating at the latest representable time. Rounds up to a whole
/// microsecond, so a wait until the result lasts at least `duration`.
#[must_use]
pub fn after(time: DateTime<Utc>, duration: Duration) -> DateTime<Utc> {
    let after = TimeDelta::from_std(duration)
        .ok()
        .and_then(|delta| time.checked_add_signed(delta));
    up_to_micros(after.unwrap_or(DateTime::<Utc>::MAX_UTC))
}

/// `time` minus `duration`, truncated to a microsecond, saturating at the earliest representable
/// time.
#[must_use]
pub fn before(time: DateTime<Utc>, duration: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(duration)
        .ok()
        .and_then(|delta| time.checked_sub_signed(delta))
        .map_or(DateTime::<Utc>::MIN_UTC, to_micros)
}

/// `time` plus `delta`, which may be negative, saturating at the limits of the representable range.
#[must_use]
pub fn shifted(time: DateTime<Utc>, delta: TimeDelta) -> DateTime<Utc> {
    let farthest = if delta < TimeDelta::zero() {
        DateTime::<Utc>::MIN_UTC
    } else {
        DateTime::<Utc>::MAX_UTC
    };
    time.checked_add_signed(delta).unwrap_or(farthest)
}

/// The system time in whole microseconds, converted once: an event asks for the time several times.
#[allow(
    clippy::disallowed_methods,
    reason = "this is the one place that asks for the time"
)]
fn now_in_micros() -> DateTime<Utc> {
    let micros = |duration: Duration| i64::try_from(duration.as_micros()).ok();
    let micros = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => micros(since),
        Err(before) => micros(before.duration()).map(|before| -before),
    };
    let now = micros.and_then(DateTime::from_timestamp_micros);
    now.unwrap_or_else(|| to_micros(Utc::now()))
}

/// Truncates to whole microseconds, so that a time is equal before and after being stored.
#[must_use]
pub fn to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time)
}

/// Rounds up to a whole microsecond, so that a clock with microsecond precision reaches the time.
#[must_use]
pub fn up_to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    let cut = to_micros(time);
    if cut == time {
        return cut;
    }
    // Saturates at the last representable microsecond.
    cut.checked_add_signed(TimeDelta::microseconds(1))
        .unwrap_or(cut)
}
