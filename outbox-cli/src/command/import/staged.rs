//! `import --mapping` into an outbox on a server: first into a file of its own, which knows what
//! earlier imports took, and from there, with that knowledge, in one transaction to the server.

use std::sync::Arc;

use outbox_import::{Import, ImportReport, Mapping, install_ledger};
use outbox_operate::Pages;
use outbox_postgres::PostgresStore;
use outbox_postgres::tokio_postgres::{Error, IsolationLevel, Transaction};
use outbox_runtime::store::BoxError;
use outbox_runtime::{EventFilter, SqliteStore};

use super::ledger::{self, Ledger};
use super::lines::change_of;
use crate::failure::Failure;

/// The error of the server, in its words.
fn of_server(error: &Error) -> Failure {
    Failure::new(match error.as_db_error() {
        Some(error) => error.message().to_owned(),
        None => error.to_string(),
    })
}

/// Runs the import, which is a dry run or not. Returns its report, and how many of the events in it
/// were in the outbox already.
pub(super) async fn run(
    import: Import,
    mapping: Mapping,
    store: &PostgresStore,
) -> Result<(ImportReport, u64), Failure> {
    let folder = tempfile::tempdir();
    let folder = folder.map_err(|error| Failure::new(format!("a temporary folder: {error}")))?;
    let staged = SqliteStore::open(folder.path().join("staged.db")).await?;
    let done = through(import, mapping, &staged, store).await;
    staged.close().await;
    done
}

async fn through(
    import: Import,
    mapping: Mapping,
    staged: &SqliteStore,
    store: &PostgresStore,
) -> Result<(ImportReport, u64), Failure> {
    let schema = store.schema();
    let client = store.pool().get().await;
    let mut client = client.map_err(|error| Failure::new(error.to_string()))?;
    let server = |error: Error| of_server(&error);
    let last_run = ledger::last_run(&**client, schema).await.map_err(server)?;
    let known = match last_run {
        0 => Ledger::default(),
        _ => Ledger::of_server(&**client, schema).await.map_err(server)?,
    };
    let prepared = staged.transaction(move |tx| {
        install_ledger(tx)?;
        Ok(known.write_to_file(tx)?)
    });
    let file = |error: BoxError| Failure::new(error.to_string());
    prepared.await.map_err(|error| file(error.into()))?;
    let report = import.run_mapping(staged, mapping).await;
    let report = report.map_err(|error| Failure::of_import(&error))?;
    if report.is_dry_run {
        return Ok((report, 0));
    }
    let added = staged.transaction(move |tx| Ok(Ledger::of_file(tx, last_run)?));
    let added = added.await.map_err(|error| file(error.into()))?;
    let begin = client.build_transaction();
    let begin = begin.isolation_level(IsolationLevel::ReadCommitted);
    let transaction = begin.start().await.map_err(server)?;
    let prepare = ledger::lock(schema) + &ledger::create(schema);
    transaction.batch_execute(&prepare).await.map_err(server)?;
    let last = ledger::last_run(&*transaction, schema).await;
    if last.map_err(server)? != last_run {
        return Err(Failure::new(
            "another import has ended meanwhile; nothing was imported, run this one again",
        ));
    }
    let known = restore_all(staged, store, &transaction).await?;
    let written = added.write_to_server(&*transaction, schema).await;
    written.map_err(server)?;
    transaction.commit().await.map_err(server)?;
    Ok((report, known))
}

/// Writes the staged events to the server, in their order. Returns how many were there already.
async fn restore_all(
    staged: &SqliteStore,
    store: &PostgresStore,
    transaction: &Transaction<'_>,
) -> Result<u64, Failure> {
    let mut known = 0;
    let mut pages = Pages::new(Arc::new(staged.clone()), EventFilter::default());
    while let Some(events) = pages.next().await? {
        for event in events {
            let change = change_of(event.clone());
            let is_new = store.restore(transaction, &change, &event).await?;
            known += u64::from(!is_new);
        }
    }
    Ok(known)
}
