//! The service as a program. See README.md beside this package's Cargo.toml.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::time::Duration;

use backend::{Accounts, Backend, ErrorCodes, FaultRule, Idempotency, Settings};
use clap::{Parser, ValueEnum};

/// The service that FitIQ and Lume sync with, on 127.0.0.1. It prints its address first.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The port of the endpoints; 0 is any free port
    #[arg(long, default_value_t = 0)]
    port: u16,

    /// The extra port of /admin, which stays open while the service is offline; 0 is any free port
    #[arg(long, default_value_t = 0)]
    admin_port: u16,

    /// The required X-API-Key header
    #[arg(long, value_name = "KEY", default_value = Settings::API_KEY)]
    api_key: String,

    /// An account; may be repeated [default: any address, with any password]
    #[arg(long = "account", value_name = "EMAIL=PASSWORD", value_parser = account)]
    accounts: Vec<(String, String)>,

    /// The lifetime of an access token
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = humantime::parse_duration)]
    token_ttl: Duration,

    /// Calls per second and user [default: no limit]
    #[arg(long, value_name = "CALLS", value_parser = rate)]
    rate: Option<f64>,

    /// The burst of calls per user
    #[arg(long, value_name = "CALLS", default_value_t = 1, requires = "rate", value_parser = clap::value_parser!(u32).range(1..))]
    burst: u32,

    /// Replay the first answer for a repeated Idempotency-Key, without a second effect
    #[arg(long)]
    honor_keys: bool,

    /// Whether error bodies have a code
    #[arg(long, value_name = "WHEN", default_value = "absent")]
    error_codes: Codes,

    /// The duration of a call, as 50ms..200ms or 100ms [default: none]
    #[arg(long, value_name = "DURATION", value_parser = latency)]
    latency: Option<RangeInclusive<Duration>>,

    /// A fault, as "drop@3 POST /api/v1/goals" or 500%2.5; may be repeated
    #[arg(long = "fault", value_name = "RULE")]
    faults: Vec<FaultRule>,

    /// The seed of chances and latencies
    #[arg(long, default_value_t = 0)]
    seed: u64,

    /// The number of calls that the audit keeps
    #[arg(long, value_name = "CALLS", default_value_t = 200_000)]
    audit_calls: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Codes {
    Absent,
    Present,
    Alternating,
}

impl Arguments {
    fn settings(self) -> Settings {
        let mut settings = Settings::new()
            .port(self.port)
            .admin_port(self.admin_port)
            .api_key(self.api_key)
            .token_ttl(self.token_ttl)
            .error_codes(match self.error_codes {
                Codes::Absent => ErrorCodes::Absent,
                Codes::Present => ErrorCodes::Present,
                Codes::Alternating => ErrorCodes::Alternating,
            })
            .seed(self.seed)
            .audit_capacity(self.audit_calls);
        if !self.accounts.is_empty() {
            settings = settings.accounts(Accounts::Listed(BTreeMap::from_iter(self.accounts)));
        }
        if let Some(rate) = self.rate {
            settings = settings.rate(rate, self.burst);
        }
        if self.honor_keys {
            settings = settings.idempotency(Idempotency::Honored);
        }
        if let Some(latency) = self.latency {
            settings = settings.latency(latency);
        }
        self.faults.into_iter().fold(settings, Settings::fault)
    }
}

fn account(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((email, password)) if email.contains('@') && !password.is_empty() => {
            Ok((email.to_owned(), password.to_owned()))
        }
        _ => Err("write an address and a password, as ada@example.org=secret"),
    }
}

fn rate(text: &str) -> Result<f64, &'static str> {
    let rate = text
        .parse()
        .ok()
        .filter(|rate: &f64| rate.is_finite() && *rate >= 0.001);
    rate.ok_or("write a number of calls per second, of at least 0.001")
}

fn latency(text: &str) -> Result<RangeInclusive<Duration>, Box<dyn Error + Send + Sync>> {
    let (least, most) = text.split_once("..").unwrap_or((text, text));
    let (least, most) = (
        humantime::parse_duration(least)?,
        humantime::parse_duration(most)?,
    );
    if most < least {
        return Err("the second must not be shorter than the first".into());
    }
    Ok(least..=most)
}

/// 0: it was stopped. 2: it could not start.
#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse().settings()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprintln!("  because: {cause}");
                source = cause.source();
            }
            ExitCode::from(2)
        }
    }
}

async fn run(settings: Settings) -> Result<(), Box<dyn Error>> {
    // Before the address is printed, because its reader may stop the service at once.
    let stop = stopped()?;
    let backend = Backend::start(settings).await?;
    say(&backend.url())?;
    say(&format!("admin {}", backend.admin_url()))?;
    stop.await;
    backend.stop().await;
    Ok(())
}

/// Prints a line. A closed stdout is ignored.
fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        said => said,
    }
}

/// Until ctrl-c or SIGTERM.
#[cfg(unix)]
fn stopped() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Until ctrl-c.
#[cfg(not(unix))]
fn stopped() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        interrupt.recv().await;
    })
}
