//! Runs simulations with outages for many seeds, more than an ordinary test does, and reports the
//! invariants that do not hold:
//!
//! ```sh
//! cargo run --release -p outbox-outages --bin seeds -- 0 10000              # with outages
//! cargo run --release -p outbox-outages --bin seeds -- 0 10000 --calm       # without
//! cargo run --release -p outbox-outages --bin seeds -- 1456 1457 --trace    # and what led to a failure
//! ```

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use outbox_testing::{Report, Simulation};

fn main() -> ExitCode {
    let mut threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (mut has_outages, mut tells_traces) = (true, false);
    let mut bounds = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--calm" => has_outages = false,
            "--trace" => tells_traces = true,
            "--threads" => match arguments.next().map(|number| number.parse()) {
                Some(Ok(number)) => threads = number,
                _ => return usage(),
            },
            number => match number.parse::<u64>() {
                Ok(number) => bounds.push(number),
                Err(_) => return usage(),
            },
        }
    }
    let [from, to] = bounds[..] else {
        return usage();
    };
    let next = AtomicU64::new(from);
    let sum = Mutex::new((Report::default(), 0));
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= to {
                        return;
                    }
                    let simulation = Simulation::new(seed);
                    let simulation = match has_outages {
                        true => simulation.outages(),
                        false => simulation,
                    };
                    let outcome = simulation.run();
                    let mut sum = sum.lock().unwrap();
                    match outcome {
                        Ok(report) => sum.0 += report,
                        Err(failure) => {
                            sum.1 += 1;
                            let told = failure.to_string();
                            let last = told.lines().last().unwrap_or_default();
                            println!("seed {seed}: {}", if tells_traces { &told } else { last });
                        }
                    }
                }
            });
        }
    });
    let (report, failed) = sum.into_inner().unwrap();
    println!("{report}\n{failed} seeds failed");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: seeds FROM TO [--calm] [--trace] [--threads N]");
    ExitCode::FAILURE
}
