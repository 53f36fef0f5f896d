//! A value of the store that is read once for all who ask for it at the same time.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outbox_runtime::store::SystemClock;
use outbox_runtime::{Clock, StoreError, StoreErrorKind};
use tokio::sync::watch;

/// A value is as good as a new one for this time.
const RECENT: Duration = Duration::from_millis(250);
/// One that took long to read is kept for longer, so that reads take a tenth of the time.
const SHARE: u32 = 10;
/// But not longer than this.
const LONGEST: Duration = Duration::from_secs(10);

/// The value that was read last, and the read under way.
#[derive(Debug)]
pub(crate) struct Shared<T> {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State<T>>>,
}

#[derive(Debug)]
struct State<T> {
    known: Option<Known<T>>,
    reading: Option<Reading<T>>,
    /// The reads so far.
    reads: u64,
}

/// A value, and when it was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Known<T> {
    pub(crate) value: T,
    at: Duration,
    /// The time that the read took.
    took: Duration,
}

/// A read under way, in a task of its own: nobody who stops waiting ends it for the others.
#[derive(Debug, Clone)]
struct Reading<T> {
    number: u64,
    /// When it began, on the steady clock of the system.
    began: Duration,
    end: watch::Receiver<End<T>>,
}

/// `None` until the read has ended.
type End<T> = Option<Result<Known<T>, StoreError>>;

impl<T> Known<T> {
    /// The time since the value was asked for.
    pub(crate) fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.at)
    }

    fn is_recent(&self, now: Duration) -> bool {
        let kept = RECENT.max(self.took.saturating_mul(SHARE).min(LONGEST));
        self.age(now) < kept
    }
}

impl<T: Clone + Send + Sync + 'static> Shared<T> {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let state = State {
            known: None,
            reading: None,
            reads: 0,
        };
        Self {
            clock,
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A recent value, or that of a read which ends now.
    ///
    /// # Errors
    ///
    /// The errors of the read.
    pub(crate) async fn recent<F>(&self, read: impl FnOnce() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        match self.known(true) {
            Some(known) => Ok(known.value),
            None => self.fresh(read).await,
        }
    }

    /// The value of a read which ends now.
    ///
    /// # Errors
    ///
    /// The errors of the read.
    pub(crate) async fn fresh<F>(&self, read: impl FnOnce() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let reading = self.reading(read);
        ended(reading.end).await.map(|known| known.value)
    }

    /// A recent value, or that of a read which ends within this time from its beginning, or else
    /// the last one, whatever its age; `None` if there is none yet.
    ///
    /// # Errors
    ///
    /// The errors of the read.
    pub(crate) async fn soon<F>(
        &self,
        patience: Duration,
        read: impl FnOnce() -> F,
    ) -> Result<Option<Known<T>>, StoreError>
    where
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        if let Some(known) = self.known(true) {
            return Ok(Some(known));
        }
        let Reading { began, end, .. } = self.reading(read);
        let left = (began + patience).saturating_sub(SystemClock.uptime());
        tokio::select! {
            biased;
            known = ended(end) => known.map(Some),
            () = SystemClock.sleep(left) => Ok(self.known(false)),
        }
    }

    /// The value that was read last, whenever that was.
    pub(crate) fn last(&self) -> Option<T> {
        self.known(false).map(|known| known.value)
    }

    /// Leaves out what was read, and what is being read: it has changed.
    pub(crate) fn forget(&self) {
        let mut state = self.lock();
        state.known = None;
        state.reading = None;
    }

    fn known(&self, is_recent: bool) -> Option<Known<T>> {
        let now = self.clock.uptime();
        let known = self.lock().known.clone();
        known.filter(|known| !is_recent || known.is_recent(now))
    }

    /// The read under way, or one that begins.
    fn reading<F>(&self, read: impl FnOnce() -> F) -> Reading<T>
    where
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let mut state = self.lock();
        if let Some(reading) = &state.reading {
            return reading.clone();
        }
        let (sender, end) = watch::channel(None);
        state.reads += 1;
        let reading = Reading {
            number: state.reads,
            began: SystemClock.uptime(),
            end,
        };
        state.reading = Some(reading.clone());
        drop(state);
        let at = self.clock.uptime();
        let (number, began) = (reading.number, reading.began);
        let read = read();
        let state = Arc::clone(&self.state);
        tokio::spawn(async move {
            let under_way = UnderWay { state, number };
            let read = read.await;
            let took = SystemClock.uptime().saturating_sub(began);
            let read = read.map(|value| Known { value, at, took });
            under_way.end(read.as_ref().ok());
            // Nobody may be waiting any more.
            let _ = sender.send(Some(read));
        });
        reading
    }
}

/// A read that is no longer under way once this is dropped, even if it panics.
struct UnderWay<T> {
    state: Arc<Mutex<State<T>>>,
    number: u64,
}

