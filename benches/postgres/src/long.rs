//! A million events in one go, and minutes of steady load: whether a worker gets slower by what it
//! leaves behind.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use outbox_bench_kit::report::{Baseline, Report, Target, Unit};
use outbox_contest::{Stopwatch, pause};
use outbox_postgres::PostgresStore;
use outbox_runtime::{Processor, Running, enqueue_all};
use tokio::sync::Notify;

use crate::drain::HANDLERS;
use crate::entity::{MoodEntry, mood};
use crate::scale::{Scale, in_words};
use crate::scene::{Content, Scenes, count, open};

/// Deliveries between two marks.
const MARK: usize = 100_000;

/// Least ratio of the whole to the first [`MARK`] deliveries.
const TARGET: Target = Target::AtLeast(0.8);

/// Counts deliveries, and notes when each [`MARK`] of them was reached.
pub(crate) struct Counter {
    watch: Stopwatch,
    mark: usize,
    handled: AtomicUsize,
    marks: Mutex<Vec<Duration>>,
    /// Signals the delivery with this number.
    last: usize,
    is_over: Notify,
}

impl Counter {
    pub(crate) fn new(mark: usize, last: usize) -> Arc<Self> {
        Arc::new(Self {
            watch: Stopwatch::start(),
            mark,
            handled: AtomicUsize::new(0),
            marks: Mutex::default(),
            last,
            is_over: Notify::new(),
        })
    }

    fn count(&self) {
        let handled = self.handled.fetch_add(1, Ordering::Relaxed) + 1;
        if handled.is_multiple_of(self.mark) {
            let marks = self.marks.lock();
            let mut marks = marks.unwrap_or_else(PoisonError::into_inner);
            marks.push(self.watch.elapsed());
        }
        if handled == self.last {
            self.is_over.notify_one();
        }
    }

    pub(crate) fn handled(&self) -> usize {
        self.handled.load(Ordering::Relaxed)
    }

    /// Deliveries a second from one mark to the next.
    fn rates(&self) -> Vec<f64> {
        let marks = self.marks.lock();
        let marks = marks.unwrap_or_else(PoisonError::into_inner);
        let starts = std::iter::once(Duration::ZERO).chain(marks.iter().copied());
        starts
            .zip(marks.iter())
            .map(|(start, end)| self.mark as f64 / (*end - start).as_secs_f64())
            .collect()
    }
}

/// A worker for all users.
pub(crate) fn start(store: &PostgresStore, counter: &Arc<Counter>) -> anyhow::Result<Running> {
    let counter = Arc::clone(counter);
    let processor = Processor::builder(store.clone())
        .handle::<MoodEntry>(move |event| {
            if mood(&event).is_some_and(|mood| mood.is_whole()) {
                counter.count();
            }
            std::future::ready(Ok(()))
        })
        .max_concurrency(HANDLERS)
        .build()?;
    Ok(processor.start_all_users())
}

pub(crate) async fn measure_million(
    scale: &Scale,
    scenes: &Scenes,
    report: &mut Report,
) -> anyhow::Result<()> {
    let rows = scale.rows;
    let mark = MARK.min(rows / 10);
    let template = scenes.outbox_with(Content::pending(rows)).await?;
    let (mut whole, mut first) = (Vec::new(), Vec::new());
    for _ in 0..scale.long_rounds {
        let database = scenes.copy(&template).await?;
        let store = open(&database).await?;
        let counter = Counter::new(mark, rows);
        let running = start(&store, &counter)?;
        counter.is_over.notified().await;
        running.stop().await?;
        whole.push(counter.watch.per_second(rows));
        let rates = counter.rates();
        first.push(rates.first().copied().unwrap_or(f64::NAN));
        let tenths: Vec<String> = rates.iter().map(|rate| format!("{rate:.0}")).collect();
        eprintln!("by parts of {}: {}", in_words(mark), tenths.join(" "));
        anyhow::ensure!(count(&database, true).await? == rows, "events were lost");
        drop(store);
        scenes.drop(database).await?;
    }
    scenes.drop(template).await?;
    let name = format!("its first {}", in_words(mark));
    let baseline = Baseline {
        name: &name,
        samples: &first,
    };
    let what = format!("drain {} in one go", in_words(rows));
    let unit = Unit::EventsPerSecond;
    report.add(what, unit, &whole, Some(baseline), Some(TARGET));
    Ok(())
}

/// Events a second of the steady load, and how they come.
const LOAD: usize = 20_000;
const BATCH: usize = 200;

/// Enqueues at a steady pace while a worker delivers, and compares the deliveries of each minute
/// with those of the first seconds.
pub(crate) async fn measure_steady(
    scale: &Scale,
    scenes: &Scenes,
    report: &mut Report,
) -> anyhow::Result<()> {
    let database = scenes.outbox().await?;
    let store = open(&database).await?;
    let counter = Counter::new(MARK, usize::MAX);
    let running = start(&store, &counter)?;
    let watch = Stopwatch::start();
    let (mut enqueued, mut minutes) = (0, Vec::new());
    let (mut handled_before, mut began) = (0, Duration::ZERO);
    while watch.elapsed() < scale.steady {
        let due = watch.elapsed().as_secs_f64() * LOAD as f64;
        if enqueued as f64 >= due {
            pause(Duration::from_millis(2)).await;
            continue;
        }
        let batch: Vec<MoodEntry> = (enqueued..enqueued + BATCH).map(MoodEntry::new).collect();
        enqueue_all(&batch).on(&store).await?;
        enqueued += BATCH;
        let elapsed = watch.elapsed();
        if elapsed - began >= Duration::from_secs(60) {
            let handled = counter.handled();
            let rate = (handled - handled_before) as f64 / (elapsed - began).as_secs_f64();
            eprintln!("{rate:.0}/s, {} waiting", enqueued - handled);
            minutes.push(rate);
            (handled_before, began) = (handled, elapsed);
        }
    }
    let waiting = enqueued - counter.handled();
    let seconds = watch.elapsed().as_secs_f64();
    running.stop().await?;
    drop(store);
    scenes.drop(database).await?;
    let first = counter.rates().first().copied().unwrap_or(f64::NAN);
    let name = format!("its first {}", in_words(MARK));
    let baseline = Baseline {
        name: &name,
        samples: &vec![first; minutes.len()],
    };
    let what = format!(
        "deliveries in {:.0} minutes at {} enqueued a second; {waiting} waited at the end",
        seconds / 60.0,
        in_words((enqueued as f64 / seconds) as usize),
    );
    let unit = Unit::EventsPerSecond;
    report.add(what, unit, &minutes, Some(baseline), Some(TARGET));
    Ok(())
}
