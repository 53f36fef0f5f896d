//! Turns: one event of each user, whatever the backlog of any of them.
//!
//! The index by user has each user's events in claim order, so who comes next with what is one step down from its root: a loose
//! index scan. No step looks at a second event of a user, unless it is of a type that is not asked for.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row, ToSql, params_from_iter};

use super::filter::Filter;
use super::row::{ReadRow, USER_COLUMN, claimed_columns, read};
use crate::claim::ClaimRequest;
use crate::store::kit::Load;

/// The first matching event of each user, beginning where the request says and going around, for as many as there are places.
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

/// A user who has something ready.
struct Next {
    user_id: Vec<u8>,
    /// Their first event, where one of theirs is asked for.
    row: Option<ReadRow>,
}

/// Who comes after this user.
fn next(
    conn: &Connection,
    request: &ClaimRequest,
    filter: &Filter<'_>,
    last: &[u8],
) -> rusqlite::Result<Option<Next>> {
    // Whatever the bytes of a user's id are, they are compared as they stand in the row.
    let last = ToSqlOutput::Borrowed(ValueRef::Text(last));
    let mut whoever = conn.prepare_cached(concat!(
        "SELECT ",
        claimed_columns!(),
        " FROM outbox_events INDEXED BY outbox_ready_user WHERE slot = 'ready' AND user_id > ?
         ORDER BY user_id, priority DESC, next_attempt_at, seq LIMIT 1"
    ))?;
    let mut rows = whoever.query([&last])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let user_id = user_of(row)?;
    if request.excludes(&user_id) {
        // On to the next, without a look at what they have.
        return Ok(Some(Next { user_id, row: None }));
    }
    let first = read(row)?;
    if request.matches(&first.event) {
        return Ok(Some(Next {
            user_id,
            row: Some(first),
        }));
    }
    // Their first event is not asked for: on to the first one that is, be it theirs or another's.
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
        // The column takes nothing else.
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => Vec::new(),
    })
}
