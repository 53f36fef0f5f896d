//! The comparison of the file, the outbox's dead letters, and the server's ledger.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use crate::feed::{self, Change, Line};
use crate::server::ledger::{self, Accepted, Content, Entries, Received, Request, Verb};

/// The data to compare.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Evidence<'a> {
    /// The changes of the file.
    pub(crate) lines: &'a [Line],
    /// The dead letters of the outbox.
    pub(crate) dead: &'a [DeadLetter],
    /// The number of undelivered events in the outbox.
    pub(crate) undelivered: u64,
    /// The requests that the server received.
    pub(crate) received: &'a [Received],
    /// The changes that the server accepted.
    pub(crate) accepted: &'a [Accepted],
}

/// A dead letter.
#[derive(Debug, Clone)]
pub(crate) struct DeadLetter {
    /// The entry.
    pub(crate) entity: String,
    /// Its line of the file, if the event is readable.
    pub(crate) line: Option<u64>,
    /// The reason.
    pub(crate) reason: String,
    /// The error of the last attempt.
    pub(crate) message: String,
}

/// A check.
#[derive(Debug)]
pub(crate) struct Check {
    /// The claim.
    pub(crate) claim: &'static str,
    /// The places where it fails.
    pub(crate) differences: Vec<String>,
}

/// An entry of a user.
type EntryKey = (String, Uuid);

/// Compares everything with everything.
pub(crate) fn judge(evidence: &Evidence<'_>) -> Vec<Check> {
    let expected = Expected::of(evidence.lines);
    let check = |claim, differences| Check { claim, differences };
    vec![
        check(
            "every entry on the server matches the file",
            states(&expected.entries, &ledger::entries(evidence.accepted)),
        ),
        check(
            "every change was accepted as in its line",
            changes(&expected.changes, evidence.accepted),
        ),
        check(
            "the dead letters are exactly the lines out of range",
            dead_letters(&expected.dead, evidence.dead),
        ),
        check(
            "only events behind a dead letter are left",
            left(expected.held, evidence.undelivered),
        ),
        check("no operation of an entry was out of order", order(evidence)),
        check(
            "every event has one key, and every key one event",
            keys(evidence.received),
        ),
        check("nothing was accepted twice", repetitions(evidence.accepted)),
    ]
}

/// The expected results, derived from the file.
#[derive(Default)]
struct Expected {
    /// The entries that the server should have.
    entries: Entries,
    /// The changes that the server should have accepted, by line.
    changes: BTreeMap<u64, (EntryKey, Verb, Option<Content>)>,
    /// The lines that should be dead letters.
    dead: BTreeSet<u64>,
    /// The number of lines that should wait behind them.
    held: u64,
}

impl Expected {
    /// The server refuses a valence outside of -1 to 1. The first such line of an entry becomes a
    /// dead letter and blocks all later ones, so the entry stays as it was before.
    fn of(lines: &[Line]) -> Self {
        let mut expected = Self::default();
        let mut stopped = HashSet::new();
        for line in lines {
            let key = (line.user.clone(), line.id);
            let (verb, content) = match &line.change {
                Change::Create(content) => (Verb::Create, Some(sent(content))),
                Change::Update(content) => (Verb::Update, Some(sent(content))),
                Change::Delete => (Verb::Delete, None),
            };
            match &content {
                _ if stopped.contains(&key) => expected.held += 1,
                Some(content) if is_out_of_range(content) => {
                    expected.dead.insert(line.number);
                    stopped.insert(key);
                }
                _ => expected.accept(line.number, key, verb, content),
            }
        }
        expected
    }

    fn accept(&mut self, line: u64, key: EntryKey, verb: Verb, content: Option<Content>) {
        match &content {
            Some(content) => drop(self.entries.insert(key.clone(), content.clone())),
            None => drop(self.entries.remove(&key)),
        }
        self.changes.insert(line, (key, verb, content));
    }
}

fn is_out_of_range(content: &Content) -> bool {
    !(-1.0..=1.0).contains(&content.valence)
}

/// The changes of an entry that reach the server.
fn sent(content: &feed::Content) -> Content {
    Content {
        valence: content.valence,
        labels: content.labels.clone(),
        logged_at: content.logged_at.clone(),
    }
}

fn states(expected: &Entries, found: &Entries) -> Vec<String> {
    let keys: BTreeSet<&EntryKey> = expected.keys().chain(found.keys()).collect();
    let differs = |key: &&EntryKey| expected.get(*key) != found.get(*key);
    let differences = keys.into_iter().filter(differs).map(|key| {
        let side = |entries: &Entries| match entries.get(key) {
            Some(content) => format!("{content:?}"),
            None => "nothing".to_owned(),
        };
        format!(
            "entry {} of {}: the file says {}, the server holds {}",
            key.1,
            key.0,
            side(expected),
            side(found)
        )
    });
    differences.collect()
}

