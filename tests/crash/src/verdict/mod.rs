//! The verdict: what the ledger says was asked and done, against what the database holds in the end.
//!
//! The four sets are those of Jepsen's total-queue: *lost* (acknowledged, and neither delivered nor there to be), *unexpected*
//! (delivered, and never enqueued), *duplicated* and *recovered* (there, and never acknowledged). The first two must be empty. Beside them
//! stands whatever breaks another promise, in words.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use uuid::Uuid;

use crate::ledger::{Answer, Record};
use crate::rows::{Database, Row};
use crate::task::Task;

#[cfg(test)]
mod tests;

/// What a run of workers came to.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// Events whose enqueueing was acknowledged.
    pub acknowledged: usize,
    /// Acknowledged, and neither delivered nor in the database.
    pub lost: BTreeSet<Uuid>,
    /// Seen by a handler or in the database, and never enqueued.
    pub unexpected: BTreeSet<Uuid>,
    /// Delivered more than once, which is allowed.
    pub duplicated: BTreeSet<Uuid>,
    /// In the database or delivered, though nobody was told so.
    pub recovered: BTreeSet<Uuid>,
    /// Behind a dead event of their entity, as they should be.
    pub held: BTreeSet<Uuid>,
    /// Dead letters.
    pub dead: BTreeSet<Uuid>,
    /// Attempts that began when their lease was over: they are fenced, and break no order.
    pub late: usize,
    /// Whatever else is not as it must be.
    pub problems: Vec<String>,
}

/// What the checker must know about the run.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// How often a worker died or was frozen, in which time an attempt may end that nobody answers.
    pub deaths: u32,
    /// Whether delivered events were cleaned up.
    pub cleaned_up: bool,
}

