//! Claims of the events for some destinations, or for all but some: one range of an index for each
//! destination that is left.
//!
//! The events for a destination that is full, paused or in an outage stay candidates. In claim
//! order, each claim of the others steps over all of them. So once that has become slow, a store
//! creates an index by destination in the background. From then on such claims read the first
//! events of each destination, and merge them.

use std::collections::BTreeSet;
use std::time::Duration;

use outbox_runtime::StoreError;
use outbox_runtime::store::ClaimRequest;
use outbox_runtime::store::kit::Destinations;
use tokio_postgres::types::Type;
use tracing::debug;

use crate::fault::fault;
use crate::filter::Params;
use crate::store::PostgresStore;

/// How many events from either end of the candidates tell whether the index would help.
const SAMPLE: i64 = 1_000;

/// How long a store trusts that it would not.
const REST: Duration = Duration::from_secs(10);

/// The fewest events that a claim looks at for each destination, so that it does not end at the
/// first that are behind others.
const LEAST_LOOK: usize = 8;

/// The condition of the index on the row `e`.
const IN_INDEX: &str = "e.slot::text = 'r' AND coalesce(e.destination, '') >= ''";

/// Whether the destinations that are left are few enough to be read one by one.
pub(crate) const ARE_FEW: &str = "(SELECT looks.are_few FROM looks)";

/// How many looks at a destination found as many events as they may: there may be more.
pub(crate) const FILLED: &str = "(SELECT filled.looks FROM filled)";

/// `''` stands for an event without a destination, because no destination is empty.
fn texts(names: &BTreeSet<Option<String>>) -> Vec<String> {
    let text = |name: &Option<String>| name.clone().unwrap_or_default();
    names.iter().map(text).collect()
}

/// The parts of a statement that find the destinations that are left: `open`, and in `looks`
/// whether they are few. With more of them than that, `open` has only some.
fn open_sql(to: &Destinations, params: &mut Params) -> String {
    match to {
        Destinations::These(these) => {
            let these = params.bind(texts(these));
            format!(
                "open AS MATERIALIZED (SELECT d.name COLLATE \"C\" AS name FROM unnest({these}::text[]) d(name))"
            )
        }
        Destinations::AllBut(excluded) => {
            let excluded = params.bind(texts(excluded));
            let most = Destinations::MOST + 1;
            // Each step seeks the next destination in the index.
            format!(
                "names AS (
    SELECT ''::text COLLATE \"C\" AS name
    UNION ALL
    SELECT n.name FROM names, LATERAL (SELECT coalesce(e.destination, '') AS name FROM {{s}}.events e
        WHERE {IN_INDEX} AND coalesce(e.destination, '') > names.name
        ORDER BY coalesce(e.destination, '') LIMIT 1) n),
open AS MATERIALIZED (SELECT names.name FROM names WHERE names.name <> ALL ({excluded}::text[]) LIMIT {most})"
            )
        }
    }
}

/// The first events for the destination `o.name` under a condition, in claim order. The parts are
/// those of a [scan](crate::cursor::Begin::parts).
fn of_one_sql(
    columns: &str,
    (condition, parts): (&str, &[String]),
    limit: &str,
    lock: &str,
) -> String {
    let part = |part: &String| {
        format!(
            "SELECT {columns} FROM {{s}}.events e
        WHERE {IN_INDEX} AND coalesce(e.destination, '') = o.name{condition}{part}
        ORDER BY e.priority DESC, e.due, e.seq LIMIT {limit}{lock}"
        )
    };
    if let [whole] = parts {
        return part(whole);
    }
    let parts = parts.iter().enumerate();
    let parts = parts.map(|(nth, one)| format!("SELECT * FROM ({}) p{nth}", part(one)));
    let parts: Vec<String> = parts.collect();
    format!("{} LIMIT {limit}", parts.join("\n    UNION ALL "))
}

