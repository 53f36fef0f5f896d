//! Positive controls of every check: a sound run, and the same run with one thing broken.

use super::{Circumstances, Verdict, judge};
use crate::ledger::{Answer, Record};
use crate::rows::{Database, Row};
use crate::task::Task;

const UNHARMED: Circumstances = Circumstances {
    deaths: 0,
    cleaned_up: false,
};

/// Three events of one entity, enqueued and delivered in turn.
fn sound() -> (Vec<Record>, Database) {
    let mut records = Vec::new();
    let mut database = Database::default();
    for number in [0, 3, 6] {
        let event = Task::event_id(0, number);
        records.extend([
            Record::Intended {
                event,
                user: "u1".to_owned(),
                entity: 1,
                number,
            },
            Record::Acknowledged { event },
            started(number, 1),
            answered(number, 1, Answer::Ok),
        ]);
        database.rows.push(Row {
            event,
            user: "u1".to_owned(),
            entity: 1,
            seq: i64::from(number),
            status: "completed".to_owned(),
            attempts: 1,
            max_attempts: 5,
            crashes: 0,
            dead_reason: None,
            completed_at: Some(i64::from(number)),
        });
    }
    (records, database)
}

fn started(number: u32, attempt: u32) -> Record {
    let event = Task::event_id(0, number);
    Record::Started {
        event,
        key: event,
        user: "u1".to_owned(),
        entity: 1,
        number,
        attempt,
        crashes: 0,
        process: 1,
    }
}

fn answered(number: u32, attempt: u32, answer: Answer) -> Record {
    Record::Answered {
        event: Task::event_id(0, number),
        attempt,
        answer,
    }
}

/// Verdict on the run with `harm` done to it.
fn after(harm: impl FnOnce(&mut Vec<Record>, &mut Database)) -> Verdict {
    let (mut records, mut database) = sound();
    harm(&mut records, &mut database);
    judge(&records, &database, UNHARMED)
}

fn assert_finds(what: &str, harm: impl FnOnce(&mut Vec<Record>, &mut Database)) {
    let verdict = after(harm);
    assert!(!verdict.is_sound());
    assert!(verdict.to_string().contains(what), "{what}: {verdict}");
}

#[test]
fn a_run_without_fault_is_sound() {
    let verdict = after(|_, _| {});
    verdict.assert_sound();
    assert_eq!(verdict.acknowledged, 3);
}

#[test]
fn an_acknowledged_event_that_is_gone_is_lost() {
    assert_finds("lost: ", |_, database| drop(database.rows.remove(1)));
}

#[test]
fn an_event_that_nobody_enqueued_is_unexpected() {
    assert_finds("unexpected: ", |records, _| drop(records.remove(0)));
}

#[test]
fn a_completed_event_that_no_handler_delivered_is_found() {
    assert_finds("no handler delivered it", |records, _| {
        records.retain(|record| *record != answered(3, 1, Answer::Ok));
    });
}

#[test]
fn an_undelivered_event_is_stuck() {
    for status in ["pending", "processing", "failed"] {
        assert_finds("is stuck", |_, database| {
            database.rows[2].status = status.to_owned();
        });
    }
}

#[test]
fn an_event_behind_a_dead_one_is_held_and_not_stuck() {
    let verdict = after(|records, database| {
        records.retain(|record| *record != answered(3, 1, Answer::Ok));
        records.push(answered(3, 1, Answer::Reject));
        records.retain(|record| *record != started(6, 1));
        records.retain(|record| *record != answered(6, 1, Answer::Ok));
        database.rows[1].status = "dead".to_owned();
        database.rows[1].dead_reason = Some("rejected".to_owned());
        database.rows[2].status = "pending".to_owned();
        database.rows[2].attempts = 0;
    });
    verdict.assert_sound();
    assert_eq!((verdict.dead.len(), verdict.held.len()), (1, 1));
}

#[test]
fn a_rejection_recorded_as_a_failure_is_found() {
    assert_finds(
        "was rejected, but is dead for another",
        |records, database| {
            records.truncate(4);
            database.rows.truncate(1);
            records[3] = answered(0, 1, Answer::Reject);
            database.rows[0].status = "dead".to_owned();
            database.rows[0].dead_reason = Some("attempts_exhausted".to_owned());
        },
    );
}

#[test]
fn an_event_delivered_behind_a_dead_one_is_found() {
    assert_finds("behind a dead event", |_, database| {
        database.rows[1].status = "dead".to_owned();
    });
}

#[test]
fn an_event_that_began_out_of_order_or_too_early_is_found() {
    assert_finds("began after number 6", |records, _| {
        records.push(started(3, 1));
    });
    assert_finds("began before number 0 was delivered", |records, _| {
        records.swap(3, 6);
    });
}

#[test]
fn an_attempt_whose_lease_was_over_breaks_no_order() {
    let verdict = after(|records, database| {
        records.insert(3, started(0, 2));
        records.push(started(0, 1));
        database.rows[0].attempts = 1;
    });
    assert_eq!(verdict.late, 1);
    assert!(!verdict.to_string().contains("began"), "{verdict}");
}

#[test]
fn a_changed_idempotency_key_is_found() {
    assert_finds("under the key", |records, _| {
        if let Record::Started { key, .. } = &mut records[2] {
            *key = Task::event_id(0, 99);
        }
    });
}

#[test]
fn wrong_attempt_counts_are_found() {
    assert_finds("counts 3 attempts", |_, database| {
        database.rows[0].attempts = 3;
    });
    assert_finds("too many attempts", |_, database| {
        database.rows[0].attempts = 6;
    });
    assert_finds("but its row counts 1", |records, _| {
        records.insert(3, started(0, 2));
    });
}

#[test]
fn completions_out_of_order_are_found() {
    assert_finds("before its predecessor", |_, database| {
        database.rows[2].completed_at = Some(1);
    });
}

#[test]
fn a_change_without_its_event_and_an_event_without_its_change_are_found() {
    assert_finds("change without its event", |_, database| {
        database.notes.push(Task::event_id(0, 98));
    });
    assert_finds("event without its change", |records, database| {
        let event = Task::event_id(0, 1);
        let Record::Intended { event: first, .. } = &mut records[0] else {
            panic!("the first record is not an intention");
        };
        *first = event;
        database.rows[0].event = event;
    });
}

#[test]
fn a_damaged_file_is_found() {
    assert_finds("the file: row 7 missing", |_, database| {
        database.damage.push("row 7 missing".to_owned());
    });
}

#[test]
fn a_row_that_breaks_a_constraint_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let conn = outbox_runtime::rusqlite::Connection::open(&path).unwrap();
    conn.execute_batch(
        "CREATE TABLE t (x INTEGER CHECK (x > 0)); PRAGMA ignore_check_constraints = ON; INSERT INTO t VALUES (-1);",
    )
    .unwrap();
    assert_eq!(Database::read(&path).damage.len(), 1);
}
