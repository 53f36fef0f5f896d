//! `import`: the events of an export, or those of another program's outbox by a mapping file.

use crate::args;
use crate::database::Database;
use crate::failure::Outcome;
use crate::out::Out;

pub(super) mod inspect;
mod ledger; // which rows were taken, on a server
mod lines; // JSON lines
mod mapped; // a SQLite file of another program
mod staged; // the same into an outbox on a server

pub(crate) async fn run(args: &args::Import, database: &Database, out: &mut Out) -> Outcome {
    match (&args.file, &args.mapping) {
        (Some(file), Some(mapping)) => mapped::run(file, mapping, args, database, out).await,
        _ => lines::run(args, database, out).await,
    }
}
