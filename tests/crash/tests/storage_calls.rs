//! Promise 2 when the medium fails single system calls (F13, F14, F15, F26): which error the caller
//! gets, and that work continues.

use outbox_crash::ledger::Record;
use outbox_crash::plan::{Plan, Then, Work, exit};
use outbox_crash::rows::Database;
use outbox_crash::supervisor::injection::Injection;
use outbox_crash::supervisor::{Arena, FEW_STATEMENTS, was_killed};
use outbox_crash::task::{Chore, Task};
use outbox_crash::tools;
use outbox_crash::verdict::Circumstances;
use rustix::process::{Signal, kill_process};

/// A delivered outcome that cannot be recorded leaves an attempt behind.
const FAULTY: Circumstances = Circumstances {
    deaths: 2,
    cleaned_up: false,
};

/// Number of these calls on one thread of a run without faults.
fn count_calls(call: &'static str, plan: impl Fn(&Arena) -> Plan) -> usize {
    let arena = Arena::new();
    let unharmed = Injection::none(&arena, call);
    let ended = unharmed.start(&arena, &plan(&arena)).wait();
    assert_eq!(ended.code(), Some(exit::FINE));
    unharmed.calls_of_one_thread(call)
}

/// Error of opening the store, if it failed.
fn open_error(arena: &Arena) -> Option<String> {
    arena.records().into_iter().find_map(|record| match record {
        Record::Failed {
            operation, kind, ..
        } if operation == "open" => Some(kind),
        _ => None,
    })
}

/// Fails one call at each of several points: the worker reports one of these kinds, continues, and
/// loses nothing.
fn one_failure(call: &'static str, error: &str, kinds: &[&str], points: usize) {
    if !tools::has_strace() {
        return;
    }
    let plan = |arena: &Arena| arena.mix(12, Then::Drain);
    let all = count_calls(call, plan);
    let (mut fired, mut reported) = (0, 0);
    for point in 0..points {
        let n = 1 + point * all / points;
        let arena = Arena::new();
        let injection = Injection::error(&arena, call, error, &n.to_string());
        let ended = injection.start(&arena, &plan(&arena)).wait();
        let injected = injection.fired();
        fired += injected;
        if let Some(refused) = open_error(&arena) {
            assert!(kinds.contains(&refused.as_str()), "{call} {n}: {refused}");
            assert_eq!(ended.code(), Some(exit::CANNOT_OPEN));
            reported += 1;
        } else {
            assert_eq!(
                ended.code(),
                Some(exit::FINE),
                "{call} {n}: the worker continues"
            );
        }
        for (refused, _) in arena.refusals() {
            // On the application's connection, the error is the driver's own.
            let known = kinds.contains(&refused.as_str()) || refused == "Driver";
            assert!(known, "{call} {n}: {refused}");
            reported += 1;
        }
        arena.drain_and_judge(FAULTY);
    }
    println!("{call} {error}: injected {fired} times, reported {reported} times");
    assert!(fired * 10 >= points * 9, "{fired} of {points} injected");
    assert!(reported > 0, "no fault was reported");
}

#[test]
fn a_write_without_space_is_reported_as_storage_full_and_work_continues() {
    one_failure("pwrite64", "ENOSPC", &["StorageFull"], 16);
}

#[test]
fn a_failed_write_is_reported_as_unavailable_and_work_continues() {
    one_failure("pwrite64", "EIO", &["Unavailable"], 16);
}

#[test]
fn a_failed_read_is_reported_and_work_continues() {
    // SQLite itself reports an unreadable page as damage.
    one_failure("pread64", "EIO", &["Unavailable", "Corrupt"], 12);
}

#[test]
fn a_failed_sync_makes_a_commit_unknown_and_enqueueing_again_leaves_one_row() {
    if !tools::has_strace() {
        return;
    }
    // Numbers 3 and 4: on the store and in a store transaction.
    let plan = |arena: &Arena| {
        arena.plan(Work::Enqueue {
            tasks: vec![(1, Chore::Deliver), (2, Chore::Deliver)],
            first: 3,
        })
    };
    let all = count_calls("fsync", plan);
    let (mut unknown, mut refused_opens) = (0, 0);
    for n in 1..=all {
        let arena = Arena::new();
        let injection = Injection::error(&arena, "fsync", "EIO", &n.to_string());
        let ended = injection.start(&arena, &plan(&arena)).wait();
        assert_eq!(injection.fired(), 1, "the bundled SQLite calls fsync");
        if open_error(&arena).is_some() {
            assert_eq!(ended.code(), Some(exit::CANNOT_OPEN));
            refused_opens += 1;
            continue;
        }
        assert_eq!(ended.code(), Some(exit::FINE));
        for (kind, is_unknown) in arena.refusals() {
            assert_eq!((kind.as_str(), is_unknown), ("Unavailable", true));
            unknown += 1;
        }
        let acknowledged = |record: &Record| matches!(record, Record::Acknowledged { .. });
        assert_eq!(
            arena.count(acknowledged),
            2,
            "repeating the enqueue succeeds"
        );
        let rows = Database::read(arena.database()).rows;
        let events: Vec<_> = rows.iter().map(|row| row.event).collect();
        assert_eq!(events, [Task::event_id(0, 3), Task::event_id(0, 4)]);
        arena.drain_and_judge(FAULTY);
    }
    println!("{all} syncs failed: {refused_opens} while opening, {unknown} commits unknown");
    assert!(unknown >= 2, "both commits must be hit");
}

