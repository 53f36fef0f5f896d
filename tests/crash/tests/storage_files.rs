//! Promises 2 and 6 when others change or hold the file: a lock (F22), a long reader (F24), a
//! damaged page (F18), a truncated file (F19), a missing `-wal` or `-shm` (F20).

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

use outbox_crash::ledger::Record;
use outbox_crash::plan::{Then, Work, exit};
use outbox_crash::rows::Database;
use outbox_crash::supervisor::{Arena, FEW_STATEMENTS, wait, was_killed};
use outbox_crash::task::{Chore, Task};
use outbox_crash::verdict::Circumstances;
use outbox_runtime::rusqlite::Connection;

const FAULTY: Circumstances = Circumstances {
    deaths: 20,
    cleaned_up: false,
};

/// Sixty events that were never claimed, in a file that was closed cleanly.
fn sixty_events() -> Arena {
    let arena = Arena::new();
    let plan = arena.plan(Work::Enqueue {
        tasks: (0..60).map(|entity| (entity, Chore::Deliver)).collect(),
        first: 0,
    });
    assert_eq!(arena.run(&plan).code(), Some(exit::FINE));
    arena
}

#[test]
fn a_lock_of_another_process_is_waited_out_without_spinning() {
    let arena = Arena::new();
    let mut plan = arena.mix(100_000, Then::Serve);
    plan.busy_timeout = 50;
    let worker = arena.start(&plan);
    wait::until("work", || arena.acknowledged() > 20);
    // This process is the other one.
    let other = Connection::open(arena.database()).unwrap();
    other
        .busy_timeout(std::time::Duration::from_secs(30))
        .unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let before = arena.refusals().len();
    wait::until("refusals because of the lock", || {
        arena.refusals().len() > before + 2
    });
    let rate = arena.statements_a_second();
    println!(
        "{} refusals, {rate:.0} statements per second",
        arena.refusals().len()
    );
    assert!(rate < FEW_STATEMENTS, "{rate} statements per second");
    for (kind, unknown) in &arena.refusals() {
        assert!(
            kind == "Unavailable" && !unknown || kind == "Driver",
            "{kind}"
        );
    }
    other.execute_batch("COMMIT").unwrap();
    let before = arena.acknowledged();
    wait::until("work to continue", || arena.acknowledged() > before + 20);
    assert_eq!(worker.stop().code(), Some(exit::FINE));
    arena.drain_and_judge(FAULTY);
}

#[test]
fn a_long_reader_stops_nobody_and_the_wal_is_reused_after_it_ends() {
    let arena = sixty_events();
    let reader = Connection::open(arena.database()).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let count = || -> i64 {
        let sql = "SELECT count(*) FROM outbox_events";
        reader.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count(), 60);
    let size = || std::fs::metadata(arena.beside_database("-wal")).map_or(0, |wal| wal.len());
    // SQLite checkpoints the -wal from 4,000 pages on, but not past the snapshot of a reader.
    let checkpoint = 4_000 * 4_096;
    let worker = arena.start(&arena.mix(100_000, Then::Serve));
    wait::until("a -wal larger than the checkpoint threshold", || {
        size() > checkpoint * 3 / 2
    });
    assert_eq!(count(), 60, "the reader keeps its snapshot");
    drop(reader);
    let reached = size();
    let before = arena.acknowledged();
    let written = || arena.acknowledged() - before;
    // As much again as before.
    wait::until("as much work again", || written() > before);
    println!(
        "{reached} bytes with the reader, {} after {} more events",
        size(),
        written()
    );
    assert!(
        size() < reached + checkpoint / 8,
        "the -wal is reused from its start"
    );
    worker.kill();
    arena.drain_and_judge(FAULTY);
}

/// Root pages of the outbox's indices.
fn roots_of_indices(arena: &Arena) -> Vec<u64> {
    let conn = Connection::open(arena.database()).unwrap();
    let sql =
        "SELECT rootpage FROM sqlite_schema WHERE tbl_name = 'outbox_events' AND type = 'index'";
    let mut indices = conn.prepare(sql).unwrap();
    let roots = indices.query_map([], |row| row.get::<_, i64>(0)).unwrap();
    roots.map(|root| root.unwrap().unsigned_abs()).collect()
}

#[test]
fn a_backup_taken_during_work_is_complete_and_delivers_on_its_own() {
    let arena = Arena::new();
    let worker = arena.start(&arena.mix(100_000, Then::Serve));
    wait::until("work", || arena.acknowledged() > 40);
    let backup = Arena::new();
    let conn = Connection::open(arena.database()).unwrap();
    let path = backup.database().to_str().unwrap();
    conn.execute("VACUUM INTO ?1", [path]).unwrap();
    worker.kill();
    let copied = Database::read(backup.database());
    assert!(copied.rows.len() > 30 && copied.damage.is_empty());
    assert!(
        copied.rows.iter().any(|row| row.status != "completed"),
        "the control"
    );
    // Leases at the time of the backup end, because their owner does not exist here.
    backup.drain();
    let drained = Database::read(backup.database());
    assert_eq!(drained.rows.len(), copied.rows.len());
    for row in &drained.rows {
        // Held back behind a dead event, as the mixture has it.
        let is_held = row.status == "pending" && row.entity >= 500_000;
        assert!(
            is_held || ["completed", "dead"].contains(&row.status.as_str()),
            "{row:?}"
        );
    }
    arena.drain_and_judge(FAULTY);
}

