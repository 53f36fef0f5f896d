//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use outbox_operate::{Moment, duration, key_of};
use outbox_runtime::store::PageKey;
use uuid::Uuid;

use crate::filter::FilterArgs;

/// Looks into an outbox and steers it, while the application runs.
///
/// Exit codes: 0 fine, 1 something to look at, 2 the command could not do its work.
#[derive(Debug, Parser)]
#[command(name = "outbox", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Answers in JSON: one object, or one per line for listings.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which outbox.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// A SQLite file, or the address of a PostgreSQL database.
    #[arg(
        long,
        value_name = "FILE|URL",
        env = "OUTBOX_DB",
        hide_env_values = true,
        global = true
    )]
    pub(crate) db: Option<PathBuf>,
    /// The schema that holds the outbox, on PostgreSQL.
    #[arg(long, value_name = "NAME", default_value = "outbox", global = true)]
    pub(crate) schema: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Counts, the oldest event, types and users.
    Status(Status),
    /// Lists events, oldest first.
    List(List),
    /// Shows one event.
    Show(Show),
    /// Tells what an entity waits for.
    Explain(Explain),
    /// Makes dead and failed events pending again, with all their attempts.
    Retry(Act),
    /// Deletes dead letters for good.
    Discard(Act),
    /// Changes the priority, the due time, the expiry or the attempts of waiting events.
    Edit(Edit),
    /// Holds events back, in every process, until they are resumed. Without a scope, lists the
    /// pauses.
    Pause(PauseArgs),
    /// Ends a pause.
    Resume(Scope),
    /// Lists the processes that work on the outbox.
    Processes,
    /// Looks for what is wrong, and names the command that mends it.
    Doctor(Doctor),
    /// Deletes old completed events.
    Cleanup(Cleanup),
    /// Writes events as JSON lines.
    Export(Export),
    /// Enqueues the undelivered events of an export, or, by a mapping, of another program's file.
    Import(Import),
    /// The version of the tables.
    #[command(subcommand)]
    Migrate(Migrate),
    /// Shows the counts live.
    Watch(Watch),
    /// Serves the web console.
    Serve(Serve),
    /// Measures this machine, on a database of its own.
    Bench(Bench),
    /// Prints a completion script.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Prints a manual page in roff.
    Man {
        /// The command; without, the overview.
        command: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Only the counts of this user.
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// Measures the rate of deliveries for this long.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) measure: Option<Duration>,
    /// How many undelivered and dead events the counts by type and user may read.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    pub(crate) sample: usize,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// At most this many events; 0 for all.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub(crate) limit: usize,
    /// Ends the search after this time, and names the key with which it goes on.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) within: Option<Duration>,
    /// Goes on where a search ended.
    #[arg(long, value_name = "KEY", value_parser = key, allow_hyphen_values = true)]
    pub(crate) after: Option<PageKey>,
}

fn key(text: &str) -> Result<PageKey, String> {
    let unknown = || "this is no key that a search has named".to_owned();
    key_of(text).ok_or_else(unknown)
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The id of the event.
    pub(crate) id: Uuid,
    /// Shows the metadata, too.
    #[arg(long)]
    pub(crate) payload: bool,
    #[command(flatten)]
    pub(crate) sensitive: Sensitive,
}