impl<T: Clone> UnderWay<T> {
    /// Keeps what was read, unless it was left out meanwhile.
    fn end(&self, known: Option<&Known<T>>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_reading(self.number) && known.is_some() {
            state.known = known.cloned();
        }
    }
}

impl<T> State<T> {
    fn is_reading(&self, number: u64) -> bool {
        let reading = self.reading.as_ref();
        reading.is_some_and(|reading| reading.number == number)
    }
}

impl<T> Drop for UnderWay<T> {
    fn drop(&mut self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_reading(self.number) {
            state.reading = None;
        }
    }
}

/// Waits for the end of a read.
async fn ended<T: Clone>(mut end: watch::Receiver<End<T>>) -> Result<Known<T>, StoreError> {
    let ended = end.wait_for(Option::is_some).await;
    let ended = ended.ok().and_then(|end| end.clone());
    ended.unwrap_or_else(|| {
        let text = "the read was given up";
        Err(StoreError::new(StoreErrorKind::Unavailable, "read", text))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use outbox_testing::ManualClock;
    use tokio::sync::Semaphore;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(20);

    /// A source whose reads wait for permits, and count.
    struct Source {
        permits: Arc<Semaphore>,
        reads: Arc<AtomicUsize>,
    }

    impl Source {
        fn new(permits: usize) -> Self {
            Self {
                permits: Arc::new(Semaphore::new(permits)),
                reads: Arc::default(),
            }
        }

        fn read(&self) -> impl Future<Output = Result<usize, StoreError>> + Send + use<> {
            let (permits, reads) = (Arc::clone(&self.permits), Arc::clone(&self.reads));
            async move {
                permits.acquire().await.unwrap().forget();
                Ok(reads.fetch_add(1, Ordering::SeqCst) + 1)
            }
        }
    }

    fn panics() -> StoreError {
        panic!("a read that panics")
    }

    fn shared() -> (Shared<usize>, ManualClock) {
        let clock = ManualClock::new();
        (Shared::new(Arc::new(clock.clone())), clock)
    }

    #[tokio::test]
    async fn all_who_ask_at_once_share_one_read() {
        let (shared, clock) = shared();
        let source = Source::new(usize::MAX >> 4);
        let asked = (0..1_000).map(|_| shared.recent(|| source.read()));
        for value in futures_util::future::join_all(asked).await {
            assert_eq!(value.unwrap(), 1);
        }
        clock.advance(RECENT - Duration::from_nanos(1));
        assert_eq!(shared.recent(|| source.read()).await.unwrap(), 1);
        clock.advance(LONGEST);
        assert_eq!(shared.recent(|| source.read()).await.unwrap(), 2);
        assert_eq!(shared.fresh(|| source.read()).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn nobody_waits_long_for_a_slow_read_and_its_value_is_kept() {
        let (shared, clock) = shared();
        let source = Source::new(0);
        let none = shared.soon(PATIENCE, || source.read()).await.unwrap();
        assert!(none.is_none(), "{none:?}");
        source.permits.add_permits(1);
        assert_eq!(shared.recent(|| source.read()).await.unwrap(), 1);
        clock.advance(LONGEST);
        // The old one, as another read is slow as well.
        let old = shared.soon(PATIENCE, || source.read()).await.unwrap();
        let old = old.unwrap();
        assert_eq!((old.value, old.age(clock.uptime())), (1, LONGEST));
        source.permits.add_permits(1);
        let new = shared.fresh(|| source.read()).await.unwrap();
        assert_eq!(new, 2, "the read that began before has ended");
    }

    #[tokio::test]
    async fn a_read_that_began_before_a_change_is_not_kept() {
        let (shared, _) = shared();
        let source = Source::new(0);
        let none = shared.soon(PATIENCE, || source.read()).await.unwrap();
        assert!(none.is_none(), "{none:?}");
        shared.forget();
        source.permits.add_permits(2);
        let first = shared.recent(|| source.read()).await.unwrap();
        let second = shared.recent(|| source.read()).await.unwrap();
        assert_eq!(first, second, "the second read is kept, and no other");
        assert_eq!(source.reads.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn an_error_goes_to_all_who_wait_and_is_not_kept() {
        let (shared, _) = shared();
        let failing = || async {
            let kind = StoreErrorKind::Unavailable;
            Err::<usize, _>(StoreError::new(kind, "statistics", "locked"))
        };
        let asked = (0..3).map(|_| shared.recent(failing));
        for failed in futures_util::future::join_all(asked).await {
            assert!(failed.unwrap_err().to_string().contains("locked"));
        }
        let panicking = || async { Err::<usize, _>(panics()) };
        assert!(shared.recent(panicking).await.is_err());
        let source = Source::new(1);
        assert_eq!(shared.recent(|| source.read()).await.unwrap(), 1);
    }
}
