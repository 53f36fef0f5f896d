//! Whose page is made next: few at a time, and with rests in between, so that a crowd of visitors
//! leaves the application its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outbox_runtime::Clock as _;
use outbox_runtime::store::SystemClock;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The time of a page that counts for the rest after it: on a busy machine a page takes long without
/// working for long.
const WORK: Duration = Duration::from_millis(100);
/// The waiting visitors that count: a crowd gets a thirty-third of the time of a place.
const CROWD: u32 = 32;
/// How long a visitor waits at most.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A number of places for work of one kind.
#[derive(Debug)]
pub(crate) struct Turns {
    places: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

/// A place for one piece of work. After it, done or given up, the place rests for as long as that
/// has taken, times the number of visitors that wait: one visitor alone never waits for a rest.
#[derive(Debug)]
#[must_use = "the place is free as soon as the turn is dropped"]
pub(crate) struct Turn {
    place: Option<OwnedSemaphorePermit>,
    began: Duration,
    waiting: Arc<AtomicUsize>,
}

impl Turns {
    pub(crate) fn new(places: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            waiting: Arc::default(),
        }
    }

    /// Waits for a place, in the order of the calls. `None`: there is none in time.
    pub(crate) async fn take(&self) -> Option<Turn> {
        let _waits = Waits::new(&self.waiting);
        let place = Arc::clone(&self.places).acquire_owned();
        tokio::select! {
            biased;
            // Never closed.
            place = place => Some(Turn {
                place: Some(place.ok()?),
                began: SystemClock.uptime(),
                waiting: Arc::clone(&self.waiting),
            }),
            () = SystemClock.sleep(PATIENCE) => None,
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let took = SystemClock.uptime().saturating_sub(self.began);
        let rest = rest(took, self.waiting.load(Ordering::Relaxed));
        let place = self.place.take();
        // Without a runtime, nobody waits for the place.
        if let (false, Ok(runtime)) = (rest.is_zero(), Handle::try_current()) {
            runtime.spawn(async move {
                SystemClock.sleep(rest).await;
                drop(place);
            });
        }
    }
}

fn rest(took: Duration, waiting: usize) -> Duration {
    let waiting = u32::try_from(waiting).unwrap_or(CROWD).min(CROWD);
    took.min(WORK) * waiting
}

/// Counts a visitor until it has a place or has gone.
struct Waits<'t>(&'t AtomicUsize);

impl<'t> Waits<'t> {
    fn new(waiting: &'t AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_waits_and_a_visitor_alone_does_not() {
        let page = Duration::from_millis(2);
        assert_eq!(rest(page, 0), Duration::ZERO);
        assert_eq!(rest(page, 3), page * 3);
        assert_eq!(rest(page, 1_000), page * CROWD);
        assert_eq!(rest(page * 1_000, 1_000), WORK * CROWD);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gets_no_place_in_time_is_told_and_no_longer_counted() {
        let turns = Turns::new(1);
        let first = turns.take().await.expect("a place is free");
        assert!(turns.take().await.is_none());
        assert_eq!(turns.waiting.load(Ordering::Relaxed), 0);
        drop(first);
        assert!(turns.take().await.is_some());
    }
}
