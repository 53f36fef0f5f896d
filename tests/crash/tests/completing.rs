//! Promise 1 for handlers that complete their event in a transaction of the application, when
//! processes are killed at random moments (F01).
//!
//! `OUTBOX_CRASH_SEED` repeats a run, and `OUTBOX_CRASH_KILLS` makes it longer.

use outbox_crash::plan::Completes;
use outbox_crash::supervisor::completing::{self, Report, Settings};

fn number(name: &str) -> Option<u64> {
    let given = std::env::var(name).ok()?;
    given.parse().ok()
}

fn lead(completes: Completes, kills: u32) -> Report {
    let kills = number("OUTBOX_CRASH_KILLS").map_or(kills, |kills| kills.try_into().unwrap());
    let report = completing::run(Settings {
        kills,
        seed: number("OUTBOX_CRASH_SEED").unwrap_or(3),
        completes,
    });
    println!("{report}");
    assert!(
        report.with_handlers * 4 > kills,
        "too few workers were killed at work: {report}"
    );
    report
}

#[test]
fn a_remote_id_is_saved_if_and_only_if_its_event_is_completed() {
    let report = lead(Completes::InOneTransaction, 40);
    assert!(report.is_sound(), "{report}");
    assert!(report.saved > 120, "too few events were at risk: {report}");
}

#[test]
fn a_handler_with_two_commits_is_caught() {
    let report = lead(Completes::InTwo, 20);
    assert!(!report.violations.is_empty(), "{report}");
    assert!(report.saved_again > 0, "{report}");
}
