//! The writer's own transaction.

use rusqlite::Connection;

use super::gate::Gate;

/// An open transaction with the write lock, run by statements that are prepared once. Rolled back
/// unless committed.
pub(super) struct Transaction<'c> {
    pub(super) conn: &'c mut Connection,
    gate: &'c Gate,
    is_open: bool,
}

impl<'c> Transaction<'c> {
    pub(super) fn begin(conn: &'c mut Connection, gate: &'c Gate) -> rusqlite::Result<Self> {
        let mut tx = Self {
            conn,
            gate,
            is_open: false,
        };
        tx.run("BEGIN IMMEDIATE")?;
        tx.is_open = true;
        Ok(tx)
    }

    pub(super) fn run(&self, sql: &str) -> rusqlite::Result<()> {
        self.conn.prepare_cached(sql)?.execute([]).map(drop)
    }

    /// Whether there is nothing left to commit or roll back: SQLite rolls back the whole
    /// transaction on some errors (a full disk, a failed write), and when a constraint or a trigger
    /// demands it (`ON CONFLICT ROLLBACK`).
    pub(super) fn is_gone(&self) -> bool {
        self.conn.is_autocommit()
    }

    pub(super) fn commit(mut self) -> rusqlite::Result<()> {
        self.gate.commit(|| self.run("COMMIT"))?;
        self.is_open = false;
        Ok(())
    }

    pub(super) fn roll_back(mut self) -> rusqlite::Result<()> {
        self.is_open = false;
        self.run("ROLLBACK")
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.is_open && !self.conn.is_autocommit() {
            // The code that dropped it already has an error to report.
            let _ = self.run("ROLLBACK");
        }
    }
}
