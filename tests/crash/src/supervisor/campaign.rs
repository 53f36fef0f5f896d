//! A campaign: workers on one file are killed at random moments, over and over; then everything must be there.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use fastrand::Rng;

use super::{Arena, Worker, wait, was_killed};
use crate::ledger::{self, Record};
use crate::plan::{Then, Work};
use crate::task::Task;
use crate::verdict::{Circumstances, Verdict};

/// How a campaign is led.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many workers are killed.
    pub kills: u32,
    /// What the moments come from.
    pub seed: u64,
    /// How many work at once; one of them is killed at a time.
    pub workers: u32,
    /// A worker is killed at some moment up to so long after its start.
    pub longest: Duration,
    /// How many events a worker enqueues in its life.
    pub burst: u32,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    settings: Settings,
    /// Workers that were killed while they were at it.
    pub kills: u32,
    /// Workers that were killed before the store was open.
    pub before_open: u32,
    /// What the checker says.
    pub verdict: Verdict,
    took: Duration,
}

impl Settings {
    /// One worker at a time.
    #[must_use]
    pub fn one_worker(kills: u32, seed: u64) -> Self {
        Self {
            kills,
            seed,
            workers: 1,
            longest: Duration::from_millis(110),
            burst: 60,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}: {} kills of {} at a time, {} of them before the store was open, in {:.1} s: {}",
            self.settings.seed,
            self.kills,
            self.settings.workers,
            self.before_open,
            self.took.as_secs_f32(),
            self.verdict
        )
    }
}

/// Leads one, drains what it left, and compares.
#[must_use]
pub fn run(settings: &Settings) -> Report {
    let arena = Arena::new();
    let (report, took) = wait::timed(|| run_in(&arena, settings));
    Report { took, ..report }
}

fn run_in(arena: &Arena, settings: &Settings) -> Report {
    let mut random = Rng::with_seed(settings.seed);
    let mut progress = Progress::default();
    let mut workers: Vec<Worker> = (0..settings.workers)
        .map(|producer| start(arena, settings, producer, &mut progress, &mut random))
        .collect();
    let mut kills = 0;
    while kills < settings.kills {
        let longest = u64::try_from(settings.longest.as_micros()).unwrap_or(u64::MAX);
        wait::pause(Duration::from_micros(random.u64(0..longest)));
        let producer = random.u32(0..settings.workers);
        let place = usize::try_from(producer).expect("there are few");
        let killed = workers.remove(place).kill();
        assert!(was_killed(killed), "it was at work, not {killed}");
        kills += 1;
        let next = start(arena, settings, producer, &mut progress, &mut random);
        workers.insert(place, next);
    }
    for worker in workers {
        worker.kill();
        kills += 1;
    }
    arena.drain();
    let opened = arena.count(|record| matches!(record, Record::Opened { .. }));
    let opened = u32::try_from(opened).expect("there are few");
    Report {
        settings: settings.clone(),
        kills,
        // The one that drained has opened it, too.
        before_open: (kills + 1).saturating_sub(opened),
        verdict: arena.judge(Circumstances {
            deaths: kills,
            cleaned_up: false,
        }),
        took: Duration::ZERO,
    }
}

/// How far each producer has come, as the ledger tells.
#[derive(Debug, Default)]
struct Progress {
    read: u64,
    /// The last number of each, and whether somebody was told what became of it.
    last: HashMap<u32, (u32, bool)>,
}

impl Progress {
    /// The number that a producer goes on with: its last one if `again` and nobody was told what became of it.
    fn next(&mut self, arena: &Arena, producer: u32, again: bool) -> u32 {
        for record in ledger::read_from(&arena.ledger(), &mut self.read) {
            match record {
                Record::Intended { event, number, .. } => {
                    let (producer, _) = Task::made_by(event);
                    self.last.insert(producer, (number, false));
                }
                Record::Acknowledged { event } => {
                    let (producer, number) = Task::made_by(event);
                    self.last.insert(producer, (number, true));
                }
                _ => {}
            }
        }
        match self.last.get(&producer) {
            None => 0,
            Some((number, false)) if again => *number,
            Some((number, _)) => number + 1,
        }
    }
}

fn start(
    arena: &Arena,
    settings: &Settings,
    producer: u32,
    progress: &mut Progress,
    random: &mut Rng,
) -> Worker {
    let first = progress.next(arena, producer, random.bool());
    arena.start(&arena.plan(Work::Mix {
        producer,
        first,
        count: settings.burst,
        then: Then::Serve,
    }))
}
