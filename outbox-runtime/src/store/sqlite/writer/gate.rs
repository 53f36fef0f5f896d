//! Restricts a user's closure on the writing connection: only the writer may begin, commit and roll
//! back, or change settings of the connection.
//!
//! The authorizer and the commit hook are set once. Setting an authorizer makes SQLite prepare
//! every statement again, so a flag switches it instead.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization, TransactionOperation};

use crate::store::sqlite::lock::lock;

/// Guards one connection. Only the writer's thread uses it, but the hooks must be `Send`.
#[derive(Debug, Default)]
pub(in crate::store::sqlite) struct Gate {
    /// Set while a user's closure runs.
    is_closed: AtomicBool,
    /// Set while the writer commits.
    may_commit: AtomicBool,
    /// The first statement that was refused in the closure.
    refused: Mutex<Option<String>>,
    /// Set while a trigger on an outbox table is being created: the number of schema entries up to
    /// the one that names the trigger's schema.
    entries_of_a_trigger: AtomicU8,
}

impl Gate {
    /// Installs a gate on `conn`.
    pub(in crate::store::sqlite) fn install(conn: &mut Connection) -> rusqlite::Result<Arc<Self>> {
        let gate = Arc::new(Self::default());
        let authorizer = Arc::clone(&gate);
        conn.authorizer(Some(move |context: AuthContext<'_>| {
            authorizer.decide(&context)
        }))?;
        let commits = Arc::clone(&gate);
        // `true` turns the commit into a rollback.
        conn.commit_hook(Some(move || !commits.may_commit.load(Ordering::Relaxed)))?;
        Ok(gate)
    }

    /// Closes the gate until the returned guard is dropped.
    pub(super) fn close(&self) -> Closed<'_> {
        *lock(&self.refused) = None;
        self.is_closed.store(true, Ordering::Relaxed);
        Closed(self)
    }

    /// The first statement refused since the gate was last closed.
    pub(super) fn take_refused(&self) -> Option<String> {
        lock(&self.refused).take()
    }

    /// Runs the writer's own commit.
    pub(super) fn commit<T>(&self, commit: impl FnOnce() -> T) -> T {
        self.may_commit.store(true, Ordering::Relaxed);
        let committed = commit();
        self.may_commit.store(false, Ordering::Relaxed);
        committed
    }

    fn decide(&self, context: &AuthContext<'_>) -> Authorization {
        if !self.is_closed.load(Ordering::Relaxed) {
            return Authorization::Allow;
        }
        match self
            .refusal_of_a_trigger(&context.action)
            .or_else(|| refusal(context))
        {
            None => Authorization::Allow,
            Some(what) => {
                lock(&self.refused).get_or_insert(what);
                Authorization::Deny
            }
        }
    }
}

impl Gate {
    /// For `CREATE TRIGGER temp.x ON main.y`, the authorizer sees a trigger in `main`, then two
    /// schema entries: first that of the table's schema, which stays unused, then that of the
    /// trigger's own.
    fn refusal_of_a_trigger(&self, action: &AuthAction<'_>) -> Option<String> {
        let ahead = &self.entries_of_a_trigger;
        match *action {
            AuthAction::CreateTrigger { table_name, .. } if is_ours(table_name) => {
                ahead.store(2, Ordering::Relaxed);
                None
            }
            AuthAction::Insert { table_name } => {
                let left = ahead.load(Ordering::Relaxed);
                ahead.store(left.saturating_sub(1), Ordering::Relaxed);
                (left == 1 && table_name.eq_ignore_ascii_case("sqlite_temp_master"))
                    .then(|| "CREATE TRIGGER temp.x ON an outbox table".to_owned())
            }
            _ => {
                ahead.store(0, Ordering::Relaxed);
                None
            }
        }
    }
}

/// Keeps the gate closed until dropped, including by a panic.
#[derive(Debug)]
pub(super) struct Closed<'g>(&'g Gate);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.is_closed.store(false, Ordering::Relaxed);
    }
}

/// Names what the closure may not run; `None` if it is allowed.
fn refusal(context: &AuthContext<'_>) -> Option<String> {
    let in_temp = context.database_name.is_some_and(is_temp);
    match context.action {
        AuthAction::Transaction { operation } => Some(
            match operation {
                TransactionOperation::Begin => "BEGIN",
                TransactionOperation::Rollback => "ROLLBACK",
                _ => "COMMIT",
            }
            .to_owned(),
        ),
        AuthAction::Attach { .. } => Some("ATTACH".to_owned()),
        AuthAction::Detach { .. } => Some("DETACH".to_owned()),
        AuthAction::Pragma {
            pragma_name,
            pragma_value: Some(_),
        } if !leaves_the_connection_alone(pragma_name) => {
            Some(format!("PRAGMA {}", pragma_name.to_ascii_lowercase()))
        }
        // It would shadow the outbox's own in every later statement of this connection. `CREATE
        // TABLE temp.x` is reported as a table in a database, unlike `CREATE TEMP TABLE x`.
        AuthAction::CreateTempTable { table_name } if is_ours(table_name) => {
            Some(format!("CREATE TEMP TABLE {table_name}"))
        }
        AuthAction::CreateTable { table_name } if in_temp && is_ours(table_name) => {
            Some(format!("CREATE TABLE temp.{table_name}"))
        }
        AuthAction::CreateTempView { view_name } if is_ours(view_name) => {
            Some(format!("CREATE TEMP VIEW {view_name}"))
        }
        AuthAction::CreateView { view_name } if in_temp && is_ours(view_name) => {
            Some(format!("CREATE VIEW temp.{view_name}"))
        }
        AuthAction::CreateTempTrigger { table_name, .. } if is_ours(table_name) => {
            Some(format!("CREATE TEMP TRIGGER ON {table_name}"))
        }
        AuthAction::CreateVtable { table_name, .. } if in_temp && is_ours(table_name) => {
            Some(format!("CREATE VIRTUAL TABLE temp.{table_name}"))
        }
        // The authorizer does not see the new name.
        AuthAction::AlterTable {
            database_name,
            table_name,
        } if is_temp(database_name) => Some(format!("ALTER TABLE temp.{table_name}")),
        _ => None,
    }
}

fn is_temp(database: &str) -> bool {
    database.eq_ignore_ascii_case("temp")
}

fn is_ours(name: &str) -> bool {
    name.get(..7)
        .is_some_and(|start| start.eq_ignore_ascii_case("outbox_"))
}

/// Whether a pragma leaves the connection unchanged: its argument selects what to read, or it
/// belongs to the file or the transaction, so that a rollback undoes it and a commit ends it.
/// Without an argument, no pragma changes a connection.
fn leaves_the_connection_alone(pragma: &str) -> bool {
    const READ: &[&str] = &[
        "foreign_key_check",
        "foreign_key_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "integrity_check",
        "quick_check",
        "table_info",
        "table_list",
        "table_xinfo",
    ];
    const OF_THE_FILE: &[&str] = &["application_id", "incremental_vacuum", "user_version"];
    const OF_THE_TRANSACTION: &[&str] = &["defer_foreign_keys"];
    [READ, OF_THE_FILE, OF_THE_TRANSACTION]
        .iter()
        .any(|names| names.iter().any(|name| pragma.eq_ignore_ascii_case(name)))
}
