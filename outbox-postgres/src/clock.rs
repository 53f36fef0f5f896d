//! The clock of a store: the server's.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use outbox_runtime::Clock;
use outbox_runtime::store::{Sleep, SystemClock};

/// How long a measurement of the server's time is used while statements are running.
const FRESH: Duration = Duration::from_secs(10);

/// The longest single sleep, after which the time is looked at again.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// The time of the server, as the last statement that asked for it told it, advanced by this
/// machine's steady time since. The wall clock of this machine plays no part: it may be hours off
/// and may be set at any moment.
#[derive(Debug, Default)]
pub(crate) struct ServerClock {
    told: Mutex<Option<Told>>,
}

/// A measurement.
#[derive(Debug, Clone, Copy)]
struct Told {
    server: DateTime<Utc>,
    /// The steady time of this machine at that moment.
    uptime: Duration,
    /// Its wall clock, which shows a suspension that the steady time does not count.
    wall: DateTime<Utc>,
}

impl ServerClock {
    fn told(&self) -> Option<Told> {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the next statement should ask for the time again.
    pub(crate) fn is_stale(&self) -> bool {
        self.told().is_none_or(|told| {
            let steady = SystemClock.uptime().saturating_sub(told.uptime);
            let wall = (SystemClock.now() - told.wall).to_std().unwrap_or_default();
            steady > FRESH || wall.abs_diff(steady) > Duration::from_secs(1)
        })
    }

    /// Takes a measurement that was asked for at the steady time `asked_at`. The answer was made in
    /// between; the middle is off by half the round trip at most.
    pub(crate) fn set(&self, server: DateTime<Utc>, asked_at: Duration) {
        let uptime = SystemClock.uptime();
        let since = uptime.saturating_sub(asked_at) / 2;
        let told = Told {
            server: server + TimeDelta::from_std(since).unwrap_or_default(),
            uptime,
            wall: SystemClock.now(),
        };
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
    }
}

/// A clock that can be shared with the store that sets it.
#[derive(Debug, Clone)]
pub(crate) struct Shared(pub(crate) std::sync::Arc<ServerClock>);

impl Clock for Shared {
    fn now(&self) -> DateTime<Utc> {
        let Some(told) = self.0.told() else {
            return SystemClock.now();
        };
        let since = SystemClock.uptime().saturating_sub(told.uptime);
        let now = told.server + TimeDelta::from_std(since).unwrap_or_default();
        DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
    }

    fn sleep_until(&self, deadline: DateTime<Utc>) -> Sleep {
        let clock = self.clone();
        Box::pin(async move {
            loop {
                let left = (deadline - clock.now()).to_std().unwrap_or_default();
                if left.is_zero() {
                    break;
                }
                SystemClock.sleep(left.min(LONGEST_SLEEP)).await;
            }
        })
    }

    fn uptime(&self) -> Duration {
        SystemClock.uptime()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        SystemClock.sleep(duration)
    }
}
