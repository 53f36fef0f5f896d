//! The comparison: what the file says, what the outbox gave up, and what the server was asked and accepted.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use crate::feed::{self, Change, Line};
use crate::server::ledger::{self, Accepted, Content, Entries, Received, Request};

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
            match &line.change {
                _ if stopped.contains(&key) => expected.held += 1,
                Change::Create(content) | Change::Update(content) if is_out_of_range(content) => {
                    expected.dead.insert(line.number);
                    stopped.insert(key);
                }
                Change::Create(content) | Change::Update(content) => {
                    expected.entries.insert(key, sent(content));
                }
                Change::Delete => drop(expected.entries.remove(&key)),
            }
        }
        expected
    }
}

fn is_out_of_range(content: &feed::Content) -> bool {
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

/// Each check has a fabricated ledger with just the fault that it is there for: a check that cannot fail proves nothing.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::ledger::Verb;

    const CREATED: u64 = 1;
    const UPDATED: u64 = 2;
    const OTHER: u64 = 3;
    const BAD: u64 = 4;
    const BEHIND_BAD: u64 = 5;

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    fn line(number: u64, entity: u128, change: Change) -> Line {
        Line {
            number,
            id: id(entity),
            user: "ada".to_owned(),
            change,
        }
    }

    fn content(valence: f64) -> feed::Content {
        feed::Content {
            valence,
            labels: Vec::new(),
            logged_at: "2026-03-01T06:30:00Z".to_owned(),
            notes: Some("stays here".to_owned()),
        }
    }

    /// A world in which everything went well.
    struct World {
        lines: Vec<Line>,
        dead: Vec<DeadLetter>,
        undelivered: u64,
        received: Vec<Received>,
        accepted: Vec<Accepted>,
    }

    impl World {
        fn well() -> Self {
            let lines = vec![
                line(CREATED, 100, Change::Create(content(0.1))),
                line(UPDATED, 100, Change::Update(content(0.2))),
                line(OTHER, 200, Change::Create(content(0.3))),
                line(BAD, 200, Change::Update(content(7.0))),
                line(BEHIND_BAD, 200, Change::Delete),
            ];
            let mut world = Self {
                dead: vec![dead(BAD)],
                undelivered: 1,
                received: Vec::new(),
                accepted: Vec::new(),
                lines,
            };
            world.ask(CREATED).accept(CREATED).ask(CREATED);
            world.ask(UPDATED).accept(UPDATED);
            world.ask(OTHER).accept(OTHER).ask(BAD);
            world
        }

        fn next_seq(&self) -> u64 {
            (self.received.len() + self.accepted.len()) as u64
        }

        fn request(&self, number: u64) -> Request {
            let line = self
                .lines
                .iter()
                .find(|line| line.number == number)
                .unwrap();
            Request {
                key: id(u128::from(number)),
                user: line.user.clone(),
                entity: line.id,
                operation: Verb::Update,
                line: number,
            }
        }

        fn ask(&mut self, number: u64) -> &mut Self {
            let (seq, request) = (self.next_seq(), self.request(number));
            self.received.push(Received { seq, request });
            self
        }

        fn accept(&mut self, number: u64) -> &mut Self {
            let (seq, request) = (self.next_seq(), self.request(number));
            let line = self.lines.iter().find(|line| line.number == number);
            let content = match &line.unwrap().change {
                Change::Create(content) | Change::Update(content) => Some(sent(content)),
                Change::Delete => None,
            };
            self.accepted.push(Accepted {
                seq,
                request,
                content,
            });
            self
        }

        /// The claims that do not hold.
        fn failed(&self) -> Vec<&'static str> {
            let checks = judge(&Evidence {
                lines: &self.lines,
                dead: &self.dead,
                undelivered: self.undelivered,
                received: &self.received,
                accepted: &self.accepted,
            });
            let failed = checks.iter().filter(|check| !check.differences.is_empty());
            failed.map(|check| check.claim).collect()
        }
    }

    fn dead(line: u64) -> DeadLetter {
        DeadLetter {
            entity: "x".to_owned(),
            line: Some(line),
            reason: "rejected".to_owned(),
            message: "400".to_owned(),
        }
    }

    const STATE: &str = "every entry is on the server as the file says";
    const DEAD: &str = "the dead letters are the lines out of range, and only they";
    const LEFT: &str = "nothing is left but what waits behind a dead letter";
    const ORDER: &str = "no operation of an entry was out of order";
    const KEYS: &str = "every event has one key, and every key one event";
    const TWICE: &str = "nothing was accepted twice";

    #[test]
    fn all_is_well_when_all_went_well() {
        assert_eq!(World::well().failed(), [""; 0]);
    }

    #[test]
    fn a_change_that_never_arrived_is_found() {
        let mut world = World::well();
        world
            .accepted
            .retain(|record| record.request.line != UPDATED);
        assert_eq!(world.failed(), [STATE]);
    }

    #[test]
    fn a_content_that_differs_is_found() {
        let mut world = World::well();
        let last = world.accepted.last_mut().unwrap();
        last.content.as_mut().unwrap().valence = 0.31;
        assert_eq!(world.failed(), [STATE]);
    }

    #[test]
    fn an_entry_that_is_in_no_file_is_found() {
        let mut world = World::well();
        world.accepted[0].request.entity = id(300);
        assert!(world.failed().contains(&STATE));
    }

    #[test]
    fn dead_letters_that_are_missing_or_too_many_are_found() {
        let mut world = World::well();
        world.dead.clear();
        assert_eq!(world.failed(), [DEAD]);
        world.dead = vec![dead(BAD), dead(UPDATED)];
        assert_eq!(world.failed(), [DEAD]);
        world.dead = vec![dead(BAD), dead(BAD)];
        assert_eq!(world.failed(), [DEAD]);
        let unreadable = DeadLetter {
            line: None,
            ..dead(BAD)
        };
        world.dead = vec![dead(BAD), unreadable];
        assert_eq!(world.failed(), [DEAD]);
    }

    #[test]
    fn what_was_left_lying_is_found() {
        let mut world = World::well();
        world.undelivered = 2;
        assert_eq!(world.failed(), [LEFT]);
    }

    #[test]
    fn a_line_that_overtook_the_one_before_it_is_found() {
        let mut world = World::well();
        world.received.clear();
        world.accepted.clear();
        world
            .ask(UPDATED)
            .ask(CREATED)
            .accept(CREATED)
            .accept(UPDATED);
        world.ask(OTHER).accept(OTHER).ask(BAD);
        assert_eq!(world.failed(), [ORDER]);
    }

    #[test]
    fn a_line_that_came_again_after_a_later_one_is_found() {
        let mut world = World::well();
        world.ask(CREATED);
        assert_eq!(world.failed(), [ORDER]);
    }

    #[test]
    fn a_line_that_did_not_wait_behind_a_dead_letter_is_found() {
        let mut world = World::well();
        world.ask(BEHIND_BAD);
        assert_eq!(world.failed(), [ORDER]);
    }

    #[test]
    fn a_request_for_a_line_that_is_not_there_is_found() {
        let mut world = World::well();
        world.ask(CREATED);
        world.received.last_mut().unwrap().request.line = 99;
        world.received.last_mut().unwrap().request.key = id(99);
        assert_eq!(world.failed(), [ORDER]);
    }

    #[test]
    fn a_second_key_for_an_event_is_found() {
        let mut world = World::well();
        world.ask(UPDATED);
        world.received.last_mut().unwrap().request.key = id(99);
        assert_eq!(world.failed(), [KEYS]);
    }

    #[test]
    fn a_key_for_two_events_is_found() {
        let mut world = World::well();
        let shared = world.received[0].request.key;
        for record in &mut world.received {
            if record.request.line == OTHER {
                record.request.key = shared;
            }
        }
        assert_eq!(world.failed(), [KEYS]);
    }

    #[test]
    fn a_second_effect_is_found_under_the_same_key_and_under_another() {
        let mut world = World::well();
        world.accept(UPDATED);
        assert_eq!(world.failed(), [TWICE]);
        world.accepted.last_mut().unwrap().request.key = id(99);
        assert_eq!(world.failed(), [TWICE]);
    }
}
