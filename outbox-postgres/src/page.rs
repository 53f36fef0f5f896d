//! Listings by pages: each reads a few blocks of `seq`.
//!
//! The [tally](crate::tally) tells which blocks have no event of a wanted status. Beyond the
//! counted blocks, ranges are read one by one up to the last value of the sequence.

use std::time::Duration;

use futures_util::future::join;
use outbox_runtime::store::{Page, PageKey, SystemClock};
use outbox_runtime::{
    Clock as _, DeadReason, EventFilter, OutboxEvent, OutboxStatus, RawMetadata, StoreError,
};
use tokio_postgres::types::ToSql;
use tokio_postgres::{IsolationLevel, Statement, Transaction};

use crate::codes::Code;
use crate::connect::RANGE_PLANS;
use crate::fault::fault;
use crate::row;
use crate::store::{PostgresStore, prepared};

const OPERATION: &str = "page";

/// Limit on the ranges that a page reads.
const RANGES: usize = 16;

/// Limit on the counted blocks that a page reads: 65,536 rows, some 20 milliseconds.
const COUNTED_BLOCKS: i64 = 64;

/// A page ends with the range that takes longer than this. Beyond the counted blocks nobody knows
/// whether a range is a gap, or full of events that the filter does not select.
const LONG: Duration = Duration::from_millis(10);

/// The blocks of a range beyond the counted ones, before any was empty.
const BLOCKS: i64 = 16;

/// The blocks of the longest range: gaps of this length arise where somebody moved the sequence.
const MOST_BLOCKS: i64 = 1 << 30;

/// The highest `seq` that an event can have now. A role that may not read the sequence looks at the
/// rows beyond the counted blocks.
pub(crate) const HIGHEST: &str = "SELECT CASE WHEN has_sequence_privilege(n.name, 'SELECT')
        THEN pg_sequence_last_value(n.name::regclass)
    ELSE greatest((SELECT max(e.seq) FROM {s}.events e
            WHERE e.seq >= coalesce((SELECT (max(t.block) + 1) << 10 FROM {s}.tally t), 0)),
        (SELECT (max(t.block) << 10) + 1023 FROM {s}.tally t)) END
FROM (SELECT pg_get_serial_sequence('{s}.events', 'seq') AS name) n";

/// The first block after `$1` that has events of a wanted class, enqueued from `$6` on and before
/// `$7`, or is not counted: the blocks with changes are read, whatever they are.
pub(crate) const NEXT: &str = "SELECT min(x.block) FROM (
    SELECT min(t.block) AS block FROM {s}.tally t WHERE t.block >= $1 AND (t.fresh > 0 AND $2 OR t.retrying > 0 AND $3
        OR t.completed > 0 AND $4 OR t.dead > 0 AND $5)
        AND ($6::timestamptz IS NULL OR t.newest >= $6) AND ($7::timestamptz IS NULL OR t.oldest < $7)
    UNION ALL SELECT min(d.block) FROM {s}.tally_delta d WHERE d.block >= $1
    UNION ALL SELECT greatest($1, coalesce(max(t.block) + 1, 0)) FROM {s}.tally t) x";

/// The last counted block.
const COUNTED: &str = "SELECT max(t.block) FROM {s}.tally t";

