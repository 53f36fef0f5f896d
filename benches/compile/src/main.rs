//! Compile-time cost of `#[derive(OutboxEntity)]`, compared with serde's two derives on the same
//! structs.
//!
//! ```text
//! cargo run --release -p outbox-compile-cost -- \
//!     [--entities 200] [--rounds 9] [--json report.json] [--at-most 0.3]
//! ```
//!
//! Generates one crate of plain structs, one with `Serialize` and `Deserialize`, and one with
//! `OutboxEntity`, builds their dependencies, and then runs `cargo check` on the three in turn, so
//! that other load on the machine slows all of them equally. The figure is `(OutboxEntity - plain)
//! / (serde - plain)`.

mod measure; // runs and times cargo
mod report; // medians, ratio, table, JSON
mod sources; // the generated crates

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::measure::Cargo;
use crate::report::Report;
use crate::sources::Variant;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("compile-cost: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, Box<dyn Error>> {
    let options = Options::parse(std::env::args().skip(1))?;
    let cargo = Cargo::beside_this_program()?;
    let folder = cargo.target().join("tmp").join("compile-cost");
    sources::write(&folder, options.entities)?;
    eprintln!("building the dependencies ..");
    for variant in Variant::ALL {
        cargo.check(&folder, variant)?;
    }
    let mut report = Report::new(options.entities);
    for round in 1..=options.rounds {
        eprintln!("round {round} of {} ..", options.rounds);
        for variant in order_of(round) {
            sources::touch(&folder, variant)?;
            report.add(variant, cargo.check(&folder, variant)?);
        }
    }
    println!("{report}");
    if let Some(path) = &options.json {
        std::fs::write(path, report.to_json())?;
    }
    Ok(match options.at_most {
        Some(limit) if report.ratio() > limit => {
            eprintln!("the ratio is above {limit}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    })
}

/// Every other round runs in reverse order, so that no variant always follows the same one.
fn order_of(round: usize) -> Vec<Variant> {
    let mut order = Variant::ALL.to_vec();
    if round.is_multiple_of(2) {
        order.reverse();
    }
    order
}

/// Command-line options.
struct Options {
    entities: usize,
    rounds: usize,
    json: Option<PathBuf>,
    at_most: Option<f64>,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut options = Self {
            entities: 200,
            rounds: 9,
            json: None,
            at_most: None,
        };
        while let Some(name) = arguments.next() {
            let value = arguments
                .next()
                .ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--entities" => options.entities = value.parse()?,
                "--rounds" => options.rounds = value.parse()?,
                "--json" => options.json = Some(value.into()),
                "--at-most" => options.at_most = Some(value.parse()?),
                _ => {
                    return Err(format!("unknown option {name}; see the top of main.rs").into());
                }
            }
        }
        if options.rounds == 0 || options.entities == 0 {
            return Err("--rounds and --entities must be at least 1".into());
        }
        Ok(options)
    }
}
