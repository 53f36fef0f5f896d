//! Runs a user's closure on the writing connection, in its own transaction, which only the writer
//! ends.

use std::error::Error;
use std::path::Path;

use rusqlite::{Connection, ErrorCode, Savepoint};

use super::gate::Gate;
use crate::error::{BoxError, StoreError, StoreErrorKind, TransactionError, causes};
use crate::store::sqlite::fault::fault;
use crate::waiting::Inside;

const OPERATION: &str = "transaction";

/// Runs `work` in the transaction that is open on `conn`. On error, nothing is kept.
pub(in crate::store::sqlite) fn run<T>(
    conn: &mut Connection,
    gate: &Gate,
    path: &Path,
    work: impl FnOnce(&Savepoint<'_>) -> Result<T, BoxError>,
) -> Result<T, TransactionError> {
    let failed = |error| fault(OPERATION, path, error);
    // Dropping the savepoint rolls back its writes.
    let savepoint = conn.savepoint().map_err(failed)?;
    let done = {
        let _closed = gate.close();
        let _inside = Inside::a_transaction();
        work(&savepoint)
    };
    let refused = gate.take_refused();
    match done {
        Err(error) => match refused {
            Some(what) if is_not_authorized(error.as_ref()) => {
                Err(not_allowed(&what, path, error).into())
            }
            _ => Err(TransactionError::Aborted(error)),
        },
        Ok(_) if savepoint.is_autocommit() => Err(rolled_back(path).into()),
        Ok(done) => {
            savepoint.commit().map_err(failed)?;
            Ok(done)
        }
    }
}

/// Whether the error comes from the authorizer. A closure may have converted it to text.
fn is_not_authorized(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| {
        let driver = cause.downcast_ref::<rusqlite::Error>();
        let code = driver.and_then(rusqlite::Error::sqlite_error_code);
        code == Some(ErrorCode::AuthorizationForStatementDenied)
            || cause.to_string().contains("not authorized")
    })
}

fn not_allowed(what: &str, path: &Path, error: BoxError) -> StoreError {
    let path = path.display();
    let instead = if what.starts_with("PRAGMA") {
        "it would change the store's connection for all its users; set it when the connection is opened, with \
         `SqliteStoreBuilder::on_connect`"
    } else if what.ends_with("TACH") {
        "the database would stay attached to the store's connection; attach it when the connection is opened, \
         with `SqliteStoreBuilder::on_connect`, or open a connection of your own"
    } else if what.starts_with("ALTER") {
        "the new name could shadow the outbox's own on the store's connection; drop it and create it as intended"
    } else if what.starts_with("CREATE") {
        "it would shadow the outbox's own on the store's connection; choose another name"
    } else {
        "the store begins and ends the transaction: return `Ok` to commit or `Err` to roll back; use SAVEPOINT for \
         a part of it"
    };
    StoreError::new(
        StoreErrorKind::NotAllowedHere,
        OPERATION,
        format!("{path}: {what} is not allowed inside a transaction of the store: {instead}"),
    )
    .with_source(error)
}

fn rolled_back(path: &Path) -> StoreError {
    StoreError::new(
        StoreErrorKind::Other,
        OPERATION,
        format!(
            "{}: a statement rolled back the whole transaction (ON CONFLICT ROLLBACK, RAISE(ROLLBACK), or a storage \
             error), and the closure did not return its error; nothing was written",
            path.display()
        ),
    )
}
