//! Round-robin turns: one event of each user, however large the backlog of any user.
//!
//! The index by user holds each user's events in claim order, so finding the next user and their
//! first event takes one descent from the root: a loose index scan. No step reads a second event of
//! a user, unless handlers have the first ones, or the first is of a type that does not match.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Rows, ToSql, params_from_iter};

use super::filter::Filter;
use super::listed::NOT_LISTED;
use super::row::ReadRow;
use super::stepping::Claiming;
use super::user_index;
use crate::claim::ClaimRequest;

/// Takes the first matching event of each user, for at most `places` users, starting after the user
/// that the request names and wrapping around.
pub(super) fn take_turns(
    claiming: &mut Claiming<'_>,
    request: &ClaimRequest,
    filter: &Filter<'_>,
    places: usize,
) -> rusqlite::Result<()> {
    let after = request.turns_after().as_bytes();
    let mut taken = 0;
    let mut last = after.to_vec();
    let mut has_come_around = after.is_empty();
    while taken < places && !claiming.is_full() {
        let conn = claiming.conn;
        let next = user_index::with(conn, || next(claiming, request, filter, &last))?;
        let Some(next) = next else {
            if std::mem::replace(&mut has_come_around, true) {
                break;
            }
            last.clear();
            continue;
        };
        let is_over = has_come_around && !after.is_empty() && *next.user_id > *after;
        if is_over {
            break;
        }
        last = next.user_id;
        if let Some(row) = next.row {
            claiming.take(row);
            taken += 1;
        }
        if has_come_around && last == after {
            break;
        }
    }
    Ok(())
}

/// A user with a ready event.
struct Next {
    user_id: Vec<u8>,
    /// The user's first event, if it matches.
    row: Option<ReadRow>,
}

/// The next user after `last` with an event that no handler has.
fn next(
    claiming: &mut Claiming<'_>,
    request: &ClaimRequest,
    filter: &Filter<'_>,
    last: &[u8],
) -> rusqlite::Result<Option<Next>> {
    // User ids are compared byte for byte, as stored in the row.
    let last = ToSqlOutput::Borrowed(ValueRef::Text(last));
    let taken = claiming.taken.value();
    let conn = claiming.conn;
    let mut first_after = conn.prepare_cached(&first_after_where(""))?;
    let Some((seq, user_id)) = first(first_after.query([&last, &taken])?)? else {
        return Ok(None);
    };
    if request.excludes(&user_id) {
        // Skips this user without reading the event.
        return Ok(Some(Next { user_id, row: None }));
    }
    let row = claiming.read(seq)?;
    if request.matches(&row.event) {
        return Ok(Some(Next {
            user_id,
            row: Some(row),
        }));
    }
    // This user's first event does not match: go to the first event that does, of this user or a
    // later one.
    let sql = first_after_where(filter.sql());
    let mut matching = conn.prepare_cached(&sql)?;
    let taken = claiming.taken.value();
    let values = [&last as &dyn ToSql].into_iter().chain(filter.values());
    let values = values.chain([&taken as &dyn ToSql]);
    let Some((seq, user_id)) = first(matching.query(params_from_iter(values))?)? else {
        return Ok(None);
    };
    let row = Some(claiming.read(seq)?);
    Ok(Some(Next { user_id, row }))
}

/// Selects the first ready event of a later user that is not listed and meets the condition.
fn first_after_where(condition: &str) -> String {
    format!(
        "SELECT seq, user_id FROM outbox_events INDEXED BY outbox_ready_user \
         WHERE slot = 1 AND user_id > ?{condition}{NOT_LISTED} ORDER BY user_id, priority DESC, next_attempt_at, seq"
    )
}

/// The first of these events, and its user.
fn first(mut rows: Rows<'_>) -> rusqlite::Result<Option<(i64, Vec<u8>)>> {
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let user_id = match row.get_ref(1)? {
        ValueRef::Text(id) | ValueRef::Blob(id) => id.to_vec(),
        // The column accepts nothing else.
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => Vec::new(),
    };
    Ok(Some((row.get(0)?, user_id)))
}
