//! `outbox_listed(seq, list)`: whether a list of events contains one, as an SQL function of the
//! writer's connection.
//!
//! A claim steps over events that handlers have. A condition on the entry of an index is checked
//! before anything else of the row is read, so it costs a third of returning the row, and the
//! events that remain are read by the same statement.

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::{ToSqlOutput, ValueRef};

/// The condition that a row is not in the list, which is the statement's last parameter.
pub(super) const NOT_LISTED: &str = " AND NOT outbox_listed(seq, ?)";

/// A sorted list of `seq`s, as the function takes it.
#[derive(Debug)]
pub(super) struct List(Vec<[u8; 8]>);

impl List {
    /// From sorted `seq`s.
    pub(super) fn of(seqs: impl Iterator<Item = i64>) -> Self {
        let list: Vec<_> = seqs.map(i64::to_ne_bytes).collect();
        debug_assert!(list.is_sorted_by_key(|bytes| i64::from_ne_bytes(*bytes)));
        Self(list)
    }

    pub(super) fn insert(&mut self, seq: i64) {
        if let Err(place) = find(&self.0, seq) {
            self.0.insert(place, seq.to_ne_bytes());
        }
    }

    /// The function's second argument.
    pub(super) fn value(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::Borrowed(ValueRef::Blob(self.0.as_flattened()))
    }
}

/// Registers the function. It knows nothing of the database, so any statement may use it.
pub(super) fn register(conn: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    conn.create_scalar_function("outbox_listed", 2, flags, |context| {
        let seq = context.get_raw(0).as_i64()?;
        let (list, _) = context.get_raw(1).as_blob()?.as_chunks();
        Ok(find(list, seq).is_ok())
    })
}

fn find(list: &[[u8; 8]], seq: i64) -> Result<usize, usize> {
    list.binary_search_by_key(&seq, |bytes| i64::from_ne_bytes(*bytes))
}
