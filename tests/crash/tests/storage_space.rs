//! Promise 2 without free space (F12, F17) or file descriptors (F29): the caller gets an error, the
//! worker waits without spinning, and continues once there is space again.

use std::process::Command;

use outbox_crash::ledger::Record;
use outbox_crash::plan::{Plan, Then, exit};
use outbox_crash::supervisor::{Arena, FEW_STATEMENTS, Worker, program, wait};
use outbox_crash::tools::Tmpfs;
use outbox_crash::verdict::Circumstances;
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};

/// A delivered outcome that cannot be recorded leaves an attempt behind.
const FAULTY: Circumstances = Circumstances {
    deaths: 20,
    cleaned_up: false,
};

/// Starts a worker through a shell that first runs `preparation`.
fn start_limited(preparation: &str, plan: &Plan) -> Worker {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("{preparation}; exec \"$0\" \"$@\"")])
        .arg(program());
    Worker::start(shell, plan)
}

/// Raises the worker's soft limit to its hard limit.
fn raise_limit(arena: &Arena, resource: Resource) {
    let Rlimit { maximum, .. } = getrlimit(resource);
    let lifted = Rlimit {
        current: maximum,
        maximum,
    };
    prlimit(Some(arena.last_process()), resource, lifted).expect("a soft limit can be lifted");
}

/// The worker notices the fault and does not spin; after `end` lifts the fault, it continues.
fn is_waited_out(arena: &Arena, worker: Worker, kinds: &[&str], end: impl FnOnce()) {
    wait::until("the fault", || !arena.refusals().is_empty());
    let rate = arena.statements_a_second();
    let refusals = arena.refusals();
    println!(
        "refused {} times, {rate:.0} statements per second",
        refusals.len()
    );
    assert!(rate < FEW_STATEMENTS, "{rate} statements per second");
    for (kind, _) in &refusals {
        assert!(kinds.contains(&kind.as_str()) || kind == "Driver", "{kind}");
    }
    let before = arena.acknowledged();
    assert!(before > 0, "no events are at risk");
    end();
    wait::until("work to continue", || arena.acknowledged() > before + 5);
    assert_eq!(worker.stop().code(), Some(exit::FINE));
    arena.drain_and_judge(FAULTY);
}

#[test]
fn a_full_file_system_is_waited_out_and_loses_nothing() {
    let Some(small) = Tmpfs::mount(512) else {
        return;
    };
    let arena = Arena::new().with_database_in(small.path());
    let worker = arena.start(&arena.mix(100_000, Then::Serve));
    is_waited_out(&arena, worker, &["StorageFull"], || {
        small.resize(64 * 1_024);
    });
}

#[test]
fn a_limit_on_the_size_of_files_is_waited_out_and_loses_nothing() {
    let arena = Arena::new();
    // 1 MiB, in the shell's blocks of 512 bytes.
    let limited = "trap '' XFSZ; ulimit -S -f 2048";
    let worker = start_limited(limited, &arena.mix(100_000, Then::Serve));
    is_waited_out(&arena, worker, &["StorageFull", "Unavailable"], || {
        raise_limit(&arena, Resource::Fsize);
    });
}

/// Whether the shortage was momentary (the check of other processes also opens a descriptor), so
/// that work continues under the same limit.
fn has_recovered(arena: &Arena) -> bool {
    let (acknowledged, refused) = (arena.acknowledged(), arena.refusals().len());
    let goes_on = || arena.acknowledged() > acknowledged + 20;
    wait::until("the shortage to persist or end", || {
        goes_on() || arena.refusals().len() > refused + 5
    });
    goes_on()
}

#[test]
fn a_lack_of_file_descriptors_is_reported_and_waited_out() {
    let (mut unopened, mut waited_out) = (0, 0);
    for limit in 12..25 {
        let arena = Arena::new();
        let worker = start_limited(
            &format!("ulimit -S -n {limit}"),
            &arena.mix(100_000, Then::Serve),
        );
        let failed = |record: &Record| matches!(record, Record::Failed { .. });
        wait::until("a fault, or enough work without one", || {
            arena.count(failed) > 0 || !arena.refusals().is_empty() || arena.acknowledged() > 50
        });
        if arena.count(failed) > 0 {
            let Some(Record::Failed {
                operation,
                kind,
                text,
            }) = arena.records().pop()
            else {
                panic!("{:?}", arena.records());
            };
            assert_eq!(
                (operation.as_str(), kind.as_str()),
                ("open", "CannotOpen"),
                "{text}"
            );
            assert_eq!(worker.wait().code(), Some(exit::CANNOT_OPEN));
            unopened += 1;
        } else if arena.refusals().is_empty() || has_recovered(&arena) {
            worker.kill();
            arena.drain_and_judge(FAULTY);
        } else {
            is_waited_out(&arena, worker, &["CannotOpen", "Unavailable"], || {
                raise_limit(&arena, Resource::Nofile);
            });
            waited_out += 1;
        }
    }
    println!("{unopened} could not open the store, {waited_out} ran out of descriptors later");
    assert!(unopened > 0 && waited_out > 0, "no limit had both effects");
}
