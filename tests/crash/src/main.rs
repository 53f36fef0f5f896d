//! The worker that the tests inject faults into, and a kill campaign of any length:
//!
//! ```sh
//! cargo run --release -p outbox-crash -- 5000 7    # 5000 kills, seed 7
//! ```

use std::process::ExitCode;

use outbox_crash::supervisor::{self, campaign};

fn main() -> ExitCode {
    if std::env::var_os(supervisor::PLAN).is_some() {
        return outbox_crash::worker::main();
    }
    let mut numbers = std::env::args().skip(1).map(|argument| argument.parse());
    let (Some(Ok(kills)), Some(Ok(seed)), None) = (numbers.next(), numbers.next(), numbers.next())
    else {
        eprintln!("usage: outbox-crash KILLS SEED");
        return ExitCode::FAILURE;
    };
    let report = campaign::run(&campaign::Settings::one_worker(
        u32::try_from(kills).unwrap_or(u32::MAX),
        seed,
    ));
    println!("{report}");
    if report.verdict.is_sound() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
