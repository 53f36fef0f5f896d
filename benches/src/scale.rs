//! Sizes of a run.

use std::time::Duration;

/// The sizes of a run.
#[derive(Debug, Clone)]
pub(crate) struct Scale {
    /// Number of rounds, in which floor and store alternate.
    pub(crate) rounds: usize,
    /// The large size: of a backlog, or of the finished rows beside a small one.
    pub(crate) rows: usize,
    /// The small size, for comparison.
    pub(crate) few: usize,
    /// Sizes of the drained backlogs.
    pub(crate) backlogs: Vec<usize>,
    /// Events per round with many producers or batches.
    pub(crate) events: usize,
    /// Events per round that are committed one by one.
    pub(crate) single_events: usize,
    /// Latency samples per round.
    pub(crate) latencies: usize,
    /// Turns per round where each event is a commit. Turns are short because other disk load
    /// varies.
    pub(crate) turns: usize,
    /// Calls per round whose median is taken, where a call is the unit.
    pub(crate) calls: usize,
    /// Events of one batch whose memory is measured.
    pub(crate) batch: usize,
    /// Users to whom events are delivered while memory is measured.
    pub(crate) users: usize,
    /// How long to watch an idle processor.
    pub(crate) idle: Duration,
}

impl Scale {
    pub(crate) fn new(quick: bool, rows: Option<u64>, rounds: Option<u64>) -> Self {
        let size = |given: Option<u64>, otherwise: usize| {
            given.map_or(otherwise, |given| {
                usize::try_from(given).unwrap_or(otherwise)
            })
        };
        let few = 10_000;
        if quick {
            Self {
                rounds: size(rounds, 3),
                rows: size(rows, 100_000),
                few,
                backlogs: vec![few],
                events: 10_000,
                single_events: 100,
                latencies: 100,
                turns: 5,
                calls: 11,
                batch: 10_000,
                users: 1_000,
                idle: Duration::from_secs(2),
            }
        } else {
            let rows = size(rows, 1_000_000);
            let mut backlogs = vec![few, 100_000, 400_000.min(rows), rows];
            backlogs.sort_unstable();
            backlogs.dedup();
            Self {
                rounds: size(rounds, 5),
                rows,
                few,
                backlogs,
                events: 40_000,
                single_events: 250,
                latencies: 500,
                turns: 8,
                calls: 31,
                batch: 100_000,
                users: 10_000,
                idle: Duration::from_secs(10),
            }
        }
    }
}

/// `10000` as `10 thousand`.
pub(crate) fn in_words(count: usize) -> String {
    match count {
        n if n >= 1_000_000 && n % 1_000_000 == 0 => format!("{} million", n / 1_000_000),
        n if n >= 1_000 && n % 1_000 == 0 => format!("{} thousand", n / 1_000),
        n => n.to_string(),
    }
}
