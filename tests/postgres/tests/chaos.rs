//! Faults of processes, servers, sessions, networks and disks under load (F73, F74, F76).
//!
//! Nothing is lost, no acknowledged delivery is repeated, each lane keeps its order, and nothing is
//! stuck. `OUTBOX_POSTGRES_SEED` repeats a run, and `OUTBOX_POSTGRES_KILLS` is the number of
//! workers killed while they complete events in transactions of the application (40 unless given);
//! `cargo run --release -p outbox-postgres-tests -- FAULT COUNT SEED` makes it longer.

use outbox_crash::plan::Completes;
use outbox_postgres::tokio_postgres::IsolationLevel;
use outbox_postgres_tests::Server;
use outbox_postgres_tests::chaos::campaign::promotion::Replication;
use outbox_postgres_tests::chaos::campaign::{
    Report, Settings, completing, disk, network, processes, promotion, servers, sessions,
};

fn settings(count: u64, seed: u64) -> Settings {
    let given = std::env::var("OUTBOX_POSTGRES_SEED").ok();
    Settings {
        program: env!("CARGO_BIN_EXE_outbox-postgres-tests").into(),
        count,
        seed: given.and_then(|seed| seed.parse().ok()).unwrap_or(seed),
    }
}

/// Fails unless the run was sound, and each of these faults struck at least so often.
fn holds(report: &Report, struck: &[(&str, u64)]) {
    println!("{report}");
    report.assert_sound(40);
    for (fault, least) in struck {
        assert!(report.fired(fault) >= *least, "{fault}: {report}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_killed_at_random_moments_lose_nothing_and_keep_the_order() {
    let report = processes::kills(Server::shared(), &settings(10, 1)).await;
    holds(
        &report,
        &[("workers killed", 10), ("of them with leases", 2)],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_checker_finds_what_workers_lose_that_acknowledge_too_early() {
    let report = processes::kills_of_broken_workers(Server::shared(), &settings(3, 2)).await;
    println!("{report}");
    assert!(!report.verdict.undelivered.is_empty(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remote_id_is_saved_if_and_only_if_its_event_is_completed_whenever_a_worker_is_killed() {
    let given = std::env::var("OUTBOX_POSTGRES_KILLS").ok();
    let kills = given.map_or(40, |kills| kills.parse().unwrap());
    let settings = settings(kills, 14);
    let (report, wrong) =
        completing::kills(Server::shared(), Completes::InOneTransaction, &settings).await;
    let struck = [
        ("workers killed", kills),
        ("of them within a transaction", kills / 4),
        ("transactions rolled back by a kill", kills / 4),
        ("remote ids saved", 3 * kills),
    ];
    holds(&report, &struck);
    assert!(wrong.is_empty(), "{report}\n{wrong:#?}");
}

/// The control of the one before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_with_two_commits_is_caught_when_its_worker_is_killed() {
    let (report, wrong) =
        completing::kills(Server::shared(), Completes::InTwo, &settings(10, 15)).await;
    println!("{report}");
    let has = |what: &str| wrong.iter().any(|wrong| wrong.contains(what));
    assert!(has("is open, but its remote id is saved"), "{report}");
    assert!(has("times"), "{report}\n{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_stood_still_past_its_leases_is_fenced() {
    let report = processes::freezes(Server::shared(), &settings(3, 3)).await;
    let struck = [("of them with leases", 1), ("leases lost to others", 1)];
    holds(&report, &struck);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_crashes_loses_nothing_and_its_workers_go_on() {
    let report = servers::restarts(&settings(2, 4)).await;
    let struck = [
        ("immediate stops", 2),
        ("recoveries in the server's log", 2),
        ("leases open at the stops", 1),
        ("calls of workers failed", 1),
        ("attempts of producers failed", 1),
    ];
    holds(&report, &struck);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_ended_by_an_administrator_lose_nothing() {
    let report = sessions::terminations(Server::shared(), &settings(20, 5)).await;
    let struck = [
        ("sessions of workers ended", 2),
        ("listeners ended", 1),
        ("sessions of producers ended", 2),
        ("attempts of producers failed", 1),
    ];
    holds(&report, &struck);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_and_sessions_that_time_out_are_repeated() {
    let report = sessions::timeouts(&settings(4, 6)).await;
    let struck = [
        ("statements cancelled", 4),
        ("idle sessions ended", 1),
        ("idle transactions ended", 1),
        ("57014 in calls of workers", 1),
        ("attempts of producers failed", 1),
    ];
    holds(&report, &struck);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_that_cannot_be_serialized_are_repeated_whole() {
    for (level, seed) in [
        (IsolationLevel::RepeatableRead, 7),
        (IsolationLevel::Serializable, 8),
    ] {
        let report = sessions::serialization(Server::shared(), level, &settings(20, seed)).await;
        holds(&report, &[("serialization failures", 20), ("folds", 1)]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_found_and_nothing_is_doubled() {
    let report = network::faults(Server::shared(), &settings(12, 9)).await;
    let struck = [
        ("connections cut", 2),
        ("connections half closed", 4),
        ("connections stalled", 2),
        ("chunks delayed", 10),
        ("commits without an answer", 3),
        ("events enqueued again and found", 1),
        ("calls of workers failed", 1),
    ];
    holds(&report, &struck);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_events_in_words_and_loses_none() {
    let Some(report) = disk::full(&settings(2, 10)).await else {
        eprintln!("skipped: this process may not mount a file system");
        return;
    };
    let struck = [
        ("enqueues refused as StorageFull", 20),
        ("times that enqueueing went on", 2),
    ];
    holds(&report, &struck);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_room_for_its_log_loses_nothing_and_goes_on_once_there_is_room() {
    let Some(report) = disk::full_server(&settings(1, 13)).await else {
        eprintln!("skipped: this process may not mount a file system");
        return;
    };
    let struck = [
        ("times full", 1),
        ("recoveries in the server's log", 1),
        ("times that enqueueing went on", 1),
    ];
    holds(&report, &struck);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_synchronous_standby_that_takes_over_has_everything_that_was_acknowledged() {
    let report = promotion::promotion(Replication::Synchronous, &settings(1, 11)).await;
    let struck = [
        ("synchronous standbys", 1),
        ("crashes", 1),
        ("promotions", 1),
        ("events acknowledged before", 50),
        ("events acknowledged after", 50),
        // Workers may all be between two calls at the only crash; there are more producers.
        ("attempts of producers failed", 1),
    ];
    holds(&report, &struck);
}

/// Also the control of the one before: the checker finds what a promotion loses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_asynchronous_standby_that_takes_over_may_lack_the_last_and_work_goes_on() {
    let report = promotion::promotion(Replication::Asynchronous, &settings(1, 12)).await;
    println!("{report}");
    assert_eq!(report.fired("promotions"), 1, "{report}");
    assert!(report.fired("events acknowledged after") >= 50, "{report}");
    assert!(
        !report.verdict.lost.is_empty(),
        "nothing was behind: {report}"
    );
    assert!(report.verdict.stuck.is_empty(), "{report}");
    assert!(report.verdict.undelivered.is_empty(), "{report}");
}
