//! `import --mapping` into an outbox on a server: first into a file of its own, which knows what
//! earlier imports took, and from there, with that knowledge, in one transaction to the server.

use std::sync::Arc;

use outbox_import::{Import, ImportReport, Mapping, install_ledger};
use outbox_operate::Pages;
use outbox_postgres::PostgresStore;
use outbox_postgres::tokio_postgres::{Error, GenericClient, IsolationLevel, Transaction};
use outbox_runtime::store::BoxError;
use outbox_runtime::{EnqueueError, EventFilter, NewEvent, OutboxEvent, SqliteStore};

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

/// How often an import begins anew because the outbox has ids of its events.
const TRIES: usize = 8;

/// Events whose ids the outbox has, and whether it has them with the same content.
type Known = Vec<(OutboxEvent, bool)>;

/// Runs the import. The rows of events that the outbox has are judged as if the import went there:
/// once the outbox has told which these are, the import begins anew with that knowledge.
pub(super) async fn run(
    import: impl Fn() -> Import,
    mapping: &Mapping,
    is_dry_run: bool,
    store: &PostgresStore,
) -> Result<ImportReport, Failure> {
    let mut known = Known::new();
    for _ in 0..TRIES {
        let folder = tempfile::tempdir();
        let folder =
            folder.map_err(|error| Failure::new(format!("a temporary folder: {error}")))?;
        let staged = SqliteStore::open(folder.path().join("staged.db")).await?;
        let import = import().known(known.iter().cloned());
        let done = through(import, mapping.clone(), is_dry_run, &staged, store).await;
        staged.close().await;
        let (mut report, found) = done?;
        if found.is_empty() {
            report.is_dry_run = is_dry_run;
            return Ok(report);
        }
        known.extend(found);
    }
    Err(Failure::new(
        "the outbox gets more and more events under ids of the source; nothing was imported, run \
         this import again",
    ))
}

/// Returns what the outbox has of the events. If it has any, nothing was imported.
async fn through(
    import: Import,
    mapping: Mapping,
    is_dry_run: bool,
    staged: &SqliteStore,
    store: &PostgresStore,
) -> Result<(ImportReport, Known), Failure> {
    let schema = store.schema();
    let client = store.pool().get().await;
    let mut client = client.map_err(|error| Failure::new(error.to_string()))?;
    let server = |error: Error| of_server(&error);
    let last_run = ledger::last_run(&**client, schema).await.map_err(server)?;
    let taken = match last_run {
        0 => Ledger::default(),
        _ => Ledger::of_server(&**client, schema).await.map_err(server)?,
    };
    let prepared = staged.transaction(move |tx| {
        install_ledger(tx)?;
        Ok(taken.write_to_file(tx)?)
    });
    let file = |error: BoxError| Failure::new(error.to_string());
    prepared.await.map_err(|error| file(error.into()))?;
    let report = import.run_mapping(staged, mapping).await;
    let report = report.map_err(|error| Failure::of_import(&error))?;
    if is_dry_run {
        return Ok((report, known_of(staged, store, &**client).await?));
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
    if !known.is_empty() {
        transaction.rollback().await.map_err(server)?;
        return Ok((report, known));
    }
    let written = added.write_to_server(&*transaction, schema).await;
    written.map_err(server)?;
    transaction.commit().await.map_err(server)?;
    Ok((report, known))
}

/// Writes the staged events to the server, in their order. Returns those that were there already.
async fn restore_all(
    staged: &SqliteStore,
    store: &PostgresStore,
    transaction: &Transaction<'_>,
) -> Result<Known, Failure> {
    let mut known = Known::new();
    let mut pages = Pages::new(Arc::new(staged.clone()), EventFilter::default());
    while let Some(events) = pages.next().await? {
        for event in events {
            let change = change_of(event.clone());
            match store.restore(transaction, &change, &event).await {
                Ok(true) => {}
                Ok(false) => known.push((event, true)),
                Err(EnqueueError::Conflict { .. }) => known.push((event, false)),
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(known)
}

/// The staged events that the server has.
async fn known_of(
    staged: &SqliteStore,
    store: &PostgresStore,
    client: &impl GenericClient,
) -> Result<Known, Failure> {
    let mut known = Known::new();
    let mut pages = Pages::new(Arc::new(staged.clone()), EventFilter::default());
    while let Some(events) = pages.next().await? {
        let changes: Vec<NewEvent> = events.iter().cloned().map(change_of).collect();
        let changes: Vec<&NewEvent> = changes.iter().collect();
        let answers = store.known(client, &changes).await?;
        let with_answer = |event: OutboxEvent| Some((answers.get(&event.id).copied()?, event));
        let answered = events.into_iter().filter_map(with_answer);
        known.extend(answered.map(|(is_same, event)| (event, is_same)));
    }
    Ok(known)
}
