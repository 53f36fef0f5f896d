//! Time, asked and slept in one place.
//!
//! Everything that needs the time asks a [`Clock`]; a test gives the store a manual one
//! and moves it by hand, so that a retry schedule is checked to the millisecond without waiting.

use std::future::Future;
use std::pin::Pin;
#[cfg(feature = "sqlite")]
use std::sync::Arc;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

/// A future that resolves when a [`Clock`] has reached an instant.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where the outbox gets its time from.
///
/// A store owns the clock (its builder takes one) and a processor uses that of its store, so that
/// a due time is always compared with the clock that wrote it.
///
/// # Writing one
///
/// `now` may go backwards, as the wall clock does. `sleep_until` must resolve once `now` has reached
/// the deadline, also when the clock jumped over it, and must resolve at once for a deadline in the past. It may resolve
/// earlier where the clock was set back meanwhile. A clock that can be set besides going on by itself gives its own
/// `uptime` and `sleep`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a clock",
    label = "neither tells the time nor waits for it",
    note = "use `SystemClock`, or `outbox_testing::ManualClock` in tests, by value; a clock of your own implements `outbox_runtime::Clock`"
)]
pub trait Clock: std::fmt::Debug + Send + Sync + 'static {
    /// The current time, to the microsecond (what the stores keep).
    fn now(&self) -> DateTime<Utc>;

    /// Resolves when [`now`](Clock::now) has reached `deadline`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future forgets the wait and nothing else.
    fn sleep_until(&self, deadline: DateTime<Utc>) -> Sleep;

    /// How much time has passed since some moment; setting the clock does not change it. What a live process holds under
    /// a lease is judged by it. Default: what [`now`](Clock::now) tells.
    fn uptime(&self) -> Duration {
        // Since the earliest time that can be told, so that it passes before 1970 too.
        let since = self.now() - DateTime::<Utc>::MIN_UTC;
        since.to_std().unwrap_or_default()
    }

    /// Resolves when `duration` has passed, whatever the clock was set to meanwhile. Default: sleeps until `now` has
    /// advanced by it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future forgets the wait and nothing else.
    fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(after(self.now(), duration))
    }
}

/// The machine's own clock; the default of every store.
///
/// In a tokio runtime whose time is paused, as by `#[tokio::test(start_paused = true)]`, it tells that time, which jumps ahead whenever
/// all tasks wait. A store must be made there for it: one that was opened before the pause goes by the machine's time.
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

/// The longest single sleep. A laptop that was suspended does not count the suspended time on the
/// monotonic clock that timers use, so a long wait looks at the wall clock now and then.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one place that asks for the time"
    )]
    fn now(&self) -> DateTime<Utc> {
        if !tokio_is_off() {
            return to_micros(Utc::now());
        }
        let (began, begin) = *BEGIN;
        let passed = |later: Instant, earlier: Instant| {
            TimeDelta::from_std(later.saturating_duration_since(earlier)).unwrap_or(TimeDelta::MAX)
        };
        let told = tokio::time::Instant::now().into_std();
        to_micros(shifted(began, passed(told, begin) - passed(begin, told)))
    }

    /// A clock that is set back does not prolong the sleep.
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
        now.saturating_duration_since(begin)
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(pause(duration))
    }
}

/// One moment by both clocks, from which uptime is told.
#[allow(
    clippy::disallowed_methods,
    reason = "this is the one place that asks for the time"
)]
static BEGIN: LazyLock<(DateTime<Utc>, Instant)> = LazyLock::new(|| (Utc::now(), Instant::now()));

/// Whether the time of the tokio runtime around is another than that of the machine, as it is or was paused.
#[allow(
    clippy::disallowed_methods,
    reason = "this is the one place that asks for the time"
)]
fn tokio_is_off() -> bool {
    let before = Instant::now();
    let told = tokio::time::Instant::now().into_std();
    !(before..=Instant::now()).contains(&told)
}

/// The clock of a store that is made here: that of the machine, unless the time of the tokio runtime around is paused.
#[cfg(feature = "sqlite")]
pub(crate) fn of_this_runtime() -> Arc<dyn Clock> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) if tokio_is_off() => Arc::new(RuntimeClock(runtime)),
        _ => Arc::new(SystemClock),
    }
}

/// The time of a tokio runtime, for threads that are not in it.
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

/// Waits for the answer of a thread; `None` where it ended without one.
///
/// Paused time jumps ahead as soon as all tasks wait. For a thread that works for one of them it has to stand still.
#[cfg(feature = "sqlite")]
pub(crate) async fn awaited<T: Send + 'static>(
    answer: tokio::sync::oneshot::Receiver<T>,
) -> Option<T> {
    if tokio::runtime::Handle::try_current().is_err() || !tokio_is_off() {
        return answer.await.ok();
    }
    let answer = tokio::task::spawn_blocking(move || answer.blocking_recv());
    answer.await.ok()?.ok()
}

/// Waits on the machine's timer, whatever clock the store was given.
///
/// For waiting on the world outside the program (another process that writes to the file), which
/// no manual clock moves.
#[allow(
    clippy::disallowed_methods,
    reason = "this is the one place that sleeps"
)]
pub async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// What durations are measured with, whatever clock the store was given: no manual clock tells how quick a handler is.
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

/// Whether `at`, a time of the file system, is less than `span` ago on the machine's clock, or ahead of it by less.
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

/// `time` plus `duration`, or the latest time that can be told where that overflows. It is the first whole microsecond that is
/// not earlier: whoever waits for it has waited for the duration.
#[must_use]
pub fn after(time: DateTime<Utc>, duration: Duration) -> DateTime<Utc> {
    let after = TimeDelta::from_std(duration)
        .ok()
        .and_then(|delta| time.checked_add_signed(delta));
    up_to_micros(after.unwrap_or(DateTime::<Utc>::MAX_UTC))
}

/// `time` minus `duration`, to the microsecond, or the earliest time that can be told where that overflows.
#[must_use]
pub fn before(time: DateTime<Utc>, duration: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(duration)
        .ok()
        .and_then(|delta| time.checked_sub_signed(delta))
        .map_or(DateTime::<Utc>::MIN_UTC, to_micros)
}

/// `time` plus `delta`, which may be negative, or the farthest time that can be told where that overflows.
#[must_use]
pub fn shifted(time: DateTime<Utc>, delta: TimeDelta) -> DateTime<Utc> {
    let farthest = if delta < TimeDelta::zero() {
        DateTime::<Utc>::MIN_UTC
    } else {
        DateTime::<Utc>::MAX_UTC
    };
    time.checked_add_signed(delta).unwrap_or(farthest)
}

/// Cut to whole microseconds, so that a time is the same before and after it was stored.
#[must_use]
pub fn to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time)
}

/// Moved up to the next whole microsecond where it is none, so that a clock that tells microseconds reaches it.
#[must_use]
pub fn up_to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    let cut = to_micros(time);
    if cut == time {
        return cut;
    }
    // Beyond the last microsecond that can be told nothing is reached.
    cut.checked_add_signed(TimeDelta::microseconds(1))
        .unwrap_or(cut)
}
