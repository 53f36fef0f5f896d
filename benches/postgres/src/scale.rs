//! Sizes of a run.

use std::time::Duration;

/// The sizes of a run.
#[derive(Debug, Clone)]
pub(crate) struct Scale {
    /// Number of rounds, in which all sides take turns.
    pub(crate) rounds: usize,
    /// Rounds of measurements that take a minute.
    pub(crate) long_rounds: usize,
    /// The large size: of a backlog, or of the finished rows beside a small one.
    pub(crate) rows: usize,
    /// The small size, for comparison.
    pub(crate) few: usize,
    /// Size of the usual backlog.
    pub(crate) backlog: usize,
    /// Events per round in batches.
    pub(crate) events: usize,
    /// How long producers run in each round.
    pub(crate) time: Duration,
    /// Latency samples per round.
    pub(crate) latencies: usize,
    /// Calls per round whose median is taken, where a call is the unit.
    pub(crate) calls: usize,
    /// How long to watch idle processes.
    pub(crate) idle: Duration,
    /// Length of the steady load.
    pub(crate) steady: Duration,
}

impl Scale {
    pub(crate) fn new(quick: bool, rows: Option<u64>, rounds: Option<u64>, minutes: u64) -> Self {
        let size = |given: Option<u64>, otherwise: usize| {
            given.map_or(otherwise, |given| {
                usize::try_from(given).unwrap_or(otherwise)
            })
        };
        let steady = Duration::from_secs(minutes * 60);
        if quick {
            Self {
                rounds: size(rounds, 3),
                long_rounds: 1,
                rows: size(rows, 100_000),
                few: 10_000,
                backlog: 20_000,
                events: 20_000,
                time: Duration::from_millis(500),
                latencies: 30,
                calls: 15,
                idle: Duration::from_secs(5),
                steady,
            }
        } else {
            let rounds = size(rounds, 5);
            Self {
                rounds,
                long_rounds: rounds.min(3),
                rows: size(rows, 1_000_000),
                few: 10_000,
                backlog: 100_000,
                events: 100_000,
                time: Duration::from_secs(2),
                latencies: 200,
                calls: 40,
                idle: Duration::from_secs(20),
                steady,
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
