//! The commands: each a function from its arguments to an outcome.

use outbox_operate::Deed;

use crate::args::{Cli, Command, Target};
use crate::database::{Access, Database, Place};
use crate::failure::Outcome;
use crate::out::Out;

mod act; // retry, discard
mod bench;
mod cleanup;
mod doctor;
mod edit;
mod explain;
mod export;
mod import;
mod list;
mod manual; // completions, man
mod migrate;
mod pause; // pause, resume
mod processes;
mod serve;
mod show;
mod status;
mod watch;

/// Runs a command.
pub(crate) async fn run(cli: &Cli) -> Outcome {
    let mut out = Out::new(cli.json);
    let verdict = dispatch(cli, &mut out).await?;
    out.finish()?;
    Ok(verdict)
}

async fn dispatch(cli: &Cli, out: &mut Out) -> Outcome {
    let target = &cli.target;
    match &cli.command {
        Command::Completions { shell } => manual::completions(*shell, out),
        Command::Man { command } => manual::man(command.as_deref(), out),
        Command::Migrate(step) => migrate::run(*step, target, out).await,
        Command::Bench(args) => bench::run(args, target, out).await,
        Command::Serve(args) => serve::run(args, &Place::of(target)?, out).await,
        Command::Watch(args) => watch::run(args, &Place::of(target)?, out).await,
        Command::Status(args) => {
            let work = async |place: &Place, database: &Database| {
                status::run(args, place, database, out).await
            };
            opened(target, Access::ReadOnly, work).await
        }
        Command::List(args) => {
            let work = async |_: &Place, database: &Database| list::run(args, database, out).await;
            opened(target, Access::ReadOnly, work).await
        }
        Command::Show(args) => {
            let work = async |_: &Place, database: &Database| show::run(args, database, out).await;
            opened(target, Access::ReadOnly, work).await
        }
        Command::Explain(args) => {
            let work =
                async |_: &Place, database: &Database| explain::run(args, database, out).await;
            opened(target, Access::ReadOnly, work).await
        }
        Command::Export(args) => {
            let work =
                async |_: &Place, database: &Database| export::run(args, database, out).await;
            opened(target, Access::ReadOnly, work).await
        }
        Command::Processes => {
            let work = async |_: &Place, database: &Database| processes::run(database, out).await;
            opened(target, Access::ReadOnly, work).await
        }
        Command::Retry(args) => {
            let work = async |_: &Place, database: &Database| {
                act::run(Deed::Retry, args, database, out).await
            };
            opened(target, access(args.yes), work).await
        }
        Command::Discard(args) => {
            let work = async |_: &Place, database: &Database| {
                act::run(Deed::Discard, args, database, out).await
            };
            opened(target, access(args.yes), work).await
        }
        Command::Edit(args) => {
            let work = async |_: &Place, database: &Database| edit::run(args, database, out).await;
            opened(target, Access::Write, work).await
        }
        Command::Pause(args) => {
            let work = async |_: &Place, database: &Database| pause::run(args, database, out).await;
            opened(target, Access::Write, work).await
        }
        Command::Resume(scope) => {
            let work =
                async |_: &Place, database: &Database| pause::resume(scope, database, out).await;
            opened(target, Access::Write, work).await
        }
        Command::Doctor(args) => {
            let work = async |place: &Place, database: &Database| {
                doctor::run(args, place, database, out).await
            };
            opened(target, access(args.repair), work).await
        }
        Command::Cleanup(args) => {
            let work =
                async |_: &Place, database: &Database| cleanup::run(args, database, out).await;
            opened(target, access(args.yes), work).await
        }
        Command::Import(args) => {
            let work =
                async |_: &Place, database: &Database| import::run(args, database, out).await;
            opened(target, access(args.yes), work).await
        }
    }
}

/// A command that only counts without `--yes` opens the outbox accordingly.
fn access(writes: bool) -> Access {
    match writes {
        true => Access::Write,
        false => Access::ReadOnly,
    }
}

/// Runs a command on the open outbox, and closes the files whatever its outcome, so that none is
/// left beside them.
async fn opened(
    target: &Target,
    access: Access,
    work: impl AsyncFnOnce(&Place, &Database) -> Outcome,
) -> Outcome {
    let place = Place::of(target)?;
    let database = place.open(access).await?;
    let outcome = work(&place, &database).await;
    database.close().await;
    outcome
}
