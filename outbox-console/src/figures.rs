//! The parts of pages that are the same for all visitors: each is read once for all of them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use outbox_operate::{Newest, Outbox, examine, held, newest, unhandled};
use outbox_runtime::store::{CheckDepth, Finding, StoreProcess, SystemClock};
use outbox_runtime::{
    Breakdown, Clock, EventFilter, OutboxStatistics, OutboxStatus, Paused, StoreError,
};

use crate::pace::{Pace, Rate};
use crate::shared::Shared;
use crate::stores::Store;

/// A page without the counts is better than a page that comes late.
const PATIENCE: Duration = Duration::from_millis(50);
/// The undelivered and dead events that are counted by type and user: the oldest.
const SAMPLE: usize = 5_000;
/// The dead letters that are grouped: the newest.
const LETTERS: usize = 2_000;
/// No further look at dead letters begins after this time.
const LOOKS: Duration = Duration::from_millis(40);

/// The figures that were read last, for all visitors.
#[derive(Debug)]
pub(crate) struct Figures {
    clock: Arc<dyn Clock>,
    pace: Arc<Pace>,
    counts: Shared<(OutboxStatistics, Option<Rate>)>,
    /// A page was made without counts since the last look.
    is_awaited: AtomicBool,
    pauses: Shared<Arc<Vec<Paused>>>,
    processes: Shared<Arc<Vec<StoreProcess>>>,
    breakdown: Shared<Arc<Breakdown>>,
    event_types: Shared<Arc<Vec<String>>>,
    findings: Shared<Arc<Vec<Finding>>>,
    letters: Shared<Arc<Newest>>,
}

/// The counts, if they were made in time.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) statistics: OutboxStatistics,
    /// The rate of deliveries, by these and earlier counts.
    pub(crate) rate: Option<Rate>,
    /// The time since they were asked for.
    pub(crate) age: Duration,
}

impl Figures {
    pub(crate) fn new(clock: &Arc<dyn Clock>) -> Self {
        let clock = || Arc::clone(clock);
        Self {
            clock: clock(),
            pace: Arc::default(),
            counts: Shared::new(clock()),
            is_awaited: AtomicBool::new(false),
            pauses: Shared::new(clock()),
            processes: Shared::new(clock()),
            breakdown: Shared::new(clock()),
            event_types: Shared::new(clock()),
            findings: Shared::new(clock()),
            letters: Shared::new(clock()),
        }
    }

    /// Leaves out all that was read: a visitor has changed something.
    pub(crate) fn forget(&self) {
        self.counts.forget();
        self.pauses.forget();
        self.outdate();
    }

    /// Leaves out all that is not part of a [`look`](Self::look), which has seen a change.
    pub(crate) fn outdate(&self) {
        self.processes.forget();
        self.breakdown.forget();
        self.event_types.forget();
        self.findings.forget();
        self.letters.forget();
    }

    /// Counts by state. `None`: they are being made, for the first time. Then the next look is a
    /// change for the page.
    pub(crate) async fn counts(&self, store: &Store) -> Result<Option<Counts>, StoreError> {
        let mut known = self.counts.soon(PATIENCE, self.count(store)).await?;
        if known.is_none() {
            self.is_awaited.store(true, Ordering::SeqCst);
            // A look may have ended just before.
            known = self.counts.soon(Duration::ZERO, self.count(store)).await?;
        }
        let now = self.clock.uptime();
        Ok(known.map(|known| Counts {
            age: known.age(now),
            statistics: known.value.0,
            rate: known.value.1,
        }))
    }

    /// Counts by state, and the pauses, as they are now.
    pub(crate) async fn look(
        &self,
        store: &Store,
    ) -> Result<(OutboxStatistics, Arc<Vec<Paused>>), StoreError> {
        let (statistics, _) = self.counts.fresh(self.count(store)).await?;
        Ok((statistics, self.pauses.fresh(pauses(store)).await?))
    }

    /// Whether a page was made without counts before the last look, which is told once.
    pub(crate) fn was_awaited(&self) -> bool {
        self.is_awaited.swap(false, Ordering::SeqCst)
    }

    /// The last known values of a [`look`](Self::look), whenever they were read.
    pub(crate) fn last(&self) -> Option<(OutboxStatistics, Arc<Vec<Paused>>)> {
        let (statistics, _) = self.counts.last()?;
        Some((statistics, self.pauses.last()?))
    }

    fn count(
        &self,
        store: &Store,
    ) -> impl FnOnce() -> Reading<(OutboxStatistics, Option<Rate>)> + use<> {
        let (store, pace) = (Arc::clone(store), Arc::clone(&self.pace));
        move || {
            Box::pin(async move {
                let statistics = store.statistics(None).await?;
                let now = SystemClock.uptime();
                Ok((statistics, pace.look(now, statistics.completed_total)))
            })
        }
    }

    pub(crate) async fn pauses(&self, store: &Store) -> Result<Arc<Vec<Paused>>, StoreError> {
        self.pauses.recent(pauses(store)).await
    }

    pub(crate) async fn processes(
        &self,
        store: &Store,
    ) -> Result<Arc<Vec<StoreProcess>>, StoreError> {
        let store = Arc::clone(store);
        let read = move || async move { store.processes().await.map(Arc::new) };
        self.processes.recent(read).await
    }

    /// Counts by type and user.
    pub(crate) async fn breakdown(&self, store: &Store) -> Result<Arc<Breakdown>, StoreError> {
        let store = Arc::clone(store);
        let read = move || async move { store.breakdown(None, SAMPLE).await.map(Arc::new) };
        self.breakdown.recent(read).await
    }

    /// The types of the events that wait.
    pub(crate) async fn event_types(&self, store: &Store) -> Result<Arc<Vec<String>>, StoreError> {
        let store = Arc::clone(store);
        let read = move || async move { store.event_types().await.map(Arc::new) };
        self.event_types.recent(read).await
    }

    /// The findings of a quick check, and types that nobody handles or that are held.
    pub(crate) async fn findings(
        &self,
        store: &Store,
        outbox: &Outbox,
    ) -> Result<Arc<Vec<Finding>>, StoreError> {
        let (store, outbox) = (Arc::clone(store), outbox.clone());
        let read = move || async move {
            let mut findings = examine(&*store, &outbox, CheckDepth::Quick).await?;
            findings.extend(unhandled(&*store).await?);
            findings.extend(held(&*store).await?);
            Ok(Arc::new(findings))
        };
        self.findings.recent(read).await
    }

    /// The newest dead letters.
    pub(crate) async fn letters(&self, store: &Store) -> Result<Arc<Newest>, StoreError> {
        let store = Arc::clone(store);
        let read = move || async move { older_letters(&store, None).await.map(Arc::new) };
        self.letters.recent(read).await
    }
}

/// The newest dead letters of those up to a `seq`.
pub(crate) async fn older_letters(store: &Store, from: Option<i64>) -> Result<Newest, StoreError> {
    let mut filter = EventFilter::default();
    filter.statuses = vec![OutboxStatus::Dead];
    let began = SystemClock.uptime();
    let go_on = || SystemClock.uptime().saturating_sub(began) < LOOKS;
    newest(&**store, &filter, from, LETTERS, go_on).await
}

type Reading<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

fn pauses(store: &Store) -> impl FnOnce() -> Reading<Arc<Vec<Paused>>> + use<> {
    let store = Arc::clone(store);
    move || Box::pin(async move { store.paused().await.map(Arc::new) })
}
