//! The command `outbox`: sees into an outbox and steers it, in a SQLite file or in PostgreSQL.
//!
//! Every command works through the traits of `outbox_runtime`, so it sees what an application sees.
#![forbid(unsafe_code)]

mod args; // the command line
mod command; // one module per command
mod database; // opening an outbox
mod failure; // exit codes
mod filter; // which events
mod out; // standard output
mod progress; // progress on standard error
#[cfg(feature = "tls")]
mod tls; // certificates of a server

use std::panic::catch_unwind;
use std::process::ExitCode;

use clap::Parser;
use outbox_operate::clean;

use crate::args::Cli;
use crate::failure::{Failure, Outcome, Verdict};

fn main() -> ExitCode {
    // A panic would end with 101. The hook has printed it.
    catch_unwind(run).unwrap_or(ExitCode::from(Failure::CODE))
}

fn run() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => exit_code(start(&cli)),
        Err(error) => {
            let is_failure = error.use_stderr();
            // A closed pipe changes nothing.
            let _ = error.print();
            match is_failure {
                true => ExitCode::from(Failure::CODE),
                false => ExitCode::SUCCESS,
            }
        }
    }
}

fn start(cli: &Cli) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))?;
    let outcome = runtime.block_on(command::run(cli));
    // A thread that waits for a key never ends.
    runtime.shutdown_background();
    outcome
}

fn exit_code(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(Verdict::Fine) | Err(Failure::ClosedPipe) => ExitCode::SUCCESS,
        Ok(Verdict::LookAt) => ExitCode::from(1),
        Err(Failure::Message(message)) => {
            anstream::eprintln!("outbox: {}", clean(&message));
            ExitCode::from(Failure::CODE)
        }
    }
}
