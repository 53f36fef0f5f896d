//! A campaign: kills workers on one file at random moments, again and again, and then checks that
//! nothing is missing.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use fastrand::Rng;

use super::{Arena, Worker, wait, was_killed};
use crate::ledger::{self, Record};
use crate::plan::{Then, Work};
use crate::task::Task;
use crate::verdict::{Circumstances, Verdict};

/// Settings of a campaign.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Number of workers to kill.
    pub kills: u32,
    /// Seed of the random moments.
    pub seed: u64,
    /// Number of concurrent workers; one of them is killed at a time.
    pub workers: u32,
    /// A worker is killed at a random moment up to this long after its start.
    pub longest: Duration,
    /// Number of events that a worker enqueues.
    pub burst: u32,
}

/// Result of a campaign.
#[derive(Debug)]
pub struct Report {
    settings: Settings,
    /// Workers that were killed at work.
    pub kills: u32,
    /// Workers that were killed before the store was open.
    pub before_open: u32,
    /// The checker's verdict.
    pub verdict: Verdict,
    took: Duration,
}

impl Settings {
    /// Settings for one worker at a time.
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

/// Runs a campaign, drains the rest, and compares.
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
        let place = usize::try_from(producer).expect("the number is small");
        let killed = workers.remove(place).kill();
        assert!(
            was_killed(killed),
            "the worker exited before its kill: {killed}"
        );
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
    let opened = u32::try_from(opened).expect("the number is small");
    Report {
        settings: settings.clone(),
        kills,
        // The draining worker has opened the store too.
        before_open: (kills + 1).saturating_sub(opened),
        verdict: arena.judge(Circumstances {
            deaths: kills,
            cleaned_up: false,
        }),
        took: Duration::ZERO,
    }
}

/// Progress of each producer, according to the ledger.
#[derive(Debug, Default)]
struct Progress {
    read: u64,
    /// Last number of each producer, and whether the ledger has its outcome.
    last: HashMap<u32, (u32, bool)>,
}

impl Progress {
    /// The number that a producer continues with: its last one if `again` is set and the ledger has
    /// no outcome.
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
