//! Round-robin turns: one event of each user, however large the backlog of any user.
//!
//! The index by user holds each user's events in claim order, so finding the next user and their
//! first event takes one descent from the root: a loose index scan. No step reads a second event of
//! a user, unless the first is of a type that does not match.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row, ToSql, params_from_iter};

use super::filter::Filter;
use super::row::{ReadRow, USER_COLUMN, claimed_columns, read};
use crate::claim::ClaimRequest;
use crate::store::kit::Load;

/// The first matching event of each user, for at most `places` users, starting after the user that
/// the request names and wrapping around.
pub(super) fn first_of_each(
    conn: &Connection,
    request: &ClaimRequest,
    filter: &Filter<'_>,
    places: usize,
    load: &mut Load,
) -> rusqlite::Result<Vec<ReadRow>> {
    let after = request.turns_after().as_bytes();
    let mut rows = Vec::new();
    let mut last = after.to_vec();
    let mut has_come_around = after.is_empty();
    while rows.len() < places && !load.is_full() {
        let Some(next) = next(conn, request, filter, &last)? else {
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
            load.add(&row.event);
            rows.push(row);
        }
        if has_come_around && last == after {
            break;
        }
    }
    Ok(rows)
}

/// A user with a ready event.
struct Next {
    user_id: Vec<u8>,
    /// The user's first event, if it matches.
    row: Option<ReadRow>,
}

/// The next user after `last`.
fn next(
    conn: &Connection,
    request: &ClaimRequest,
    filter: &Filter<'_>,
    last: &[u8],
) -> rusqlite::Result<Option<Next>> {
    // User ids are compared byte for byte, as stored in the row.
    let last = ToSqlOutput::Borrowed(ValueRef::Text(last));
    let mut first_after = conn.prepare_cached(concat!(
        "SELECT ",
        claimed_columns!(),
        " FROM outbox_events INDEXED BY outbox_ready_user WHERE slot = 'ready' AND user_id > ?
         ORDER BY user_id, priority DESC, next_attempt_at, seq LIMIT 1"
    ))?;
    let mut rows = first_after.query([&last])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let user_id = user_of(row)?;
    if request.excludes(&user_id) {
        // Skips this user without reading the event.
        return Ok(Some(Next { user_id, row: None }));
    }
    let first = read(row)?;
    if request.matches(&first.event) {
        return Ok(Some(Next {
            user_id,
            row: Some(first),
        }));
    }
    // This user's first event does not match: go to the first event that does, of this user or a
    // later one.
    let sql = format!(
        "SELECT {} FROM outbox_events INDEXED BY outbox_ready_user WHERE slot = 'ready' AND user_id > ?{}
         ORDER BY user_id, priority DESC, next_attempt_at, seq LIMIT 1",
        claimed_columns!(),
        filter.sql()
    );
    let mut matching = conn.prepare_cached(&sql)?;
    let values = [&last as &dyn ToSql].into_iter().chain(filter.values());
    let mut rows = matching.query(params_from_iter(values))?;
    let next = rows.next()?.map(|row| {
        Ok(Next {
            user_id: user_of(row)?,
            row: Some(read(row)?),
        })
    });
    next.transpose()
}

fn user_of(row: &Row<'_>) -> rusqlite::Result<Vec<u8>> {
    Ok(match row.get_ref(USER_COLUMN)? {
        ValueRef::Text(id) | ValueRef::Blob(id) => id.to_vec(),
        // The column accepts nothing else.
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => Vec::new(),
    })
}
