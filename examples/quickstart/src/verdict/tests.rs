//! Each check is run on a fabricated ledger with the fault that it detects: a check that cannot
//! fail proves nothing.

use super::*;

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

/// A run without any fault.
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
            operation: match line.change {
                Change::Create(_) => Verb::Create,
                Change::Update(_) => Verb::Update,
                Change::Delete => Verb::Delete,
            },
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

    /// The failed claims.
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

const STATE: &str = "every entry on the server matches the file";
const CHANGES: &str = "every change was accepted as in its line";
const DEAD: &str = "the dead letters are exactly the lines out of range";
const LEFT: &str = "only events behind a dead letter are left";
const ORDER: &str = "no operation of an entry was out of order";
const KEYS: &str = "every event has one key, and every key one event";
const TWICE: &str = "nothing was accepted twice";

#[test]
fn a_run_without_faults_passes() {
    assert_eq!(World::well().failed(), [""; 0]);
}

#[test]
fn a_change_that_never_arrived_is_found() {
    let mut world = World::well();
    world
        .accepted
        .retain(|record| record.request.line != UPDATED);
    assert_eq!(world.failed(), [STATE, CHANGES]);
}

#[test]
fn a_change_that_never_arrived_is_found_although_a_later_one_covers_it() {
    let mut world = World::well();
    world
        .accepted
        .retain(|record| record.request.line != CREATED);
    assert_eq!(world.failed(), [CHANGES, ORDER]);
}

#[test]
fn a_change_that_arrived_as_something_else_is_found_although_a_later_one_covers_it() {
    let mut world = World::well();
    let first = world.accepted.first_mut().unwrap();
    first.content.as_mut().unwrap().valence = -0.1;
    assert_eq!(world.failed(), [CHANGES]);
    let mut world = World::well();
    world.accepted[0].request.operation = Verb::Update;
    assert_eq!(world.failed(), [CHANGES]);
}

#[test]
fn a_change_out_of_range_that_was_accepted_is_found() {
    let mut world = World::well();
    world.accept(BAD);
    assert_eq!(world.failed(), [STATE, CHANGES]);
}

#[test]
fn a_content_that_differs_is_found() {
    let mut world = World::well();
    let last = world.accepted.last_mut().unwrap();
    last.content.as_mut().unwrap().valence = 0.31;
    assert_eq!(world.failed(), [STATE, CHANGES]);
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
fn undelivered_events_are_found() {
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
