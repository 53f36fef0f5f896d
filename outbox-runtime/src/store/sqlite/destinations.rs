//! Claims of the events for some destinations, or for all but some: one range of an index for each
//! destination that is left.
//!
//! The events for a destination that is full, or in an outage, stay ready. In claim order, each
//! claim of the others steps over all of them. So a claim that has stepped over many creates the
//! index `outbox_ready_to`, once and for good, as it does for [users](super::user_index): from then
//! on such claims read the first events of each destination, and merge them. Dropping the index
//! (`DROP INDEX outbox_ready_to`) is safe at any time.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};

use super::filter::Filter;
use super::held::Held;
use super::listed::NOT_LISTED;
use super::stepping::Claiming;
use crate::claim::ClaimRequest;
use crate::store::kit::Destinations;

const CREATE: &str = "CREATE INDEX IF NOT EXISTS outbox_ready_to \
     ON outbox_events (destination, priority DESC, next_attempt_at) WHERE slot = 1";

/// The text of a destination, as stored; `None`: events without one.
type Name = Option<Vec<u8>>;

fn stored<T: FromIterator<Name>>(names: &BTreeSet<Option<String>>) -> T {
    let bytes = |name: &Option<String>| name.clone().map(String::into_bytes);
    names.iter().map(bytes).collect()
}

/// The destinations to read; `None` if these are too many.
fn names(conn: &Connection, to: &Destinations) -> rusqlite::Result<Option<Vec<Name>>> {
    let excluded: BTreeSet<Name> = match to {
        Destinations::These(these) => {
            return Ok((these.len() <= Destinations::MOST).then(|| stored(these)));
        }
        Destinations::AllBut(excluded) => stored(excluded),
    };
    let mut names = Vec::new();
    if !excluded.contains(&None) {
        names.push(None);
    }
    let mut next_from = conn.prepare_cached(
        "SELECT destination FROM outbox_events INDEXED BY outbox_ready_to
         WHERE slot = 1 AND destination >= ? ORDER BY destination",
    )?;
    let mut from = Vec::<u8>::new();
    while names.len() <= Destinations::MOST {
        let mut rows = next_from.query([ToSqlOutput::Borrowed(ValueRef::Text(&from))])?;
        let Some(row) = rows.next()? else {
            return Ok(Some(names));
        };
        let (ValueRef::Text(name) | ValueRef::Blob(name)) = row.get_ref(0)? else {
            // The column accepts nothing else, and the condition no NULL.
            return Ok(None);
        };
        from = name.to_vec();
        let name = Some(from.clone());
        if !excluded.contains(&name) {
            names.push(name);
        }
        // The first text after this one.
        from.push(0);
    }
    Ok(None)
}

fn value(name: &Name) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(name.as_deref().map_or(ValueRef::Null, ValueRef::Text))
}

/// Creates the index, for a request that has stepped over many events.
pub(super) fn create(conn: &Connection, request: &ClaimRequest) -> rusqlite::Result<()> {
    match Destinations::of(request) {
        Some(_) => conn.execute_batch(CREATE),
        None => Ok(()),
    }
}

/// Whether the index is missing. SQLite tells it when it prepares a statement that names it.
fn is_missing(error: &rusqlite::Error) -> bool {
    error.to_string().contains("no such index: outbox_ready_to")
}

/// Selects the ready events for a destination that match the filter, the first in claim order
/// first.
fn ready(columns: &str, filter: &Filter<'_>, condition: &str) -> String {
    format!(
        "SELECT {columns} FROM outbox_events INDEXED BY outbox_ready_to \
         WHERE slot = 1 AND destination IS ?{}{condition} ORDER BY priority DESC, next_attempt_at, seq",
        filter.sql()
    )
}

/// Takes the first events in claim order, up to `places`, and returns their number. `None` if they
/// have to be found in claim order.
pub(super) fn take(
    claiming: &mut Claiming<'_>,
    request: &ClaimRequest,
    filter: &Filter<'_>,
    places: usize,
) -> rusqlite::Result<Option<usize>> {
    if places == 0 || claiming.is_full() {
        return Ok(Some(0));
    }
    let Some(to) = Destinations::of(request) else {
        return Ok(None);
    };
    let first = match first_of(claiming, &to, filter, places) {
        Err(error) if is_missing(&error) => return Ok(None),
        first => first?,
    };
    let Some(first) = first else {
        return Ok(None);
    };
    let mut found = 0;
    for (_, _, seq) in first {
        if claiming.is_full() {
            break;
        }
        claiming.found(seq)?;
        found += 1;
    }
    Ok(Some(found))
}

/// The first events in claim order: priority, due time and `seq` of each.
type Places = Vec<(Reverse<i64>, i64, i64)>;

fn first_of(
    claiming: &Claiming<'_>,
    to: &Destinations,
    filter: &Filter<'_>,
    places: usize,
) -> rusqlite::Result<Option<Places>> {
    let Some(names) = names(claiming.conn, to)? else {
        return Ok(None);
    };
    let sql = ready("priority, next_attempt_at, seq", filter, NOT_LISTED);
    let mut statement = claiming.conn.prepare_cached(&sql)?;
    let taken = claiming.taken.value();
    let mut first = Places::new();
    for name in &names {
        let name = value(name);
        let values = [&name as &dyn ToSql].into_iter().chain(filter.values());
        let values = values.chain([&taken as &dyn ToSql]);
        let mut rows = statement.query(params_from_iter(values))?;
        let most = first.len().saturating_add(places);
        while first.len() < most
            && let Some(row) = rows.next()?
        {
            first.push((Reverse(row.get(0)?), row.get(1)?, row.get(2)?));
        }
        first.sort_unstable();
        first.truncate(places);
    }
    Ok(Some(first))
}

/// The due time of a ready event.
pub(super) enum FirstDue {
    /// `None`: there is no such event.
    Known(Option<i64>),
    /// It has to be found in claim order.
    Unknown,
}

/// The due time of a ready event that matches the request and that no handler has.
pub(super) fn due(
    conn: &Connection,
    held: &Held,
    request: &ClaimRequest,
    filter: &Filter<'_>,
) -> rusqlite::Result<FirstDue> {
    let Some(to) = Destinations::of(request) else {
        return Ok(FirstDue::Unknown);
    };
    match first_due(conn, held, &to, filter) {
        Err(error) if is_missing(&error) => Ok(FirstDue::Unknown),
        found => found,
    }
}

fn first_due(
    conn: &Connection,
    held: &Held,
    to: &Destinations,
    filter: &Filter<'_>,
) -> rusqlite::Result<FirstDue> {
    let Some(names) = names(conn, to)? else {
        return Ok(FirstDue::Unknown);
    };
    let mut statement = conn.prepare_cached(&ready("seq, next_attempt_at", filter, ""))?;
    for name in &names {
        let name = value(name);
        let values = [&name as &dyn ToSql].into_iter().chain(filter.values());
        let mut rows = statement.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            if !held.has(row.get(0)?) {
                return row.get(1).map(Some).map(FirstDue::Known);
            }
        }
    }
    Ok(FirstDue::Known(None))
}
