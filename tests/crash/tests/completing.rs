//! Promise 1 for handlers that complete their event in a transaction of the application, when
//! processes are killed at random moments (F01).
//!
//! `OUTBOX_CRASH_SEED` repeats a run, and `OUTBOX_CRASH_KILLS` is the number of kills (300 unless
//! given).

use std::thread;

use outbox_crash::plan::Completes;
use outbox_crash::supervisor::completing::{self, Report, Settings};

fn number(name: &str) -> Option<u32> {
    let given = std::env::var(name).ok()?;
    given.parse().ok()
}

/// Campaigns run side by side.
const CAMPAIGNS: u32 = 2;

fn lead(completes: Completes, kills: u32, campaign: u32) -> Report {
    let seed = number("OUTBOX_CRASH_SEED").unwrap_or(3) + campaign;
    let report = completing::run(Settings {
        kills,
        seed: seed.into(),
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
    let kills = number("OUTBOX_CRASH_KILLS").unwrap_or(300);
    let kills = kills.div_ceil(CAMPAIGNS);
    thread::scope(|scope| {
        for campaign in 0..CAMPAIGNS {
            scope.spawn(move || {
                let report = lead(Completes::InOneTransaction, kills, campaign);
                assert!(report.is_sound(), "{report}");
                let is_enough = report.saved > 3 * kills as usize;
                assert!(is_enough, "too few events were at risk: {report}");
            });
        }
    });
}

#[test]
fn a_handler_with_two_commits_is_caught() {
    let report = lead(Completes::InTwo, 20, 0);
    assert!(!report.violations.is_empty(), "{report}");
    assert!(report.saved_again > 0, "{report}");
}