/// Ends with the event whose metadata reaches `$12` bytes with that of the others.
const EVENTS: &str = "SELECT {columns_e} FROM (SELECT e.*,
    sum(coalesce(octet_length(e.metadata), 0)) OVER (ORDER BY e.seq) - coalesce(octet_length(e.metadata), 0) AS before
    FROM {s}.events e WHERE e.seq > $1 AND e.seq <= $2 AND e.status = ANY ($3) AND ($4::text IS NULL OR e.event_type = $4) AND ($5::text IS NULL OR e.user_id = $5)
    AND ($6::text IS NULL OR e.entity_id = $6) AND ($7::text IS NULL OR e.dead_reason = $7)
    AND ($8::timestamptz IS NULL OR e.created_at >= $8) AND ($9::timestamptz IS NULL OR e.created_at < $9)
    AND ($10::text IS NULL OR position($10 IN lower(e.error_message COLLATE \"C\")) > 0
        OR position($10 IN lower(e.last_refusal COLLATE \"C\")) > 0)
    ORDER BY e.seq LIMIT $11) e WHERE e.before < $12 ORDER BY e.seq";

impl PostgresStore {
    pub(crate) async fn read_page(
        &self,
        filter: &EventFilter,
        from: Option<PageKey>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let storage = |error| fault(OPERATION, error);
        let sql = &self.shared.sql;
        let mut client = self.connection(OPERATION).await?;
        let [next, events] = [NEXT, EVENTS].map(|text| sql.text(text));
        let (next, events) = join(
            prepared(&client, OPERATION, &next),
            prepared(&client, OPERATION, &events),
        )
        .await;
        let statements = Statements {
            next: next?,
            events: events?,
        };
        let begin = client.build_transaction().read_only(true);
        let begin = begin.isolation_level(IsolationLevel::RepeatableRead);
        let transaction = begin.start().await.map_err(storage)?;
        let page = self.page_in(&transaction, &statements, filter, from, limit.max(1));
        page.await.map_err(storage)
    }

    async fn page_in(
        &self,
        transaction: &Transaction<'_>,
        statements: &Statements,
        filter: &EventFilter,
        from: Option<PageKey>,
        limit: usize,
    ) -> Result<Page, tokio_postgres::Error> {
        let sql = &self.shared.sql;
        transaction.batch_execute(RANGE_PLANS).await?;
        let key = match from {
            Some(key) => key,
            None => {
                let highest = transaction.query_typed_one(&sql.text(HIGHEST), &[]).await?;
                match highest.try_get(0)? {
                    Some(highest) => PageKey::new(i64::MIN, highest),
                    None => return Ok(Page::default()),
                }
            }
        };
        let wants = |status| filter.takes(status);
        let wants_handled = wants(OutboxStatus::Processing);
        let classes = [
            wants(OutboxStatus::Pending) || wants_handled,
            wants(OutboxStatus::Failed) || wants_handled,
            wants(OutboxStatus::Completed),
            wants(OutboxStatus::Dead),
        ];
        let counted: Option<i64> = transaction
            .query_typed_one(&sql.text(COUNTED), &[])
            .await?
            .try_get(0)?;
        let mut found = Vec::new();
        let mut bytes = 0;
        let mut after = key.after();
        let mut length = BLOCKS;
        // Counted blocks are stepped over where they have nothing, so that one is read at a time,
        // until one has no event that the filter selects: then ever more are.
        let mut counted_length = 1;
        let mut left_of_counted = COUNTED_BLOCKS;
        for _ in 0..RANGES {
            if after >= key.until() {
                return Ok(Page::new(found, None));
            }
            let first = after.saturating_add(1).max(0) >> 10;
            let [fresh, retrying, completed, dead] = &classes;
            let (since, before) = (&filter.created_from, &filter.created_before);
            let params: [&(dyn ToSql + Sync); 7] =
                [&first, fresh, retrying, completed, dead, since, before];
            let block = transaction.query_one(&statements.next, &params).await?;
            let block: Option<i64> = block.try_get(0)?;
            let block = block.unwrap_or(first);
            let is_counted = counted.is_some_and(|last| block <= last);
            let blocks = match counted.filter(|_| is_counted) {
                Some(last) => counted_length.min(left_of_counted).min(last - block + 1),
                None => length,
            };
            let end = block.saturating_add(blocks).saturating_mul(1 << 10) - 1;
            let start = after.max((block << 10) - 1);
            let end = end.min(key.until());
            let left = (limit - found.len(), Page::MAX_METADATA_BYTES - bytes);
            let began = SystemClock.uptime();
            let events = events_in(transaction, &statements.events, filter, start, end, left);
            let events = events.await?;
            let took = SystemClock.uptime().saturating_sub(began);
            match (is_counted, events.is_empty()) {
                (true, true) => counted_length *= 2,
                (true, false) => counted_length = 1,
                (false, true) => length = (length * 2).min(MOST_BLOCKS),
                (false, false) => length = BLOCKS,
            }
            left_of_counted -= if is_counted { blocks } else { 0 };
            let metadata = events.iter().filter_map(|event| event.metadata.as_ref());
            bytes += metadata.map(RawMetadata::len).sum::<usize>();
            found.extend(events);
            if found.len() >= limit || bytes >= Page::MAX_METADATA_BYTES {
                let last = found.last().map_or(end, |event| event.seq);
                let next = (last < key.until()).then(|| PageKey::new(last, key.until()));
                return Ok(Page::new(found, next));
            }
            after = end;
            if left_of_counted <= 0 || took > LONG {
                break;
            }
        }
        let next = (after < key.until()).then(|| PageKey::new(after, key.until()));
        Ok(Page::new(found, next))
    }
}

/// The statements of a page, prepared once per connection.
struct Statements {
    next: Statement,
    events: Statement,
}

/// The events of a range, at most as many, and with as much metadata, as `left`.
async fn events_in(
    transaction: &Transaction<'_>,
    statement: &Statement,
    filter: &EventFilter,
    after: i64,
    until: i64,
    left: (usize, usize),
) -> Result<Vec<OutboxEvent>, tokio_postgres::Error> {
    let wanted = OutboxStatus::ALL
        .iter()
        .filter(|status| filter.takes(**status));
    let statuses: Vec<i8> = wanted.map(|status| status.code()).collect();
    let entity = filter.entity_id.as_ref().map(ToString::to_string);
    let reason = filter.dead_reason.map(DeadReason::as_str);
    let text = filter.lower_error_text();
    let (limit, bytes) = left;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let params: [&(dyn ToSql + Sync); 12] = [
        &after,
        &until,
        &statuses,
        &filter.event_type,
        &filter.user_id,
        &entity,
        &reason,
        &filter.created_from,
        &filter.created_before,
        &text,
        &limit,
        &bytes,
    ];
    row::read_all(&transaction.query(statement, &params).await?)
}
