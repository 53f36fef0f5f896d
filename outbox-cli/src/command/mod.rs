//! The commands: each a function from its arguments to an outcome.

use crate::args::{Cli, Command};
use crate::database::{Access, Database, Place};
use crate::failure::{Failure, Outcome};
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
        Command::Watch(args) => watch::run(args, &Place::of(target)?, out).await,
        Command::Status(args) => {
            let place = Place::of(target)?;
            let database = place.open(Access::ReadOnly).await?;
            closing(&database, status::run(args, &place, &database, out)).await
        }
        Command::List(args) => {
            let database = Place::of(target)?.open(Access::ReadOnly).await?;
            closing(&database, list::run(args, &database, out)).await
        }
        Command::Show(args) => {
            let database = Place::of(target)?.open(Access::ReadOnly).await?;
            closing(&database, show::run(args, &database, out)).await
        }
        Command::Explain(args) => {
            let database = Place::of(target)?.open(Access::ReadOnly).await?;
            closing(&database, explain::run(args, &database, out)).await
        }
        Command::Export(args) => {
            let database = Place::of(target)?.open(Access::ReadOnly).await?;
            closing(&database, export::run(args, &database, out)).await
        }
        Command::Retry(args) => {
            let database = Place::of(target)?.open(access(args.yes)).await?;
            closing(&database, act::run(act::Deed::Retry, args, &database, out)).await
        }
        Command::Discard(args) => {
            let database = Place::of(target)?.open(access(args.yes)).await?;
            closing(
                &database,
                act::run(act::Deed::Discard, args, &database, out),
            )
            .await
        }
        Command::Edit(args) => {
            let database = Place::of(target)?.open(Access::Write).await?;
            closing(&database, edit::run(args, &database, out)).await
        }
        Command::Pause(args) => {
            let database = Place::of(target)?.open(Access::Write).await?;
            closing(&database, pause::run(args, &database, out)).await
        }
        Command::Resume(scope) => {
            let database = Place::of(target)?.open(Access::Write).await?;
            closing(&database, pause::resume(scope, &database, out)).await
        }
        Command::Processes => {
            let database = Place::of(target)?.open(Access::ReadOnly).await?;
            closing(&database, processes::run(&database, out)).await
        }
        Command::Doctor(args) => {
            let place = Place::of(target)?;
            let database = place.open(access(args.repair)).await?;
            closing(&database, doctor::run(args, &place, &database, out)).await
        }
        Command::Cleanup(args) => {
            let database = Place::of(target)?.open(access(args.yes)).await?;
            closing(&database, cleanup::run(args, &database, out)).await
        }
        Command::Import(args) => {
            let database = Place::of(target)?.open(access(args.yes)).await?;
            closing(&database, import::run(args, &database, out)).await
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

/// Closes the files after a command, whatever its outcome, so that none is left beside them.
async fn closing(
    database: &Database,
    work: impl Future<Output = Result<crate::failure::Verdict, Failure>>,
) -> Outcome {
    let outcome = work.await;
    database.close().await;
    outcome
}