/// The parts of a claim that find the first events `f` in claim order, without locking them: at
/// least as many as it has places, if there are as many.
///
/// The looks at the destinations `seen` together find about as many as the scan may look at. Behind
/// the last event of a look that found as many as it may, others of its destination may be missing,
/// so `f` ends there.
pub(crate) fn first_sql(
    to: &Destinations,
    (condition, parts): (&str, &[String]),
    (scan, places): (&str, i64),
    params: &mut Params,
) -> String {
    let open = open_sql(to, params);
    let places = params.bind(places);
    let most = Destinations::MOST;
    let columns = "e.ctid AS t, e.priority, e.due, e.seq";
    let limit = "(SELECT looks.most FROM looks)";
    let first = of_one_sql(columns, (condition, parts), limit, "");
    format!(
        "{open},
looks AS MATERIALIZED (SELECT count(*) <= {most} AS are_few,
    greatest({LEAST_LOOK}, {places}::bigint, {scan}::bigint / greatest(count(*), 1)) AS most FROM open),
seen AS MATERIALIZED (SELECT x.* FROM open o, LATERAL (
        SELECT y.*, row_number() OVER (ORDER BY y.priority DESC, y.due, y.seq) AS nth FROM ({first}) y) x
    WHERE {ARE_FEW}),
filled AS MATERIALIZED (SELECT count(*) AS looks FROM seen WHERE seen.nth >= {limit}),
f AS MATERIALIZED (SELECT x.t, x.priority, x.due, x.seq FROM (
        SELECT seen.*, count(*) FILTER (WHERE seen.nth >= {limit}) OVER (
            ORDER BY seen.priority DESC, seen.due, seen.seq
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS ended
        FROM seen) x
    WHERE x.ended = 0)"
    )
}

/// The parts of a statement that looks for one event of any destination that is left.
pub(crate) struct AnyOf {
    /// What stands before the statement.
    pub(crate) with: String,
    /// Its due time. It is locked, unless somebody else has it locked.
    pub(crate) due: String,
    /// Whether there is one.
    pub(crate) exists: String,
}

pub(crate) fn any_sql(
    to: &Destinations,
    (condition, parts): (&str, &[String]),
    params: &mut Params,
) -> AnyOf {
    let open = open_sql(to, params);
    let most = Destinations::MOST;
    let lock = " FOR NO KEY UPDATE OF e SKIP LOCKED";
    let due = of_one_sql("e.due", (condition, parts), "1", lock);
    let one = of_one_sql("1 AS one", (condition, parts), "1", "");
    AnyOf {
        with: format!(
            "WITH RECURSIVE {open},
looks AS MATERIALIZED (SELECT count(*) <= {most} AS are_few FROM open)
"
        ),
        due: format!(
            "SELECT * FROM (SELECT n.due FROM open o, LATERAL ({due}) n WHERE {ARE_FEW} LIMIT 1) d"
        ),
        exists: format!("EXISTS (SELECT 1 FROM open o, LATERAL ({one}) n WHERE {ARE_FEW})"),
    }
}

/// Whether the events that a claim leaves out are most of the first candidates, `$1` being the
/// destinations of the claim, and whether the last ones have few destinations.
fn in_the_way_sql(to: &Destinations) -> String {
    let (others, most) = (is_left_out(to), Destinations::MOST);
    let names = "SELECT coalesce(e.destination, '') AS name FROM {s}.events e WHERE e.slot = 'r'";
    let are_few = match to {
        Destinations::These(_) => "true".to_owned(),
        Destinations::AllBut(_) => format!(
            "(SELECT count(DISTINCT x.name) <= {most} FROM (
    {names} ORDER BY e.priority, e.due DESC, e.seq DESC LIMIT {SAMPLE}) x)"
        ),
    };
    format!(
        "SELECT (SELECT count(*) * 2 > {SAMPLE} FROM (
    {names} ORDER BY e.priority DESC, e.due, e.seq LIMIT {SAMPLE}) x WHERE {others}) AND {are_few}"
    )
}

fn is_left_out(to: &Destinations) -> &'static str {
    match to {
        Destinations::These(_) => "x.name <> ALL ($1::text[])",
        Destinations::AllBut(_) => "x.name = ANY ($1::text[])",
    }
}

impl PostgresStore {
    /// Finds out whether the index by destination is there, before the first claim that it is for.
    pub(crate) async fn learn_destination_index(&self, request: &ClaimRequest) {
        let index = &self.shared.destination_index;
        if !index.is_unknown() || self.destinations_left(request).is_none() {
            return;
        }
        match self.index_state(index).await {
            Ok(Some(true)) => index.learn_there(),
            Ok(_) => index.learn_missing(),
            // The claim meets the same error, and tells it.
            Err(error) => debug!(%error, "{} could not be looked up", index.title),
        }
    }

    /// The destinations to read one by one for a request without paused events.
    pub(crate) fn read_by_destination(&self, unpaused: &ClaimRequest) -> Option<Destinations> {
        if !self.shared.destination_index.is_there() {
            return None;
        }
        let are_few = |to: &Destinations| match to {
            Destinations::These(these) => these.len() <= Destinations::MOST,
            Destinations::AllBut(_) => true,
        };
        Destinations::of(unpaused).filter(are_few)
    }

    /// Notes that scans for a request have become slow. If events for other destinations are in
    /// their way, the index by destination is created in the background.
    pub(crate) fn scans_are_slow(&self, request: &ClaimRequest, was_by_destination: bool) {
        let index = &self.shared.destination_index;
        if was_by_destination {
            // Perhaps somebody has dropped it.
            return index.forget();
        }
        let Some(to) = self.destinations_left(request) else {
            return;
        };
        if index.is_resting() || !index.begins_creation() {
            return;
        }
        let store = self.clone();
        tokio::spawn(async move {
            let index = &store.shared.destination_index;
            match store.are_in_the_way(&to).await {
                Ok(true) => return store.create_index(index).await,
                Ok(false) => {}
                Err(error) => debug!(%error, "{} was not created", index.title),
            }
            index.rest(REST);
            index.learn_missing();
        });
    }

    async fn are_in_the_way(&self, to: &Destinations) -> Result<bool, StoreError> {
        const OPERATION: &str = "look at waiting events";
        let storage = |error| fault(OPERATION, error);
        let (Destinations::These(names) | Destinations::AllBut(names)) = to;
        let names = texts(names);
        let client = self.connection(OPERATION).await?;
        let sql = self.shared.sql.text(&in_the_way_sql(to));
        let rows = client
            .query_typed(&sql, &[(&names, Type::TEXT_ARRAY)])
            .await
            .map_err(storage)?;
        let answer = rows.first().map(|row| row.try_get(0)).transpose();
        Ok(answer.map_err(storage)?.unwrap_or_default())
    }

    /// The destinations that a request leaves, with what is paused.
    fn destinations_left(&self, request: &ClaimRequest) -> Option<Destinations> {
        let now = self.now();
        let known = self.shared.pauses.at(now, &self.shared.cursors);
        Destinations::of(&known.pauses.applied(request, now))
    }
}