fn changes(
    expected: &BTreeMap<u64, (EntryKey, Verb, Option<Content>)>,
    found: &[Accepted],
) -> Vec<String> {
    let accepted: HashSet<u64> = found.iter().map(|record| record.request.line).collect();
    let missing = expected
        .keys()
        .filter(|line| !accepted.contains(line))
        .map(|line| format!("line {line} was not accepted"));
    let differs = |record: &&Accepted| {
        let Accepted {
            request, content, ..
        } = record;
        expected
            .get(&request.line)
            .is_none_or(|(key, verb, expected)| {
                *key != entry_key(request) || *verb != request.operation || expected != content
            })
    };
    let other = found.iter().filter(differs).map(|record| {
        let line = record.request.line;
        format!("line {line} was accepted as something else, or should not have been: {record:?}")
    });
    missing.chain(other).collect()
}

fn dead_letters(expected: &BTreeSet<u64>, found: &[DeadLetter]) -> Vec<String> {
    let lines: BTreeSet<u64> = found.iter().filter_map(|letter| letter.line).collect();
    let missing = expected
        .difference(&lines)
        .map(|line| format!("line {line} is out of range and not a dead letter"));
    let not_expected =
        |letter: &&DeadLetter| letter.line.is_none_or(|line| !expected.contains(&line));
    let surplus = found.iter().filter(not_expected).map(|letter| {
        let line = letter.line.map_or("?".to_owned(), |line| line.to_string());
        format!(
            "line {line} is a dead letter ({}: {}) and not out of range",
            letter.reason, letter.message
        )
    });
    let repeated = (found.len() > lines.len() && found.iter().all(|letter| letter.line.is_some()))
        .then(|| "a line is a dead letter more than once".to_owned());
    missing.chain(surplus).chain(repeated).collect()
}

fn left(expected: u64, found: u64) -> Vec<String> {
    let differs = expected != found;
    differs
        .then(|| format!("{found} events are undelivered; {expected} wait behind a dead letter"))
        .into_iter()
        .collect()
}

/// When the server receives a line, it must have accepted the previous line of the same entry, and
/// none after it.
fn order(evidence: &Evidence<'_>) -> Vec<String> {
    let mut histories: HashMap<EntryKey, BTreeMap<u64, Option<u64>>> = HashMap::new();
    for line in evidence.lines {
        let key = (line.user.clone(), line.id);
        histories.entry(key).or_default().insert(line.number, None);
    }
    for Accepted { seq, request, .. } in evidence.accepted {
        let history = histories.get_mut(&entry_key(request));
        if let Some(accepted_at) = history.and_then(|history| history.get_mut(&request.line)) {
            accepted_at.get_or_insert(*seq);
        }
    }
    let differences = evidence.received.iter().filter_map(|record| {
        let line = record.request.line;
        let about = format!("request {} for line {line}", record.seq);
        let history = histories.get(&entry_key(&record.request));
        let Some(history) = history.filter(|history| history.contains_key(&line)) else {
            return Some(format!("{about}: the file has no such line of that entry"));
        };
        let was_accepted = |at: &Option<u64>| at.is_some_and(|at| at < record.seq);
        let before = history.range(..line).next_back();
        if let Some((before, _)) = before.filter(|(_, at)| !was_accepted(at)) {
            return Some(format!("{about}: line {before} was not accepted before it"));
        }
        let mut after = history.range(line + 1..);
        after
            .find(|(_, at)| was_accepted(at))
            .map(|(after, _)| format!("{about}: line {after} was accepted before it"))
    });
    differences.collect()
}

fn entry_key(request: &Request) -> EntryKey {
    (request.user.clone(), request.entity)
}

fn keys(received: &[Received]) -> Vec<String> {
    let mut key_of: BTreeMap<(EntryKey, u64), Uuid> = BTreeMap::new();
    let mut event_of: HashMap<Uuid, (EntryKey, u64)> = HashMap::new();
    let mut differences = BTreeSet::new();
    for Received { request, .. } in received {
        let event = (entry_key(request), request.line);
        let first = *key_of.entry(event.clone()).or_insert(request.key);
        if first != request.key {
            let line = request.line;
            differences.insert(format!(
                "line {line} came under keys {first} and {}",
                request.key
            ));
        }
        let first = event_of.entry(request.key).or_insert(event.clone());
        if *first != event {
            differences.insert(format!(
                "key {} stands for line {} and line {}",
                request.key, first.1, event.1
            ));
        }
    }
    differences.into_iter().collect()
}

fn repetitions(accepted: &[Accepted]) -> Vec<String> {
    let mut seen = HashSet::new();
    let again = |record: &&Accepted| {
        let request = &record.request;
        let is_new_key = seen.insert((None, request.key, 0));
        let is_new_line = seen.insert((Some(request.user.clone()), request.entity, request.line));
        !(is_new_key && is_new_line)
    };
    let repeated = accepted.iter().filter(again);
    repeated
        .map(|record| {
            let Request { line, key, .. } = &record.request;
            format!("line {line} was accepted again, under key {key}")
        })
        .collect()
}

#[cfg(test)]
mod tests;
