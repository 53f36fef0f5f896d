//! Prints the table of outages, and fails if a bound does not hold:
//!
//! ```sh
//! cargo run --release -p outbox-outages                          # everything
//! cargo run --release -p outbox-outages -- "one event" 429 c=3   # the rows that have all of these in their line
//! cargo run --release -p outbox-outages -- --seed 7 --threads 1 --quick
//! ```

use std::process::ExitCode;

use outbox_outages::scenario::is_quick;
use outbox_outages::table;

fn main() -> ExitCode {
    let mut seed = 1;
    let mut threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut quick = false;
    let mut words = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || {
            arguments
                .next()
                .and_then(|number| number.parse::<usize>().ok())
        };
        match argument.as_str() {
            "--seed" => match number() {
                Some(number) => seed = number as u64,
                None => return usage(),
            },
            "--threads" => match number() {
                Some(number) => threads = number,
                None => return usage(),
            },
            "--quick" => quick = true,
            option if option.starts_with('-') => return usage(),
            _ => words.push(argument),
        }
    }
    let mut last = "";
    let (rows, failed) = table::run(
        seed,
        threads,
        |scenario, case| {
            let line = format!("{} {case} ", scenario.name);
            let fits = words.iter().all(|word| line.contains(word.as_str()));
            fits && (!quick || is_quick(scenario, case))
        },
        |scenario, row| {
            if scenario.name != last {
                println!("\n{}", scenario.name);
                last = scenario.name;
            }
            println!("  {row}");
        },
    );
    println!("\n{rows} rows, {failed} failed");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: outbox-outages [--seed N] [--threads N] [--quick] [WORD ..]");
    ExitCode::FAILURE
}
