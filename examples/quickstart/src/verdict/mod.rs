//! The comparison: what the file says, what the outbox gave up, and what the server was asked and accepted.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use crate::feed::{self, Change, Line};
use crate::server::ledger::{self, Accepted, Content, Entries, Received, Request, Verb};

/// Everything that is compared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Evidence<'a> {
    /// What the file says.
    pub(crate) lines: &'a [Line],
    /// What the outbox gave up.
    pub(crate) dead: &'a [DeadLetter],
    /// How many events the outbox still has to deliver.
    pub(crate) undelivered: u64,
    /// What the server was asked.
    pub(crate) received: &'a [Received],
    /// What the server accepted.
    pub(crate) accepted: &'a [Accepted],
}

/// An event that the outbox gave up.
#[derive(Debug, Clone)]
pub(crate) struct DeadLetter {
    /// Which entry it is about.
    pub(crate) entity: String,
    /// The line of the file that it comes from, where the event can be read.
    pub(crate) line: Option<u64>,
    /// In a word.
    pub(crate) reason: String,
    /// What the last attempt said.
    pub(crate) message: String,
}

/// One thing that must hold.
#[derive(Debug)]
pub(crate) struct Check {
    /// What must hold.
    pub(crate) claim: &'static str,
    /// Where it does not.
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
            "every entry is on the server as the file says",
            states(&expected.entries, &ledger::entries(evidence.accepted)),
        ),
        check(
            "every change was accepted, as its line says",
            changes(&expected.changes, evidence.accepted),
        ),
        check(
            "the dead letters are the lines out of range, and only they",
            dead_letters(&expected.dead, evidence.dead),
        ),
        check(
            "nothing is left but what waits behind a dead letter",
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

/// What follows from the file.
#[derive(Default)]
struct Expected {
    /// What the server should hold.
    entries: Entries,
    /// The changes that it should have accepted, by line.
    changes: BTreeMap<u64, (EntryKey, Verb, Option<Content>)>,
    /// The lines that should be dead letters.
    dead: BTreeSet<u64>,
    /// How many lines should wait behind them.
    held: u64,
}

impl Expected {
    /// The server takes no valence outside of -1 to 1. The first such line of an entry is given up, and whatever comes
    /// after it waits: the entry stays as it was before.
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

/// What of an entry reaches the server.
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

/// Whenever the server was asked for a line, it must have accepted the line before it, of the same entry, and none after it.
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
