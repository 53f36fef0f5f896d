//! Candidates behind other events of their lanes, which claims step over.
//!
//! To step over a candidate costs a look at it; to block it, and to unblock it later, costs two
//! updates of its row. While workers of this store hold events, much of what is behind them is
//! claimable as soon as they end. So a claim stops early then: it makes one scan, and blocks only
//! what claims have met several times. If it found nothing, and no event has ended since, the next
//! claim blocks all that it meets and looks further. Until then an empty claim proves nothing, and
//! [`next_due`](outbox_runtime::store::OutboxQueue::next_due) names the end of a short pause.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outbox_runtime::Clock;
use outbox_runtime::store::{ClaimRequest, SystemClock};

use crate::cursor::{MOST_FILTERS, key};

/// How often a candidate is stepped over before it is blocked, which costs about as much.
const MOST_LOOKS: u32 = 8;

/// How many scans a claim makes before it returns what it has: by itself, and while workers of this
/// store hold events.
const MOST_SCANS: usize = 200;
const SCANS_WHILE_HOLDING: usize = 6;

/// The pause after a claim that found nothing because it stopped early.
pub(crate) const PAUSE: Duration = Duration::from_millis(5);

/// The pause after turns that were looked for among candidates behind others, in multiples of their
/// cost.
const PAUSE_OF_TURNS: u32 = 20;

/// How far a claim looks, and what it blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    pub(crate) scans: usize,
    /// Whether it blocks only what was met several times.
    pub(crate) is_long: bool,
}

/// What claims with one filter have met.
#[derive(Debug, Default)]
struct Met {
    /// How often candidates were met behind others, by seq: in a row up to the last claim, and up
    /// to this one.
    before: HashMap<i64, u32>,
    now: HashMap<i64, u32>,
    /// Whether the last claim stopped early.
    has_stopped: bool,
    /// The number of outcomes when a claim stopped early and had found nothing.
    stuck_at: Option<u64>,
}

/// The state of all filters.
#[derive(Debug, Default)]
struct State {
    by_filter: HashMap<u64, Met>,
    /// The number of times that outcomes were recorded.
    outcomes: u64,
    /// The end of the pause before turns are looked for among candidates behind others, on the
    /// steady clock.
    turns_at: Duration,
}

impl State {
    fn of(&mut self, request: &ClaimRequest) -> &mut Met {
        let key = key(request);
        if self.by_filter.len() >= MOST_FILTERS && !self.by_filter.contains_key(&key) {
            self.by_filter.clear();
        }
        self.by_filter.entry(key).or_default()
    }
}

/// What claims of a store have met behind other events.
#[derive(Debug, Default)]
pub(crate) struct Behind(Mutex<State>);

impl Behind {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a claim. `holds`: whether workers of this store hold events.
    pub(crate) fn begin(&self, request: &ClaimRequest, holds: bool) -> Patience {
        let mut state = self.state();
        let outcomes = state.outcomes;
        let met = state.of(request);
        met.before = std::mem::take(&mut met.now);
        let is_stuck = met.stuck_at == Some(outcomes);
        Patience {
            scans: match (holds, is_stuck) {
                (true, false) => 1,
                (true, true) => SCANS_WHILE_HOLDING,
                (false, _) => MOST_SCANS,
            },
            is_long: holds && !is_stuck,
        }
    }

    /// Notes lanes and seqs of candidates that are stepped over. Returns those that were met often.
    pub(crate) fn meet(&self, request: &ClaimRequest, behind: &[(i64, i64)]) -> Vec<(i64, i64)> {
        let mut state = self.state();
        let met = state.of(request);
        let mut often = Vec::new();
        for (lane, seq) in behind {
            let times = met.before.get(seq).map_or(1, |times| times + 1);
            if times >= MOST_LOOKS {
                often.push((*lane, *seq));
            } else {
                met.now.insert(*seq, times);
            }
        }
        often
    }

    /// Notes how a claim ended: whether it stopped early, and whether it had found anything.
    pub(crate) fn end(&self, request: &ClaimRequest, has_stopped: bool, has_found: bool) {
        let mut state = self.state();
        let outcomes = state.outcomes;
        let met = state.of(request);
        met.has_stopped = has_stopped;
        met.stuck_at = (has_stopped && !has_found).then_some(outcomes);
    }

    /// Whether the last claim with this filter stopped early.
    pub(crate) fn has_stopped(&self, request: &ClaimRequest) -> bool {
        let state = self.state();
        let met = state.by_filter.get(&key(request));
        met.is_some_and(|met| met.has_stopped)
    }

    /// Notes recorded outcomes: what was behind these events may be claimable now.
    pub(crate) fn events_ended(&self) {
        self.state().outcomes += 1;
    }

    /// Whether it is time to look for turns among candidates behind others.
    pub(crate) fn may_take_turns(&self) -> bool {
        SystemClock.uptime() >= self.state().turns_at
    }

    /// Notes what such a look cost.
    pub(crate) fn took_turns(&self, cost: Duration) {
        let next = SystemClock.uptime().saturating_add(cost * PAUSE_OF_TURNS);
        self.state().turns_at = next;
    }
}
