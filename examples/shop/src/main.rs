//! The command line of the shop. See README.md beside this package's Cargo.toml.

use std::net::Ipv4Addr;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use shop::demo::{self, Settings};
use shop::domain::Shop;
use shop::partner::{Faults, Partner};
use shop::{http, outbox, stop};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

/// A shop on PostgreSQL, with an outbox. Without a command: `all`.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,

    /// End when standard input ends, as the parent that holds it does
    #[arg(long, global = true, hide = true)]
    with_parent: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything, place orders, kill a worker, and compare
    All(All),
    /// Serve the endpoints
    Serve {
        /// The address of the database
        #[arg(long, value_name = "URL")]
        database: String,
        /// The port on the loopback interface; 0 is any free one
        #[arg(long, value_name = "N", default_value_t = 0)]
        port: u16,
    },
    /// Deliver events
    Work {
        /// The address of the database
        #[arg(long, value_name = "URL")]
        database: String,
        /// The address of the partner
        #[arg(long, value_name = "URL")]
        partner: String,
        /// The address of the broker; without one, its events wait
        #[arg(long, value_name = "URL")]
        broker: Option<String>,
        /// How many events are delivered at the same time
        #[arg(long, value_name = "N", default_value_t = 16)]
        concurrency: usize,
    },
    /// Be the partner
    Partner {
        /// The port on the loopback interface; 0 is any free one
        #[arg(long, value_name = "N", default_value_t = 0)]
        port: u16,
        /// What its faults follow from
        #[arg(long, value_name = "N", default_value_t = 1)]
        seed: u64,
    },
}

#[derive(Debug, Args)]
struct All {
    /// How many orders clients want to place
    #[arg(long, value_name = "N")]
    orders: Option<u32>,
    /// How many workers there are
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// What orders and faults follow from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// 0: everything agrees. 1: there are differences. 2: it could not be run.
#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "off".into()))
        .with_writer(std::io::stderr)
        .init();
    match run(Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let with_parent = arguments.with_parent;
    // A process that cannot be told to end must not go on.
    let stop = async move {
        if let Err(error) = stop::requested(with_parent).await {
            eprintln!("error: {error}");
        }
    };
    match arguments.command {
        None => return all(&Settings::new(1)).await,
        Some(Command::All(wanted)) => {
            let mut settings = Settings::new(wanted.seed);
            settings.orders = wanted.orders.unwrap_or(settings.orders);
            settings.workers = wanted.workers.unwrap_or(settings.workers);
            return all(&settings).await;
        }
        Some(Command::Serve { database, port }) => {
            let shop = Shop::new(&database, 16)?;
            shop.migrate().await?;
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
            println!("http://{}", listener.local_addr()?);
            http::serve(listener, shop, stop).await?;
        }
        Some(Command::Work {
            database,
            partner,
            broker,
            concurrency,
        }) => outbox::work(&database, &partner, broker.as_deref(), concurrency, stop).await?,
        Some(Command::Partner { port, seed }) => {
            let partner = Partner::start(port, Faults::seeded(seed)).await?;
            println!("{}", partner.url());
            stop.await;
            partner.stop().await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn all(settings: &Settings) -> anyhow::Result<ExitCode> {
    tokio::select! {
        report = demo::run(settings) => {
            let report = report?;
            println!("{report}");
            Ok(ExitCode::from(u8::from(!report.agrees())))
        }
        // Everything that was started ends with its guards.
        interrupted = stop::requested(false) => {
            interrupted?;
            anyhow::bail!("interrupted")
        }
    }
}
