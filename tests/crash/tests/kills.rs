//! Promises 2 to 5 when processes are killed at random moments, alone and next to others (F01,
//! F46).
//!
//! `OUTBOX_CRASH_SEED` repeats a run; `cargo run -p outbox-crash -- KILLS SEED` makes it longer.

use std::time::Duration;

use outbox_crash::supervisor::campaign::{self, Report, Settings};

fn lead(settings: &Settings) -> Report {
    println!("seed {}", settings.seed);
    let report = campaign::run(settings);
    println!("{report}");
    assert!(report.verdict.is_sound(), "{report}");
    assert!(report.kills >= settings.kills);
    assert!(
        report.before_open * 2 < report.kills,
        "too few workers were killed at work: {report}"
    );
    assert!(
        report.verdict.acknowledged > 100,
        "too few events were at risk: {report}"
    );
    report
}

fn seed(default: u64) -> u64 {
    let given = std::env::var("OUTBOX_CRASH_SEED").ok();
    given.and_then(|seed| seed.parse().ok()).unwrap_or(default)
}

#[test]
fn two_hundred_kills_of_a_worker_lose_nothing_and_leave_nothing_stuck() {
    lead(&Settings::one_worker(200, seed(1)));
}

#[test]
fn a_hundred_kills_among_three_workers_lose_nothing_and_keep_the_order() {
    lead(&Settings {
        kills: 100,
        seed: seed(2),
        workers: 3,
        longest: Duration::from_millis(90),
        burst: 60,
    });
}
