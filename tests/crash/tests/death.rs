//! Promises 1, 3 and 5 when a process dies or freezes at a specific point.

use std::time::Duration;

use outbox_crash::ledger::{Answer, Record};
use outbox_crash::plan::{Plan, Point, Transaction, Work, exit};
use outbox_crash::rows::{Database, Row};
use outbox_crash::supervisor::{Arena, has_aborted, wait, was_killed};
use outbox_crash::task::{Chore, Task};
use outbox_crash::verdict::Circumstances;
use rustix::process::Signal;

const ONE_DEATH: Circumstances = Circumstances {
    deaths: 1,
    cleaned_up: false,
};

/// A new arena with these events, one entity each: 0, 1, 2, …
fn arena_with(chores: &[Chore]) -> Arena {
    let arena = Arena::new();
    enqueue(&arena, chores, 5);
    arena
}

fn enqueue(arena: &Arena, chores: &[Chore], max_attempts: u32) {
    let mut plan = arena.plan(Work::Enqueue {
        tasks: (0..).zip(chores.iter().copied()).collect(),
        first: 0,
    });
    plan.max_attempts = max_attempts;
    assert_eq!(arena.run(&plan).code(), Some(exit::FINE));
    let acknowledged = arena.count(|record| matches!(record, Record::Acknowledged { .. }));
    assert_eq!(acknowledged, chores.len());
}

/// A plan whose leases end long after the test.
fn patient(arena: &Arena, work: Work) -> Plan {
    let mut plan = arena.plan(work);
    plan.lease = 120_000;
    plan.timeout = 110_000;
    plan.stop_deadline = 60_000;
    plan
}

fn row(arena: &Arena, number: u32) -> Row {
    let event = Task::event_id(0, number);
    let rows = Database::read(arena.database()).rows;
    let row = rows.into_iter().find(|row| row.event == event);
    row.unwrap_or_else(|| panic!("number {number} is missing"))
}

fn has_started(arena: &Arena, count: usize) -> bool {
    arena.count(|record| matches!(record, Record::Started { .. })) >= count
}

fn stopped(arena: &Arena) -> (usize, usize) {
    let records = arena.records();
    let stopped = records.iter().rev().find_map(|record| match record {
        Record::Stopped {
            finished,
            given_back,
        } => Some((*finished, *given_back)),
        _ => None,
    });
    stopped.expect("the worker stopped cleanly")
}

#[test]
fn a_death_between_a_delivery_and_its_outcome_delivers_again_under_the_same_key() {
    let arena = arena_with(&[Chore::DeliverLocked]);
    let worker = arena.start(&arena.plan(Work::Serve));
    let is_answered = |record: &Record| {
        matches!(
            record,
            Record::Answered {
                answer: Answer::Ok,
                ..
            }
        )
    };
    wait::until("the delivery", || arena.count(is_answered) == 1);
    assert!(was_killed(worker.kill()));
    let left = row(&arena, 0);
    assert_eq!((left.status.as_str(), left.attempts), ("processing", 1));

    let verdict = arena.drain_and_judge(ONE_DEATH);
    let event = Task::event_id(0, 0);
    assert!(verdict.duplicated.contains(&event), "{verdict}");
    let delivered = row(&arena, 0);
    assert_eq!(
        (delivered.status.as_str(), delivered.attempts),
        ("completed", 1)
    );
}

#[test]
fn a_death_between_a_claim_and_its_handler_uses_up_no_attempt_and_holds_nothing_up() {
    let arena = arena_with(&[Chore::AbortBefore]);
    assert!(has_aborted(arena.run(&arena.plan(Work::Serve))));
    assert!(!has_started(&arena, 1), "no handler may have started");
    let left = row(&arena, 0);
    assert_eq!((left.status.as_str(), left.attempts), ("processing", 1));

    let verdict = arena.drain_and_judge(ONE_DEATH);
    assert!(verdict.duplicated.is_empty(), "{verdict}");
    let delivered = row(&arena, 0);
    assert_eq!(
        (delivered.status.as_str(), delivered.attempts),
        ("completed", 1)
    );
}

#[test]
fn a_death_inside_a_transaction_leaves_both_the_change_and_its_event_or_neither() {
    for transaction in [Transaction::Callers, Transaction::Stores] {
        for (point, left) in [
            (Point::BetweenTheWrites, 0),
            (Point::BeforeTheCommit, 0),
            // The control: both writes without a transaction.
            (Point::AfterTheCommit, 1),
        ] {
            let arena = Arena::new();
            let ended = arena.run(&arena.plan(Work::DieInTransaction { transaction, point }));
            assert!(has_aborted(ended), "{transaction:?} {point:?}: {ended}");
            let database = Database::read(arena.database());
            assert_eq!(
                (database.rows.len(), database.notes.len()),
                (left, left),
                "{transaction:?} {point:?}"
            );
            assert!(database.damage.is_empty(), "{:?}", database.damage);
        }
    }
}

