//! The verdict: compares the ledger's requests and actions with the final content of the database.
//!
//! The four sets are those of Jepsen's total-queue: *lost* (acknowledged, but neither delivered nor
//! in the database), *unexpected* (delivered, but never enqueued), *duplicated*, and *recovered*
//! (present, but never acknowledged). The first two must be empty. Violations of other promises are
//! listed as texts.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use uuid::Uuid;

use crate::ledger::{Answer, Record};
use crate::rows::{Database, Row};
use crate::task::Task;

#[cfg(test)]
mod tests;

/// Result of comparing the ledger with the database.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// Number of acknowledged events.
    pub acknowledged: usize,
    /// Acknowledged, but neither delivered nor in the database.
    pub lost: BTreeSet<Uuid>,
    /// Seen by a handler or in the database, but never enqueued.
    pub unexpected: BTreeSet<Uuid>,
    /// Delivered more than once, which is allowed.
    pub duplicated: BTreeSet<Uuid>,
    /// In the database or delivered, but never acknowledged.
    pub recovered: BTreeSet<Uuid>,
    /// Held back behind a dead event of their entity, as intended.
    pub held: BTreeSet<Uuid>,
    /// Dead letters.
    pub dead: BTreeSet<Uuid>,
    /// Attempts that began after their lease had ended: they are fenced, and do not count for
    /// order.
    pub late: usize,
    /// All other violations.
    pub problems: Vec<String>,
}

/// Facts about the run that the checker needs.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// Number of workers that died or were frozen; each may leave attempts without an answer.
    pub deaths: u32,
    /// Whether delivered events were cleaned up.
    pub cleaned_up: bool,
}

impl Verdict {
    /// Whether nothing was lost, nothing invented, and no other promise broken.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.lost.is_empty() && self.unexpected.is_empty() && self.problems.is_empty()
    }

    /// Fails a test unless the verdict is sound.
    ///
    /// # Panics
    ///
    /// If the verdict is not sound.
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

/// Compares, after everything deliverable is delivered.
#[must_use]
pub fn judge(records: &[Record], database: &Database, circumstances: Circumstances) -> Verdict {
    let ledger = LedgerSummary::by(records);
    let rows: HashMap<Uuid, &Row> = database.rows.iter().map(|row| (row.event, row)).collect();
    let mut verdict = Verdict {
        acknowledged: ledger.acknowledged.len(),
        ..Verdict::default()
    };
    verdict.compare_sets(&ledger, &rows, circumstances);
    verdict.check_rows(&ledger, &database.rows, circumstances);
    verdict.check_order(records);
    verdict.check_completions(&database.rows);
    verdict.check_notes(&ledger, database, &rows);
    for damage in &database.damage {
        verdict.problems.push(format!("the file: {damage}"));
    }
    verdict
}

/// The ledger's records, by event.
#[derive(Debug, Default)]
struct LedgerSummary {
    intended: HashSet<Uuid>,
    acknowledged: HashSet<Uuid>,
    /// Attempts that began.
    started: HashMap<Uuid, Vec<u32>>,
    /// Answers of handlers.
    answers: HashMap<Uuid, Vec<Answer>>,
}

impl LedgerSummary {
    fn by(records: &[Record]) -> Self {
        let mut ledger = Self::default();
        for record in records {
            match record {
                Record::Intended { event, .. } => drop(ledger.intended.insert(*event)),
                Record::Acknowledged { event } => drop(ledger.acknowledged.insert(*event)),
                Record::Started { event, attempt, .. } => {
                    ledger.started.entry(*event).or_default().push(*attempt);
                }
                Record::Answered { event, answer, .. } => {
                    ledger.answers.entry(*event).or_default().push(*answer);
                }
                _ => {}
            }
        }
        ledger
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
        ledger: &LedgerSummary,
        rows: &HashMap<Uuid, &Row>,
        circumstances: Circumstances,
    ) {
        for event in &ledger.acknowledged {
            let was_delivered = ledger.count(*event, Answer::Ok) > 0;
            let may_be_gone = circumstances.cleaned_up && was_delivered;
            if !rows.contains_key(event) && !may_be_gone {
                self.lost.insert(*event);
            }
        }
        let seen: HashSet<Uuid> = rows.keys().chain(ledger.started.keys()).copied().collect();
        for event in &seen {
            if !ledger.intended.contains(event) {
                self.unexpected.insert(*event);
            }
            if !ledger.acknowledged.contains(event) {
                self.recovered.insert(*event);
            }
            if ledger.count(*event, Answer::Ok) > 1 {
                self.duplicated.insert(*event);
            }
        }
    }

