//! Promises 3 and 5 when the wall clock is set while processes work (F31, F32, F33): nothing gets
//! stuck, and no live process loses its work.

use outbox_crash::ledger::Record;
use outbox_crash::plan::{Plan, Work, exit};
use outbox_crash::rows::Database;
use outbox_crash::supervisor::faketime::WallClock;
use outbox_crash::supervisor::{Arena, wait, was_killed};
use outbox_crash::task::{Chore, Task};
use outbox_crash::verdict::Circumstances;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// Longer than the test needs to set the clock, shorter than a lease.
const WHILE: Chore = Chore::Slow(2_000);

const UNHARMED: Circumstances = Circumstances {
    deaths: 0,
    cleaned_up: false,
};

fn enqueue(arena: &Arena, tasks: &[(i64, Chore)], first: u32) -> Plan {
    arena.plan(Work::Enqueue {
        tasks: tasks.to_vec(),
        first,
    })
}

fn serve(arena: &Arena) -> Plan {
    let mut plan = arena.plan(Work::Serve);
    plan.lease = 3_000;
    plan.timeout = 2_900;
    plan.concurrency = 6;
    // Longer than any jump: clean-up would delete the rows that the test inspects.
    plan.keep_completed = Some(u64::try_from(10 * DAY * 1_000).expect("the duration is positive"));
    plan
}

fn started(arena: &Arena) -> usize {
    arena.count(|record| matches!(record, Record::Started { .. }))
}

fn all_completed(arena: &Arena) -> bool {
    // Keeps the polling cheap.
    wait::pause(std::time::Duration::from_millis(20));
    Database::count_without(arena.database(), "completed") == 0
}

/// Sets the clock while handlers run, with events and failures before and after: each event is
/// delivered once.
fn set_while_at_work(seconds: i64, workers: usize) {
    let arena = Arena::new();
    let Some(clock) = WallClock::new(&arena) else {
        return;
    };
    // Three entities whose second event waits for the first, and one event that is retried.
    let before: Vec<(i64, Chore)> = (0..3)
        .flat_map(|entity| [(entity, WHILE), (entity, Chore::Deliver)])
        .chain([(10, Chore::Fail(1))])
        .collect();
    assert_eq!(
        clock.start(&enqueue(&arena, &before, 0)).wait().code(),
        Some(exit::FINE)
    );
    let workers: Vec<_> = (0..workers).map(|_| clock.start(&serve(&arena))).collect();
    wait::until("handlers at work", || started(&arena) >= 4);
    clock.set(&arena, seconds);
    // The new events make every worker look for work.
    let after = [
        (20, Chore::Deliver),
        (21, Chore::Fail(1)),
        (22, Chore::Snooze),
    ];
    let producer = clock.start(&enqueue(&arena, &after, 100));
    assert_eq!(producer.wait().code(), Some(exit::FINE));
    wait::until("everything is delivered", || all_completed(&arena));
    for worker in workers {
        assert_eq!(worker.stop().code(), Some(exit::FINE));
    }
    let verdict = arena.judge(UNHARMED);
    println!("{verdict}");
    verdict.assert_sound();
    assert!(
        verdict.duplicated.is_empty() && verdict.late == 0,
        "{verdict}"
    );
    for row in Database::read(arena.database()).rows {
        let fails = [Task::event_id(0, 6), Task::event_id(0, 101)].contains(&row.event);
        assert_eq!(
            row.attempts,
            1 + u32::from(fails),
            "a worker lost its lease: {row:?}"
        );
    }
}

#[test]
fn a_clock_set_forward_a_day_takes_no_work_away() {
    set_while_at_work(DAY, 1);
}

#[test]
fn a_clock_set_forward_a_day_takes_no_work_from_either_of_two_processes() {
    set_while_at_work(DAY, 2);
}

#[test]
fn a_clock_that_is_set_back_by_an_hour_leaves_nothing_stuck() {
    set_while_at_work(-HOUR, 1);
}

#[test]
fn a_clock_that_is_set_back_by_an_hour_leaves_nothing_stuck_between_two_processes() {
    set_while_at_work(-HOUR, 2);
}

#[test]
fn work_of_a_dead_process_is_rescued_after_the_clock_was_set_back_an_hour() {
    let arena = Arena::new();
    let Some(clock) = WallClock::new(&arena) else {
        return;
    };
    let tasks = [(1, WHILE), (2, WHILE)];
    assert_eq!(
        clock.start(&enqueue(&arena, &tasks, 0)).wait().code(),
        Some(exit::FINE)
    );
    let worker = clock.start(&serve(&arena));
    wait::until("handlers at work", || started(&arena) == 2);
    assert!(was_killed(worker.kill()));
    clock.write(-HOUR);
    let next = clock.start(&serve(&arena));
    wait::until("everything is delivered", || all_completed(&arena));
    assert_eq!(next.stop().code(), Some(exit::FINE));
    arena
        .judge(Circumstances {
            deaths: 1,
            cleaned_up: false,
        })
        .assert_sound();
}

#[test]
fn clean_up_with_a_clock_that_is_ahead_deletes_only_delivered_events() {
    let arena = Arena::new();
    let Some(clock) = WallClock::new(&arena) else {
        return;
    };
    // One is delivered, one held back behind a rejected one.
    let tasks = [
        (1, Chore::Deliver),
        (2, Chore::Reject),
        (2, Chore::Deliver),
        (3, Chore::Deliver),
    ];
    assert_eq!(
        clock.start(&enqueue(&arena, &tasks, 0)).wait().code(),
        Some(exit::FINE)
    );
    let mut plan = serve(&arena);
    // Far longer than the test, and far shorter than the jump.
    plan.keep_completed = Some(1_000_000);
    let worker = clock.start(&plan);
    wait::until("the deliveries", || started(&arena) == 3);
    clock.set(&arena, DAY);
    assert_eq!(worker.stop().code(), Some(exit::FINE));
    plan.keep_completed = Some(600);
    let worker = clock.start(&plan);
    wait::until("the clean-up", || {
        Database::read(arena.database()).rows.len() == 2
    });
    assert_eq!(worker.stop().code(), Some(exit::FINE));
    let verdict = arena.judge(Circumstances {
        deaths: 0,
        cleaned_up: true,
    });
    verdict.assert_sound();
    assert_eq!(
        (verdict.dead.len(), verdict.held.len()),
        (1, 1),
        "{verdict}"
    );
}
