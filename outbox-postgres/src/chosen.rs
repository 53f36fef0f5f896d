//! The candidates of a claim: what its scans read of them, and which of them it takes.

use outbox_runtime::store::ClaimRequest;
use outbox_runtime::store::kit::share_of_turns;

use crate::filter::Params;

/// The fewest candidates that a scan looks at, so that a claim of one event does not end at the
/// first that is behind another.
const LEAST_SCAN: usize = 64;

/// The most candidates that a scan looks at.
pub(crate) const MOST_SCAN: usize = 2_000;

/// What a scan reads of each candidate.
pub(crate) const SCANNED: &str =
    "e.ctid AS t, e.seq, e.lane, e.priority, e.due, e.last_attempt_at, e.user_id,
        coalesce(octet_length(e.metadata), 0) AS size, e.id, {waits} AS waits";

pub(crate) const USUAL: &str = "priority DESC, due, seq";

/// The rest of a claim: places and metadata.
#[derive(Clone, Copy)]
pub(crate) struct Budget {
    pub(crate) places: usize,
    pub(crate) bytes: usize,
}

impl Budget {
    pub(crate) fn of(request: &ClaimRequest) -> Self {
        Self {
            places: request.limit(),
            bytes: ClaimRequest::MAX_METADATA_BYTES,
        }
    }

    /// The part that is filled in the order of the request before the turns, and the metadata that
    /// is kept for these: their share, however large the other events are.
    pub(crate) fn before_turns(&self, request: &ClaimRequest) -> (Self, usize) {
        let turns = request.turns().min(self.places);
        let kept = share_of_turns(self.bytes, turns, request.limit());
        let part = Self {
            places: self.places - turns,
            bytes: self.bytes.saturating_sub(kept),
        };
        (part, kept)
    }

    /// The places and the bytes, as parameters of a statement.
    pub(crate) fn bind(&self, params: &mut Params) -> (String, String) {
        let places = params.bind(amount(self.places));
        (places, params.bind(amount(self.bytes)))
    }

    /// How many candidates the first scan looks at.
    pub(crate) fn scan(&self) -> usize {
        self.places.clamp(LEAST_SCAN, MOST_SCAN)
    }
}

pub(crate) fn amount(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The first events of `from` in this order, as far as places and metadata allow.
pub(crate) fn chosen_sql(
    name: &str,
    from: &str,
    order: &str,
    (places, bytes): &(String, String),
) -> String {
    format!(
        "{name} AS MATERIALIZED (SELECT x.t, x.lane, x.seq, x.size, x.nth FROM (
        SELECT k.t, k.lane, k.seq, k.size, row_number() OVER o AS nth, sum(k.size) OVER o - k.size AS before
        FROM {from} k WHERE NOT k.is_behind WINDOW o AS (ORDER BY {order} ROWS UNBOUNDED PRECEDING)) x
    WHERE x.nth <= {places} AND x.before < {bytes})"
    )
}