/// The fields of metadata that are never shown.
#[derive(Debug, Args)]
pub(crate) struct Sensitive {
    /// The names of sensitive fields, separated by commas; empty if there are none. Without it, no
    /// value of the metadata is shown.
    #[arg(long, value_name = "NAMES", env = "OUTBOX_SENSITIVE")]
    pub(crate) sensitive: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The id of the entity.
    pub(crate) entity: String,
    /// Only its events of this user.
    #[arg(long)]
    pub(crate) user: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Act {
    /// The ids of events; or give a filter.
    pub(crate) ids: Vec<Uuid>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// All that the command can act on.
    #[arg(long, conflicts_with = "ids")]
    pub(crate) all: bool,
    /// Does it. Without, the command only counts.
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Edit {
    /// The ids of the events.
    #[arg(required = true)]
    pub(crate) ids: Vec<Uuid>,
    /// The new priority; higher goes first.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) priority: Option<i32>,
    /// When the next attempt is due: now, +15m, -1h or a time in RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = Moment::parse, allow_hyphen_values = true)]
    pub(crate) due: Option<Moment>,
    /// The number of attempts after which an event becomes a dead letter.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) attempts: Option<u32>,
    /// When the event expires, and is no longer sent: now, +15m, -1h or a time in RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = Moment::parse, allow_hyphen_values = true)]
    pub(crate) expires: Option<Moment>,
}

/// The events that a pause holds back.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct Scope {
    /// All events.
    #[arg(long)]
    pub(crate) all: bool,
    /// The events of this type.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) event_type: Option<String>,
    /// The events of this user.
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// The events to this destination.
    #[arg(long)]
    pub(crate) destination: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    pub(crate) scope: Scope,
    /// Ends the pause by itself: +15m, or a time in RFC 3339. Default: it lasts until it is
    /// resumed.
    #[arg(long, value_name = "TIME", value_parser = Moment::parse, allow_hyphen_values = true)]
    pub(crate) until: Option<Moment>,
    /// The reason, for people that meet the pause.
    #[arg(long, value_name = "TEXT")]
    pub(crate) because: Option<String>,
    /// The person or program that asks for it. Default: the user that runs the command.
    #[arg(long, value_name = "NAME", env = "USER")]
    pub(crate) by: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Leaves out what reads the whole database.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Mends what can be mended without risk: stuck lanes, counts, and leases that have ended.
    #[arg(long)]
    pub(crate) repair: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Cleanup {
    /// Events that were completed longer ago than this.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "7d")]
    pub(crate) older_than: Duration,
    /// Deletes them. Without, the command only counts.
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The file to create; without, standard output.
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// Leaves out the metadata.
    #[arg(long)]
    pub(crate) without_payload: bool,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Import {
    #[command(subcommand)]
    pub(crate) look: Option<ImportLook>,
    /// The JSON lines of an export; without, standard input. With --mapping, a SQLite file of
    /// another program.
    pub(crate) file: Option<PathBuf>,
    /// The file that tells which rows of which tables become events, in TOML:
    /// <https://docs.rs/outbox-guide/latest/outbox_guide/mapping_files/>
    #[arg(
        long,
        value_name = "MAPPING",
        requires = "file",
        conflicts_with = "dead"
    )]
    pub(crate) mapping: Option<PathBuf>,
    /// Enqueues dead letters, too.
    #[arg(long)]
    pub(crate) dead: bool,
    /// Enqueues them. Without, the command only reads and counts.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Only reads and counts, which is the default.
    #[arg(long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImportLook {
    /// Lists the tables, columns, Core Data entities and numbers of rows of a SQLite file. A file
    /// of JSON lines with this name is `./inspect`.
    Inspect {
        /// The SQLite file of another program.
        file: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Migrate {
    /// Tells whether the tables have the version of this command.
    Status,
    /// Prints the statements that create the tables.
    Sql,
    /// Creates the tables, or brings them to this version.
    Up {
        /// Does it. Without, the command only tells the state.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// The time between two looks.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1s")]
    pub(crate) interval: Duration,
    /// Ends after this many looks.
    #[arg(long, value_name = "COUNT")]
    pub(crate) count: Option<u64>,
    /// Writes a line per look, as where there is no terminal.
    #[arg(long)]
    pub(crate) plain: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The port; 0 for any that is free.
    #[arg(long, default_value_t = 7625)]
    pub(crate) port: u16,
    /// Lets visitors retry, discard, edit, pause and clean up. Without, the outbox is opened for
    /// reading only.
    #[arg(long)]
    pub(crate) write: bool,
    /// A password that lets visitors in, beside the token.
    #[arg(
        long,
        value_name = "TEXT",
        env = "OUTBOX_CONSOLE_PASSWORD",
        hide_env_values = true
    )]
    pub(crate) password: Option<String>,
    /// Listens on all addresses of this machine. It needs a password, which is in
    /// `OUTBOX_CONSOLE_PASSWORD`, and the names of the host.
    #[arg(long, requires = "host")]
    pub(crate) public: bool,
    /// A name of the host under which the console answers, besides those of this machine for
    /// itself.
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Vec<String>,
    /// The path of the console for a browser, where a reverse proxy changes it.
    #[arg(long, value_name = "PATH")]
    pub(crate) prefix: Option<String>,
    /// Browsers reach the console by HTTPS alone, through a reverse proxy.
    #[arg(long)]
    pub(crate) https: bool,
    #[command(flatten)]
    pub(crate) sensitive: Sensitive,
}

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// The number of events.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) events: u32,
    /// The number of tasks that enqueue at the same time.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub(crate) producers: u32,
}
