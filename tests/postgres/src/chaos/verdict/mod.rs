//! The verdict: compares what was recorded with the final content of the database.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use uuid::Uuid;

use super::ledger::Record;
use super::rows::{Rows, folds, is_of_transactions};

mod deliveries; // the order of deliveries, and repetitions

#[cfg(test)]
mod tests;

/// What a run may have done.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// Duration of a lease, in milliseconds.
    pub lease: u64,
}

/// The result.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// Number of acknowledged events.
    pub acknowledged: usize,
    /// Number of events that were delivered.
    pub delivered: usize,
    /// Acknowledged, but neither in the database nor carried by an event that is.
    pub lost: Vec<Uuid>,
    /// In the database and completed, but no worker delivered it.
    pub undelivered: Vec<Uuid>,
    /// Delivered again although the store had acknowledged the delivery.
    pub doubles: Vec<Uuid>,
    /// Delivered or in the database, but never enqueued.
    pub unexpected: Vec<Uuid>,
    /// Not completed at the end.
    pub stuck: Vec<String>,
    /// Deliveries that were repeated because no outcome was acknowledged, which is allowed.
    pub repeats: usize,
    /// Attempts that began after their lease had been taken over: the worker stood still in
    /// between. They are fenced, and do not count for order.
    pub late: usize,
    /// Outcomes and renewals that the store refused, because the lease was lost.
    pub fenced: usize,
    /// Workers that were killed while they held leases, and those that were frozen so.
    pub struck: usize,
    /// All other violations, such as a wrong order.
    pub problems: Vec<String>,
}

impl Verdict {
    /// Whether every promise was kept.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.violations() == 0
    }

    /// Events whose records tell more about violations.
    #[must_use]
    pub fn suspects(&self) -> Vec<Uuid> {
        let named = |problem: &String| problem.split(' ').next()?.parse().ok();
        let of_problems = self.problems.iter().filter_map(named);
        self.doubles.iter().copied().chain(of_problems).collect()
    }

    /// The number of violations.
    #[must_use]
    pub fn violations(&self) -> usize {
        self.lost.len()
            + self.undelivered.len()
            + self.doubles.len()
            + self.unexpected.len()
            + self.stuck.len()
            + self.problems.len()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} acknowledged, {} delivered, {} lost, {} undelivered, {} doubled, {} unexpected, \
             {} stuck, {} problems; {} repeated without an acknowledged outcome, {} late, \
             {} leases lost to others",
            self.acknowledged,
            self.delivered,
            self.lost.len(),
            self.undelivered.len(),
            self.doubles.len(),
            self.unexpected.len(),
            self.stuck.len(),
            self.problems.len(),
            self.repeats,
            self.late,
            self.fenced,
        )?;
        let events = [
            ("lost", &self.lost),
            ("undelivered", &self.undelivered),
            ("doubled", &self.doubles),
            ("unexpected", &self.unexpected),
        ];
        for (name, events) in events {
            for event in events.iter().take(5) {
                write!(f, "\n  {name}: {event}")?;
            }
        }
        for problem in self.stuck.iter().chain(&self.problems).take(20) {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

/// Compares, after everything is delivered.
#[must_use]
pub fn judge(records: &[Record], rows: &Rows, circumstances: Circumstances) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.compare_sets(records, rows);
    verdict.check_atomicity(rows);
    verdict.check_deliveries(records, rows, circumstances);
    verdict.count_strikes(records);
    verdict
}

impl Verdict {
    fn compare_sets(&mut self, records: &[Record], rows: &Rows) {
        let (mut intended, mut acknowledged) = (HashSet::new(), HashSet::new());
        let (mut started, mut delivered) = (HashSet::new(), HashSet::new());
        for record in records {
            match record {
                Record::Intended { event } => drop(intended.insert(*event)),
                Record::Acknowledged { event } => drop(acknowledged.insert(*event)),
                Record::Started { event, .. } => drop(started.insert(*event)),
                Record::Answered {
                    event, ok: true, ..
                } => drop(delivered.insert(*event)),
                Record::Fenced { .. } => self.fenced += 1,
                _ => {}
            }
        }
        let events = rows.events();
        self.acknowledged = acknowledged.len();
        self.delivered = delivered.len();
        let gone = acknowledged
            .iter()
            .filter(|event| !rows.has(&events, **event));
        self.lost = gone.copied().collect();
        let strange = events
            .union(&started)
            .filter(|event| !intended.contains(event));
        self.unexpected = strange.copied().collect();
        let silent = |event: &&Uuid| !delivered.contains(event) && !rows.open.contains_key(event);
        self.undelivered = events.iter().filter(silent).copied().collect();
        self.stuck = rows
            .open
            .iter()
            .map(|(event, row)| format!("{event} is stuck: {row}"))
            .collect();
    }

    /// An event exists if and only if the transaction committed that enqueued it, and events are in
    /// the order of these commits.
    fn check_atomicity(&mut self, rows: &Rows) {
        let events = rows.events();
        let journal: HashSet<Uuid> = rows.journal.iter().map(|(event, ..)| *event).collect();
        for event in journal.iter().filter(|event| !rows.has(&events, **event)) {
            self.problems
                .push(format!("{event}: a change without its event"));
        }
        for (lane, events) in rows
            .lanes
            .iter()
            .filter(|(lane, _)| is_of_transactions(**lane))
        {
            for event in events.iter().filter(|event| !journal.contains(event)) {
                self.problems.push(format!(
                    "{event} of lane {lane}: an event without its change"
                ));
            }
        }
        for (lane, committed) in rows.committed() {
            let there = rows.lanes.get(&lane).cloned().unwrap_or_default();
            let with_rows: Vec<Uuid> = committed
                .into_iter()
                .filter(|event| events.contains(event))
                .collect();
            if with_rows != there && !folds(lane) {
                self.problems.push(format!(
                    "lane {lane}: the events are not in the order of commits"
                ));
            }
        }
    }

    /// Counts the workers that were killed or frozen while they held leases.
    fn count_strikes(&mut self, records: &[Record]) {
        let mut held: HashMap<u32, HashSet<Uuid>> = HashMap::new();
        for record in records {
            match record {
                Record::Claimed {
                    events, process, ..
                } => held.entry(*process).or_default().extend(events),
                Record::Settled { event, process } | Record::Fenced { event, process } => {
                    held.entry(*process).or_default().remove(event);
                }
                // Given back or failed: what is not acknowledged may be held still.
                Record::Answered {
                    event,
                    ok: false,
                    process,
                } => drop(held.entry(*process).or_default().remove(event)),
                Record::Killed { process }
                | Record::Frozen {
                    process,
                    stands: true,
                } => {
                    let holds = held.get(process).is_some_and(|events| !events.is_empty());
                    self.struck += usize::from(holds);
                }
                _ => {}
            }
        }
    }
}

/// Positions of events in their lanes.
fn positions(rows: &Rows) -> HashMap<Uuid, (i64, usize)> {
    let mut positions = HashMap::new();
    let lanes: BTreeMap<i64, &Vec<Uuid>> = rows
        .lanes
        .iter()
        .map(|(lane, events)| (*lane, events))
        .collect();
    for (lane, events) in lanes {
        for (position, event) in events.iter().enumerate() {
            positions.insert(*event, (lane, position));
        }
    }
    positions
}