    /// Checks that each row is in its final state, and that its attempts match the ledger.
    fn check_rows(&mut self, ledger: &LedgerSummary, rows: &[Row], circumstances: Circumstances) {
        let mut dead_entities = HashSet::new();
        for row in rows {
            let Row { event, status, .. } = row;
            let entity = (row.user.as_str(), row.entity);
            match status.as_str() {
                "completed" => {
                    if ledger.count(*event, Answer::Ok) == 0 {
                        let problem = format!("{event} is completed, but no handler delivered it");
                        self.problems.push(problem);
                    }
                    if dead_entities.contains(&entity) {
                        let problem =
                            format!("{event} was delivered behind a dead event of its entity");
                        self.problems.push(problem);
                    }
                }
                "dead" => {
                    dead_entities.insert(entity);
                    self.dead.insert(*event);
                    let reason = row.dead_reason.as_deref();
                    if ledger.count(*event, Answer::Reject) > 0 && reason != Some("rejected") {
                        let problem = format!(
                            "{event} was rejected, but is dead for another reason: {row:?}"
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
            let started = ledger.started.get(event).map_or(&[][..], Vec::as_slice);
            // A crash takes no attempt, and is the last thing that happens to an event that dies of
            // it.
            if let Some(last) = started.iter().max()
                && *last > row.attempts + row.crashes.min(1)
            {
                let problem = format!(
                    "{event} had attempt {last}, but its row counts {}",
                    row.attempts
                );
                self.problems.push(problem);
            }
            // Each counted attempt has an answer, unless a process died or froze during it.
            let answered: u32 = [Answer::Ok, Answer::Retry, Answer::Reject]
                .into_iter()
                .map(|answer| u32::try_from(ledger.count(*event, answer)).unwrap_or(u32::MAX))
                .sum();
            if row.attempts > answered + circumstances.deaths {
                self.problems.push(format!(
                    "{event} counts {} attempts, but had {answered} answers and {} deaths",
                    row.attempts, circumstances.deaths
                ));
            }
        }
    }

    /// Checks that an event begins only after the earlier ones of its entity were delivered, and
    /// always under the same key.
    fn check_order(&mut self, records: &[Record]) {
        let mut delivered = HashSet::new();
        let mut claims = HashMap::<Uuid, u32>::new();
        // By entity, the event that began last.
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
                    // A claim after a crash has the same attempt number, and one more crash.
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

    /// Checks that an entity's events are completed in the order of the store.
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

    /// Checks that an entity and its event, written together, are both present or both absent.
    fn check_notes(
        &mut self,
        ledger: &LedgerSummary,
        database: &Database,
        rows: &HashMap<Uuid, &Row>,
    ) {
        let notes: HashSet<Uuid> = database.notes.iter().copied().collect();
        for event in &notes {
            let was_there = rows.contains_key(event) || ledger.count(*event, Answer::Ok) > 0;
            if !was_there {
                self.problems
                    .push(format!("{event}: change without its event"));
            }
        }
        for row in &database.rows {
            let (_, number) = Task::made_by(row.event);
            if number % 3 != 0
                && ledger.intended.contains(&row.event)
                && !notes.contains(&row.event)
            {
                self.problems
                    .push(format!("{}: event without its change", row.event));
            }
        }
    }
}