#[test]
fn an_event_that_always_aborts_its_process_becomes_a_dead_letter_and_others_go_on() {
    const ATTEMPTS: u32 = 3;
    let arena = Arena::new();
    let mut chores = [Chore::Deliver; 9];
    chores[4] = Chore::Abort;
    enqueue(&arena, &chores, ATTEMPTS);
    let mut aborted = 0;
    loop {
        let mut plan = arena.plan(Work::Drain);
        // One at a time: other events in flight would be charged for the crash as well.
        plan.concurrency = 1;
        let ended = arena.run(&plan);
        if !has_aborted(ended) {
            assert_eq!(ended.code(), Some(exit::FINE));
            break;
        }
        aborted += 1;
        assert!(
            aborted <= ATTEMPTS,
            "the event aborts its process too often"
        );
    }
    assert_eq!(
        aborted, ATTEMPTS,
        "the poison event aborts its process each time"
    );
    let verdict = arena.drain_and_judge(Circumstances {
        deaths: aborted,
        cleaned_up: false,
    });
    assert_eq!(verdict.dead, [Task::event_id(0, 4)].into(), "{verdict}");
    let poison = row(&arena, 4);
    assert_eq!((poison.attempts, poison.crashes), (0, ATTEMPTS));
}

#[test]
fn the_first_signal_lets_handlers_finish_until_the_deadline() {
    let arena = arena_with(&[Chore::Slow(300)]);
    let worker = arena.start(&patient(&arena, Work::Serve));
    wait::until("a handler", || has_started(&arena, 1));
    assert_eq!(worker.stop().code(), Some(exit::FINE));
    assert_eq!(stopped(&arena), (1, 0));
    assert_eq!(row(&arena, 0).status, "completed");

    let arena = arena_with(&[Chore::Hang]);
    let mut plan = patient(&arena, Work::Serve);
    plan.stop_deadline = 200;
    let worker = arena.start(&plan);
    wait::until("a handler", || has_started(&arena, 1));
    assert_eq!(worker.stop().code(), Some(exit::FINE));
    assert_eq!(stopped(&arena), (0, 1));
    let left = row(&arena, 0);
    assert_eq!((left.status.as_str(), left.attempts), ("pending", 0));
}

#[test]
fn the_second_signal_gives_everything_back_at_once() {
    let arena = arena_with(&[Chore::Hang, Chore::Hang]);
    let worker = arena.start(&patient(&arena, Work::Serve));
    wait::until("two handlers", || has_started(&arena, 2));
    worker.signal(Signal::TERM);
    wait::until("the first signal", || {
        arena.count(|record| *record == Record::Stopping) == 1
    });
    // The deadline and the leases are a minute away and more; the test waits less.
    assert_eq!(worker.stop().code(), Some(exit::HURRIED));
    assert_eq!(stopped(&arena), (0, 2));
    for number in [0, 1] {
        let left = row(&arena, number);
        assert_eq!((left.status.as_str(), left.attempts), ("pending", 0));
    }
}

#[test]
fn a_process_frozen_past_its_lease_cannot_overwrite_the_next_attempt() {
    let arena = arena_with(&[Chore::Slow(600)]);
    let mut plan = arena.plan(Work::Serve);
    plan.lease = 1_000;
    plan.timeout = 990;
    let frozen = arena.start(&plan);
    wait::until("a handler", || has_started(&arena, 1));
    // A process that is frozen during a commit keeps the file locked, and nobody can claim.
    wait::until("the announcement", || {
        Database::count_runs(arena.database()) == 1
    });
    frozen.signal(Signal::STOP);
    let next = arena.start(&plan);
    wait::until("a handler in the next process", || has_started(&arena, 2));
    frozen.signal(Signal::CONT);
    // Resumes the frozen process, which now gives its late answer.
    wait::pause(Duration::from_millis(250));
    let left = row(&arena, 0);
    assert_eq!(
        (left.status.as_str(), left.attempts, left.crashes),
        ("processing", 1, 1),
        "the successor still holds the event, whatever the frozen process reports"
    );
    wait::until("the outcome", || row(&arena, 0).status == "completed");
    assert_eq!(frozen.stop().code(), Some(exit::FINE));
    assert_eq!(next.stop().code(), Some(exit::FINE));
    arena.judge(ONE_DEATH).assert_sound();
}