#[test]
fn a_failed_shared_sync_makes_all_its_commits_unknown() {
    if !tools::has_strace() {
        return;
    }
    const COUNT: u32 = 12;
    // The bundled SQLite calls fsync.
    const SYNC: &str = "fdatasync";
    let plan = |arena: &Arena| arena.plan(Work::Together { count: COUNT });
    let syncs = count_calls(SYNC, plan);
    println!("{syncs} syncs for {COUNT} concurrent transactions");
    assert!((1..=COUNT as usize / 2).contains(&syncs));
    let arena = Arena::new();
    let injection = Injection::error(&arena, SYNC, "EIO", "1");
    let ended = injection.start(&arena, &plan(&arena)).wait();
    assert_eq!(injection.fired(), 1);
    assert_eq!(ended.code(), Some(exit::FINE));
    let refusals = arena.refusals();
    assert!(
        refusals.len() > 1,
        "several commits must share the sync: {refusals:?}"
    );
    for (kind, is_unknown) in refusals {
        assert_eq!((kind.as_str(), is_unknown), ("Unavailable", true));
    }
    // Enqueued again under their ids, each is stored once.
    assert_eq!(arena.acknowledged(), COUNT as usize);
    let rows = Database::read(arena.database()).rows;
    assert_eq!(rows.len(), COUNT as usize);
    arena.drain_and_judge(FAULTY);
}

#[test]
fn a_worker_waits_out_writes_that_fail_for_a_while() {
    if !tools::has_strace() {
        return;
    }
    for (error, kind) in [("ENOSPC", "StorageFull"), ("EIO", "Unavailable")] {
        let arena = Arena::new();
        let injection = Injection::error(&arena, "pwrite64", error, "120..135");
        let ended = injection.start(&arena, &arena.mix(12, Then::Drain)).wait();
        assert_eq!(
            ended.code(),
            Some(exit::FINE),
            "the worker finishes its work"
        );
        assert!(injection.fired() > 5, "{} injected", injection.fired());
        let refusals = arena.refusals();
        println!("{error} injected {} times: {refusals:?}", injection.fired());
        assert!(
            refusals
                .iter()
                .all(|(refused, _)| refused == kind || refused == "Driver"),
            "{refusals:?}"
        );
        arena.drain_and_judge(Circumstances {
            deaths: 20,
            cleaned_up: false,
        });
    }
}

#[test]
fn a_worker_recovers_from_occasional_failed_writes() {
    if !tools::has_strace() {
        return;
    }
    let arena = Arena::new();
    // Every 41st write, from the 120th on, when the schema exists.
    let injection = Injection::error(&arena, "pwrite64", "EIO", "120+41");
    let ended = injection.start(&arena, &arena.mix(60, Then::Drain)).wait();
    assert_eq!(
        ended.code(),
        Some(exit::FINE),
        "the worker finishes its work"
    );
    println!(
        "injected {} times, {} refusals",
        injection.fired(),
        arena.refusals().len()
    );
    assert!(injection.fired() > 10, "{} injected", injection.fired());
    arena.drain_and_judge(Circumstances {
        deaths: 50,
        cleaned_up: false,
    });
}

#[test]
fn a_worker_does_not_spin_while_all_writes_fail() {
    if !tools::has_strace() {
        return;
    }
    for error in ["ENOSPC", "EIO"] {
        let arena = Arena::new();
        let injection = Injection::error(&arena, "pwrite64", error, "150+");
        let worker = injection.start(&arena, &arena.mix(10_000, Then::Serve));
        outbox_crash::supervisor::wait::until("the fault", || injection.fired() > 0);
        // The positive control: the counter worked before the fault.
        let worked = arena
            .records()
            .iter()
            .rev()
            .find_map(|record| match record {
                Record::Acknowledged { .. } => Some(()),
                _ => None,
            });
        assert!(worked.is_some(), "no statements counted before the fault");
        let rate = arena.statements_a_second();
        println!(
            "{error}: injected {} times, {rate:.0} statements per second",
            injection.fired()
        );
        assert!(rate < FEW_STATEMENTS, "{rate} statements per second");
        kill_process(arena.last_process(), Signal::KILL).unwrap();
        assert!(was_killed(worker.wait()));
        arena.drain_and_judge(Circumstances {
            deaths: 20,
            cleaned_up: false,
        });
    }
}

/// The positive control of the rate: a busy worker exceeds the limit.
#[test]
fn a_worker_at_work_runs_many_statements() {
    let arena = Arena::new();
    let worker = arena.start(&arena.mix(10_000, Then::Serve));
    let rate = arena.statements_a_second();
    println!("{rate:.0} statements per second");
    assert!(rate > FEW_STATEMENTS, "{rate} statements per second");
    worker.kill();
}
