//! Positive controls of every check: a sound run, and the same run with one thing broken.

use uuid::Uuid;

use super::{Circumstances, Verdict, judge};
use crate::chaos::ledger::Record;
use crate::chaos::producers::{FOLDING, OWN};
use crate::chaos::rows::Rows;

const FIRST: Uuid = Uuid::from_u128(1);
const SECOND: Uuid = Uuid::from_u128(2);
const LEASE: u64 = 1_000;

fn enqueued(event: Uuid) -> [Record; 2] {
    [Record::Intended { event }, Record::Acknowledged { event }]
}

fn delivered(event: Uuid, lane: i64, process: u32, at: u64) -> [Record; 5] {
    let number = i64::try_from(event.as_u128()).unwrap();
    let events = vec![event];
    [
        Record::Claimed {
            events: events.clone(),
            process,
            at,
            until: at + LEASE,
        },
        Record::Started {
            event,
            lane,
            number,
            process,
            at,
        },
        Record::Answered {
            event,
            ok: true,
            process,
        },
        Record::Settling { events, process },
        Record::Settled { event, process },
    ]
}

/// Two events of a lane, enqueued by transactions and delivered in turn: at 0 and 1, 2 and 3; at 4
/// to 8, and at 9 to 13.
fn sound_in(lane: i64) -> (Vec<Record>, Rows) {
    let mut records: Vec<Record> = [FIRST, SECOND].into_iter().flat_map(enqueued).collect();
    records.extend(delivered(FIRST, lane, 7, 0));
    records.extend(delivered(SECOND, lane, 8, 10));
    let mut rows = Rows::default();
    rows.lanes.insert(lane, vec![FIRST, SECOND]);
    if lane < OWN {
        rows.journal = vec![(FIRST, lane, 1), (SECOND, lane, 2)];
    }
    (records, rows)
}

fn after(lane: i64, harm: impl FnOnce(&mut Vec<Record>, &mut Rows)) -> Verdict {
    let (mut records, mut rows) = sound_in(lane);
    harm(&mut records, &mut rows);
    judge(&records, &rows, Circumstances { lease: LEASE })
}

fn assert_finds(what: &str, harm: impl FnOnce(&mut Vec<Record>, &mut Rows)) {
    let verdict = after(1, harm);
    assert!(!verdict.is_sound(), "{what}");
    assert!(verdict.to_string().contains(what), "{what}: {verdict}");
}

#[test]
fn a_run_without_fault_is_sound() {
    for lane in [1, FOLDING, OWN] {
        let verdict = after(lane, |_, _| {});
        assert!(verdict.is_sound(), "{verdict}");
        assert_eq!((verdict.acknowledged, verdict.delivered), (2, 2));
    }
}

#[test]
fn an_acknowledged_event_that_is_gone_is_lost() {
    assert_finds("lost: ", |_, rows| {
        rows.lanes.insert(1, vec![FIRST]);
    });
}

#[test]
fn a_completed_event_that_nobody_delivered_is_found() {
    assert_finds("undelivered: ", |records, _| drop(records.drain(9..)));
}

#[test]
fn an_event_that_nobody_enqueued_is_unexpected() {
    assert_finds("unexpected: ", |records, _| drop(records.drain(..2)));
}

#[test]
fn a_delivery_after_an_acknowledged_one_is_a_double() {
    assert_finds("doubled: ", |records, _| {
        records.extend(delivered(SECOND, 1, 7, 5_000));
    });
}

#[test]
fn a_delivery_without_an_acknowledged_outcome_may_be_repeated() {
    let verdict = after(1, |records, _| {
        records.pop();
        records.extend(delivered(SECOND, 1, 7, 5_000));
    });
    assert!(verdict.is_sound(), "{verdict}");
    assert_eq!(verdict.repeats, 1);
}

#[test]
fn an_event_that_begins_before_its_predecessor_is_delivered_is_found() {
    assert_finds("event 1 began before event 0", |records, _| {
        records.rotate_right(5);
    });
}

#[test]
fn a_lease_that_two_workers_hold_is_found() {
    assert_finds("before the lease of 7 ended", |records, _| {
        records.splice(5..5, delivered(FIRST, 1, 8, 100));
    });
    // Not after a death, nor after the lease has run out.
    let verdict = after(1, |records, _| {
        let mut between = vec![Record::Killed { process: 7 }];
        between.extend(delivered(FIRST, 1, 8, 100));
        records.splice(6..9, between);
    });
    assert!(verdict.is_sound(), "{verdict}");
    let verdict = after(1, |records, _| {
        records.splice(6..9, delivered(FIRST, 1, 8, LEASE));
    });
    assert!(verdict.is_sound(), "{verdict}");
    // Nor where it was renewed.
    assert_finds("before the lease of 7 ended", |records, _| {
        let renewed = Record::Renewed {
            event: FIRST,
            process: 7,
            until: 2 * LEASE,
        };
        let again = delivered(FIRST, 1, 8, LEASE);
        records.splice(6..9, std::iter::once(renewed).chain(again));
    });
}

#[test]
fn an_attempt_whose_lease_was_taken_over_is_late_and_no_double() {
    let verdict = after(1, |records, _| {
        records.push(Record::Started {
            event: SECOND,
            lane: 1,
            number: 0,
            process: 7,
            at: 20,
        });
    });
    assert!(verdict.is_sound(), "{verdict}");
    assert_eq!(verdict.late, 1);
}

#[test]
fn an_event_that_is_left_behind_is_stuck() {
    assert_finds("is stuck", |_, rows| {
        rows.open.insert(SECOND, "pending".to_owned());
    });
}

#[test]
fn a_change_without_its_event_and_an_event_without_its_change_are_found() {
    assert_finds("a change without its event", |records, rows| {
        records.retain(|record| *record != Record::Acknowledged { event: SECOND });
        rows.lanes.insert(1, vec![FIRST]);
    });
    assert_finds("an event without its change", |_, rows| {
        rows.journal.pop();
    });
}

#[test]
fn events_out_of_the_order_of_commits_are_found() {
    assert_finds("not in the order of commits", |_, rows| {
        rows.lanes.insert(1, vec![SECOND, FIRST]);
    });
}

#[test]
fn old_content_after_new_and_content_that_never_came_are_found() {
    let verdict = after(FOLDING, |records, _| records.rotate_right(5));
    assert!(verdict.to_string().contains("content 1 of"), "{verdict}");
    let verdict = after(FOLDING, |_, rows| rows.journal[1].2 = 3);
    assert!(
        verdict.to_string().contains("last content is 3"),
        "{verdict}"
    );
}

#[test]
fn a_death_with_a_lease_counts_as_a_strike_and_one_without_does_not() {
    let verdict = after(1, |records, _| {
        records.insert(6, Record::Killed { process: 7 });
        records.push(Record::Killed { process: 8 });
    });
    assert_eq!(verdict.struck, 1);
}