impl Verdict {
    /// Nothing is lost, nothing invented, nothing wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.lost.is_empty() && self.unexpected.is_empty() && self.problems.is_empty()
    }

    /// Fails a test where it is not.
    ///
    /// # Panics
    ///
    /// Where it is not.
    pub fn assert_sound(&self) {
        assert!(self.is_sound(), "{self}");
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} acknowledged, {} lost, {} unexpected, {} duplicated, {} recovered, {} held, {} dead, {} late",
            self.acknowledged,
            self.lost.len(),
            self.unexpected.len(),
            self.duplicated.len(),
            self.recovered.len(),
            self.held.len(),
            self.dead.len(),
            self.late
        )?;
        for event in self.lost.iter().take(5) {
            write!(f, "\n  lost: {event}")?;
        }
        for event in self.unexpected.iter().take(5) {
            write!(f, "\n  unexpected: {event}")?;
        }
        for problem in self.problems.iter().take(20) {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

/// Compares, once everything that can be delivered is.
#[must_use]
pub fn judge(records: &[Record], database: &Database, circumstances: Circumstances) -> Verdict {
    let told = Told::by(records);
    let rows: HashMap<Uuid, &Row> = database.rows.iter().map(|row| (row.event, row)).collect();
    let mut verdict = Verdict {
        acknowledged: told.acknowledged.len(),
        ..Verdict::default()
    };
    verdict.compare_sets(&told, &rows, circumstances);
    verdict.check_rows(&told, &database.rows, circumstances);
    verdict.check_order(records);
    verdict.check_completions(&database.rows);
    verdict.check_notes(&told, database, &rows);
    for damage in &database.damage {
        verdict.problems.push(format!("the file: {damage}"));
    }
    verdict
}

/// The ledger, by event.
#[derive(Debug, Default)]
struct Told {
    intended: HashSet<Uuid>,
    acknowledged: HashSet<Uuid>,
    /// Attempts that began.
    started: HashMap<Uuid, Vec<u32>>,
    /// What handlers answered.
    answers: HashMap<Uuid, Vec<Answer>>,
}

impl Told {
    fn by(records: &[Record]) -> Self {
        let mut told = Self::default();
        for record in records {
            match record {
                Record::Intended { event, .. } => drop(told.intended.insert(*event)),
                Record::Acknowledged { event } => drop(told.acknowledged.insert(*event)),
                Record::Started { event, attempt, .. } => {
                    told.started.entry(*event).or_default().push(*attempt);
                }
                Record::Answered { event, answer, .. } => {
                    told.answers.entry(*event).or_default().push(*answer);
                }
                _ => {}
            }
        }
        told
    }

    fn count(&self, event: Uuid, answer: Answer) -> usize {
        let answers = self.answers.get(&event);
        answers.map_or(0, |answers| {
            answers.iter().filter(|a| **a == answer).count()
        })
    }
}

impl Verdict {
    fn compare_sets(
        &mut self,
        told: &Told,
        rows: &HashMap<Uuid, &Row>,
        circumstances: Circumstances,
    ) {
        for event in &told.acknowledged {
            let was_delivered = told.count(*event, Answer::Ok) > 0;
            let may_be_gone = circumstances.cleaned_up && was_delivered;
            if !rows.contains_key(event) && !may_be_gone {
                self.lost.insert(*event);
            }
        }
        let seen: HashSet<Uuid> = rows.keys().chain(told.started.keys()).copied().collect();
        for event in &seen {
            if !told.intended.contains(event) {
                self.unexpected.insert(*event);
            }
            if !told.acknowledged.contains(event) {
                self.recovered.insert(*event);
            }
            if told.count(*event, Answer::Ok) > 1 {
                self.duplicated.insert(*event);
            }
        }
    }

    /// Each row is where it must be when nothing is left to do, and its attempts can be accounted for.
    fn check_rows(&mut self, told: &Told, rows: &[Row], circumstances: Circumstances) {
        let mut dead_entities = HashSet::new();
        for row in rows {
            let Row { event, status, .. } = row;
            let entity = (row.user.as_str(), row.entity);
            match status.as_str() {
                "completed" => {
                    if told.count(*event, Answer::Ok) == 0 {
                        let problem = format!("{event} is completed, but no handler delivered it");
                        self.problems.push(problem);
                    }
                    if dead_entities.contains(&entity) {
                        let problem =
                            format!("{event} was delivered past a dead one of its entity");
                        self.problems.push(problem);
                    }
                }
                "dead" => {
                    dead_entities.insert(entity);
                    self.dead.insert(*event);
                    let reason = row.dead_reason.as_deref();
                    if told.count(*event, Answer::Reject) > 0 && reason != Some("rejected") {
                        let problem = format!(
                            "{event} was rejected, and is dead for another reason: {row:?}"
                        );
                        self.problems.push(problem);
                    }
                }
                "pending" if dead_entities.contains(&entity) => drop(self.held.insert(*event)),
                _ => self.problems.push(format!("{event} is stuck: {row:?}")),
            }
            if row.attempts > row.max_attempts {
                self.problems
                    .push(format!("{event} had too many attempts: {row:?}"));
            }
            let started = told.started.get(event).map_or(&[][..], Vec::as_slice);
            // A crash, which is the last thing that happened to an event that is dead of it, takes no attempt.
            if let Some(last) = started.iter().max()
                && *last > row.attempts + row.crashes.min(1)
            {
                let problem = format!(
                    "{event} had attempt {last}, its row counts {}",
                    row.attempts
                );
                self.problems.push(problem);
            }
            // Each counted attempt was answered, or a process died or froze with it.
            let answered: u32 = [Answer::Ok, Answer::Retry, Answer::Reject]
                .into_iter()
                .map(|answer| u32::try_from(told.count(*event, answer)).unwrap_or(u32::MAX))
                .sum();
            if row.attempts > answered + circumstances.deaths {
                self.problems.push(format!(
                    "{event} counts {} attempts after {answered} answers and {} deaths",
                    row.attempts, circumstances.deaths
                ));
            }
        }
    }

    /// Of each entity, an event begins only when those before it were delivered, and under one key for ever.
    fn check_order(&mut self, records: &[Record]) {
        let mut delivered = HashSet::new();
        let mut claims = HashMap::<Uuid, u32>::new();
        // Of each entity, the event that began last.
        let mut latest = HashMap::<(&str, i64), (u32, Uuid)>::new();
        for record in records {
            match record {
                Record::Answered {
                    event,
                    answer: Answer::Ok,
                    ..
                } => drop(delivered.insert(*event)),
                Record::Started {
                    event,
                    key,
                    user,
                    entity,
                    number,
                    attempt,
                    crashes,
                    ..
                } => {
                    if key != event {
                        self.problems
                            .push(format!("{event} was sent under the key {key}"));
                    }
                    // A claim after a crash has the same attempt, and one more crash behind it.
                    let claim = attempt + crashes;
                    let newest = claims.entry(*event).or_default();
                    if claim < *newest {
                        self.late += 1;
                        continue;
                    }
                    *newest = claim;
                    let place = latest
                        .entry((user.as_str(), *entity))
                        .or_insert((*number, *event));
                    let (before, before_event) = *place;
                    if *number < before {
                        self.problems.push(format!(
                            "entity {entity}: number {number} began after number {before}"
                        ));
                    } else if *number > before && !delivered.contains(&before_event) {
                        self.problems.push(format!(
                            "entity {entity}: number {number} began before number {before} was delivered"
                        ));
                    }
                    *place = (*number, *event);
                }
                _ => {}
            }
        }
    }

    /// Of each entity, events are completed in the order of the store.
    fn check_completions(&mut self, rows: &[Row]) {
        let mut latest = BTreeMap::<(&str, i64), i64>::new();
        for row in rows {
            if let Some(at) = row.completed_at {
                let last = latest.entry((&row.user, row.entity)).or_insert(at);
                if at < *last {
                    let problem = format!("{} was completed before its predecessor", row.event);
                    self.problems.push(problem);
                }
                *last = at;
            }
        }
    }

    /// An entity and its event were written together: both are there, or neither.
    fn check_notes(&mut self, told: &Told, database: &Database, rows: &HashMap<Uuid, &Row>) {
        let notes: HashSet<Uuid> = database.notes.iter().copied().collect();
        for event in &notes {
            let was_there = rows.contains_key(event) || told.count(*event, Answer::Ok) > 0;
            if !was_there {
                self.problems
                    .push(format!("{event}: its change is there without it"));
            }
        }
        for row in &database.rows {
            let (_, number) = Task::made_by(row.event);
            if number % 3 != 0 && told.intended.contains(&row.event) && !notes.contains(&row.event)
            {
                self.problems
                    .push(format!("{}: it is there without its change", row.event));
            }
        }
    }
}
