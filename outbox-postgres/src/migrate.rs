//! The tables, and their versions.

use std::sync::Arc;

use outbox_runtime::{StoreError, StoreErrorKind};
use tokio_postgres::error::SqlState;
use tokio_postgres::{GenericClient, IsolationLevel};

use crate::fault::{commit_fault, fault};
use crate::name::SchemaName;
use crate::sql::render;

/// One migration per version of the schema, in order. A published one never changes.
const MIGRATIONS: &[&str] = &[include_str!("schema.sql")];

/// The version that this library writes and reads.
pub(crate) const VERSION: i32 = MIGRATIONS.len() as i32;

/// The second key of the advisory lock that migrations hold; workers use 0 to 15.
pub(crate) const INSTALL_LOCK: i32 = 100;

/// The table with the version.
const VERSION_TABLE: &str = "CREATE TABLE IF NOT EXISTS {s}.schema_version (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    version integer NOT NULL
);
";

/// The whole schema as one script, for people with a migration tool of their own.
pub(crate) fn script(schema: &SchemaName) -> String {
    let mut script = format!("CREATE SCHEMA IF NOT EXISTS {schema};\n");
    script.push_str(&VERSION_TABLE.replace("{s}", schema.as_str()));
    for migration in MIGRATIONS {
        script.push_str(&render(schema, migration));
    }
    script.push_str(&set_version(schema));
    script
}

fn set_version(schema: &SchemaName) -> String {
    format!(
        "INSERT INTO {schema}.schema_version (version) VALUES ({VERSION})\n    \
         ON CONFLICT (one) DO UPDATE SET version = excluded.version;\n"
    )
}

/// The version in the database; `None` if there is no outbox.
pub(crate) async fn version(
    client: &impl GenericClient,
    schema: &SchemaName,
) -> Result<Option<i32>, tokio_postgres::Error> {
    let sql = format!("SELECT version FROM {schema}.schema_version");
    match client.query_typed(&sql, &[]).await {
        Ok(rows) => rows.first().map(|row| row.try_get(0)).transpose(),
        Err(error) => match error.code() {
            Some(&SqlState::UNDEFINED_TABLE | &SqlState::INVALID_SCHEMA_NAME) => Ok(None),
            _ => Err(error),
        },
    }
}

/// Whether this library can work with that version.
///
/// # Errors
///
/// `NotInstalled` or `SchemaTooNew`.
pub(crate) fn check(
    operation: &'static str,
    schema: &SchemaName,
    version: Option<i32>,
) -> Result<(), StoreError> {
    match version {
        Some(version) if version > VERSION => Err(StoreError::new(
            StoreErrorKind::SchemaTooNew,
            operation,
            format!(
                "the outbox in schema {schema} has version {version}, and this library knows \
                 {VERSION}; update the program"
            ),
        )),
        Some(VERSION) => Ok(()),
        Some(version) => Err(StoreError::new(
            StoreErrorKind::NotInstalled,
            operation,
            format!(
                "the outbox in schema {schema} has version {version}, and this library needs \
                 {VERSION}; call `migrate`"
            ),
        )),
        None => Err(StoreError::new(
            StoreErrorKind::NotInstalled,
            operation,
            format!("there is no outbox in schema {schema}; call `migrate` or run its SQL"),
        )),
    }
}

/// Brings the schema to this library's version. The lock is taken before anything is read, in a
/// transaction whose snapshots are new for each statement: otherwise a second process would read
/// the version from before the first one's commit.
pub(crate) async fn run(
    client: &mut tokio_postgres::Client,
    schema: &Arc<SchemaName>,
) -> Result<(), StoreError> {
    const OPERATION: &str = "migrate";
    let storage = |error| fault(OPERATION, error);
    // Usually nothing is to be done, and a role that may not create anything can tell.
    if version(client, schema).await.map_err(storage)? == Some(VERSION) {
        return Ok(());
    }
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::ReadCommitted)
        .read_only(false)
        .start()
        .await
        .map_err(storage)?;
    let lock = format!(
        "SELECT pg_advisory_xact_lock({}, {INSTALL_LOCK})",
        schema.lock_class()
    );
    transaction.batch_execute(&lock).await.map_err(storage)?;
    let exists = "SELECT to_regclass($1 || '.schema_version') IS NOT NULL";
    let name = schema.as_str();
    let exists = transaction.query_one(exists, &[&name]).await;
    let installed = if exists.and_then(|row| row.try_get(0)).map_err(storage)? {
        version(&transaction, schema).await.map_err(storage)?
    } else {
        None
    };
    if installed.is_some_and(|version| version > VERSION) {
        return check(OPERATION, schema, installed);
    }
    let done = usize::try_from(installed.unwrap_or(0)).unwrap_or_default();
    let mut script = String::new();
    if installed.is_none() {
        let exists = transaction
            .query_one("SELECT to_regnamespace($1) IS NOT NULL", &[&name])
            .await;
        // Creating a schema that exists needs a privilege that nothing else here needs.
        if !exists.and_then(|row| row.try_get(0)).map_err(storage)? {
            script.push_str(&format!("CREATE SCHEMA {schema};\n"));
        }
        script.push_str(&VERSION_TABLE.replace("{s}", name));
    }
    for migration in MIGRATIONS.iter().skip(done) {
        script.push_str(&render(schema, migration));
    }
    script.push_str(&set_version(schema));
    transaction.batch_execute(&script).await.map_err(storage)?;
    transaction
        .commit()
        .await
        .map_err(|error| commit_fault(OPERATION, error))
}
