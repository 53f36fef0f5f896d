//! The worker that the chaos tests do harm to, and campaigns of any length:
//!
//! ```sh
//! cargo run --release -p outbox-postgres-tests -- kills 300 7    # 300 kills, seed 7
//! ```

use std::process::ExitCode;

use outbox_postgres::tokio_postgres::IsolationLevel;
use outbox_postgres_tests::Server;
use outbox_postgres_tests::chaos::campaign::promotion::Replication;
use outbox_postgres_tests::chaos::campaign::{
    Settings, disk, network, processes, promotion, servers, sessions,
};
use outbox_postgres_tests::chaos::worker;

const USAGE: &str = "usage: outbox-postgres-tests FAULT COUNT SEED
FAULT: kills, freezes, restarts, terminations, timeouts, serialization, network, disk,
full-server, promotion";

fn main() -> ExitCode {
    if let Some(code) = worker::main() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [fault, count, seed] = &arguments[..] else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let (Ok(count), Ok(seed), Ok(program)) = (count.parse(), seed.parse(), std::env::current_exe())
    else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let settings = Settings {
        program,
        count,
        seed,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return ExitCode::FAILURE;
    };
    let report = runtime.block_on(async {
        Some(match fault.as_str() {
            "kills" => processes::kills(Server::shared(), &settings).await,
            "freezes" => processes::freezes(Server::shared(), &settings).await,
            "restarts" => servers::restarts(&settings).await,
            "terminations" => sessions::terminations(Server::shared(), &settings).await,
            "timeouts" => sessions::timeouts(&settings).await,
            "serialization" => {
                let level = IsolationLevel::RepeatableRead;
                sessions::serialization(Server::shared(), level, &settings).await
            }
            "network" => network::faults(Server::shared(), &settings).await,
            "disk" => disk::full(&settings).await?,
            "full-server" => disk::full_server(&settings).await?,
            "promotion" => promotion::promotion(Replication::Synchronous, &settings).await,
            _ => return None,
        })
    });
    match report {
        Some(report) => {
            println!("{report}");
            match report.is_sound() {
                true => ExitCode::SUCCESS,
                false => ExitCode::FAILURE,
            }
        }
        None => {
            eprintln!("not a fault, or not permitted here\n{USAGE}");
            ExitCode::FAILURE
        }
    }
}