#[test]
fn a_damaged_page_is_reported_and_not_overwritten() {
    let arena = sixty_events();
    let roots = roots_of_indices(&arena);
    assert!(roots.len() > 3);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(arena.database())
        .unwrap();
    for root in &roots {
        file.write_all_at(&[0xA5; 4_096], (root - 1) * 4_096)
            .unwrap();
    }
    let worker = arena.start(&arena.mix(1, Then::Serve));
    wait::until("the damage", || !arena.refusals().is_empty());
    let rate = arena.statements_a_second();
    assert!(rate < FEW_STATEMENTS, "{rate} statements per second");
    assert_eq!(arena.refusals(), [("Corrupt".to_owned(), false)]);
    assert_eq!(worker.stop().code(), Some(exit::FINE));
    for root in roots {
        let mut page = [0; 4_096];
        file.read_exact_at(&mut page, (root - 1) * 4_096).unwrap();
        assert_eq!(page, [0xA5; 4_096], "page {root} was overwritten");
    }
    let sql = "SELECT count(*) FROM outbox_events NOT INDEXED";
    let conn = Connection::open(arena.database()).unwrap();
    let left: i64 = conn.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(left, 60, "the events are still readable");
}

#[test]
fn a_truncated_file_is_refused_and_left_as_it_is() {
    let arena = sixty_events();
    let file = OpenOptions::new()
        .write(true)
        .open(arena.database())
        .unwrap();
    let whole = file.metadata().unwrap().len();
    for length in [whole - 4_096, whole / 2, 5_000, 50] {
        file.set_len(length).unwrap();
        let before = std::fs::read(arena.database()).unwrap();
        let records = arena.records().len();
        let ended = arena.run(&arena.plan(Work::Enqueue {
            tasks: vec![(1, Chore::Deliver)],
            first: 900,
        }));
        let told: Vec<String> = arena.records()[records..]
            .iter()
            .filter_map(|record| match record {
                Record::Failed { kind, .. } | Record::Refused { kind, .. } => Some(kind.clone()),
                _ => None,
            })
            .collect();
        assert!(
            matches!(told[..], [ref kind] if kind == "Corrupt" || kind == "NotADatabase"),
            "{length} bytes: {told:?}, {ended}"
        );
        assert_eq!(
            std::fs::read(arena.database()).unwrap(),
            before,
            "{length} bytes"
        );
    }
}

/// Enqueues and delivers, closes cleanly, works again, and is killed with a full `-wal`.
fn killed_with_a_wal() -> Arena {
    let arena = Arena::new();
    let worker = arena.start(&arena.mix(20, Then::Serve));
    wait::until("work", || arena.acknowledged() == 20);
    assert_eq!(worker.stop().code(), Some(exit::FINE));
    let mut plan = arena.mix(20, Then::Serve);
    plan.work = Work::Mix {
        producer: 0,
        first: 20,
        count: 20,
        then: Then::Serve,
    };
    let worker = arena.start(&plan);
    wait::until("more work", || arena.acknowledged() == 40);
    assert!(was_killed(worker.kill()));
    let wal = File::open(arena.beside_database("-wal")).unwrap();
    assert!(
        wal.metadata().unwrap().len() > 100_000,
        "the work must be in the -wal"
    );
    arena
}

#[test]
fn a_missing_shm_loses_nothing() {
    let arena = killed_with_a_wal();
    std::fs::remove_file(arena.beside_database("-shm")).unwrap();
    arena.drain_and_judge(FAULTY);
}

#[test]
fn a_missing_wal_loses_only_its_own_content() {
    let arena = killed_with_a_wal();
    std::fs::remove_file(arena.beside_database("-wal")).unwrap();
    std::fs::remove_file(arena.beside_database("-shm")).unwrap();
    arena.drain();
    let verdict = arena.judge(FAULTY);
    // The positive control: events are lost here.
    assert!(!verdict.lost.is_empty(), "{verdict}");
    let first_run: Vec<_> = (0..20).map(|number| Task::event_id(0, number)).collect();
    assert!(
        first_run.iter().all(|event| !verdict.lost.contains(event)),
        "{verdict}"
    );
    assert!(verdict.unexpected.is_empty(), "{verdict}");
    assert!(Database::read(arena.database()).damage.is_empty());
}

#[test]
fn a_truncated_wal_loses_only_its_end() {
    let arena = killed_with_a_wal();
    let wal = OpenOptions::new()
        .write(true)
        .open(arena.beside_database("-wal"))
        .unwrap();
    let length = wal.metadata().unwrap().len();
    wal.set_len(length - 40_001).unwrap();
    arena.drain();
    let verdict = arena.judge(FAULTY);
    assert!(verdict.unexpected.is_empty(), "{verdict}");
    let first_run: Vec<_> = (0..20).map(|number| Task::event_id(0, number)).collect();
    assert!(
        first_run.iter().all(|event| !verdict.lost.contains(event)),
        "{verdict}"
    );
    assert!(Database::read(arena.database()).damage.is_empty());
}
