//! The statements on the path of an event, each once. The names of the schema are filled in when a
//! store or a sink is made.
//!
//! Where a row is found by its id or its place, its slot and status are compared as text. `slot =
//! 'b'` is the condition of a partial index as well, and an index that was empty at the last
//! `ANALYZE` looks free to the planner: it would read all of it, for each row that is sought.

use std::sync::Arc;

use crate::name::SchemaName;
use crate::texts::Texts;
use crate::{followers, outcomes, parents, unblocking};

/// The columns of an event, with their types, in the order in which `row::read` takes them.
const COLUMNS: &[(&str, &str)] = &[
    ("id", "uuid"),
    ("seq", "bigint"),
    ("event_type", "text"),
    ("entity_id", "text"),
    ("user_id", "text"),
    ("operation", "\"char\""),
    ("status", "\"char\""),
    ("priority", "integer"),
    ("created_at", "timestamptz"),
    ("due", "timestamptz"),
    ("last_attempt_at", "timestamptz"),
    ("attempt_count", "integer"),
    ("max_attempts", "bigint"),
    ("error_message", "text"),
    ("completed_at", "timestamptz"),
    ("metadata", "text"),
    ("metadata_version", "bigint"),
    ("lease_token", "uuid"),
    ("lease_expires_at", "timestamptz"),
    ("dead_reason", "text"),
    ("lane_order", "\"char\""),
    ("on_dead", "\"char\""),
    ("destination", "text"),
    ("deferrals", "integer"),
    ("deferred_since", "timestamptz"),
    ("last_refusal", "text"),
    ("crashes", "integer"),
    ("snoozes", "integer"),
    ("revision", "bigint"),
    ("trace_context", "text"),
    ("expires_at", "timestamptz"),
    ("dedup_key", "text"),
    ("parents", "jsonb"),
    ("headers", "text"),
];

/// The number of columns of an event.
pub(crate) const COLUMN_COUNT: usize = COLUMNS.len();

/// The columns that a claim sets, and need not read.
const LEASED: &[&str] = &[
    "status",
    "last_attempt_at",
    "lease_token",
    "lease_expires_at",
];

/// The columns of the table under this alias.
pub(crate) fn columns(alias: &str) -> String {
    let names: Vec<String> = COLUMNS
        .iter()
        .map(|(name, _)| format!("{alias}.{name}"))
        .collect();
    names.join(", ")
}

/// The columns of the row `e`, with NULL for the metadata.
pub(crate) fn columns_without_metadata() -> String {
    columns("e").replace("e.metadata,", "NULL::text AS metadata,")
}

/// The columns that `row::read_leased` takes.
fn leased_columns() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    COLUMNS.iter().filter(|(name, _)| !LEASED.contains(name))
}

/// The columns of an event that was claimed, under this alias.
pub(crate) fn columns_of_leased(alias: &str) -> String {
    let names: Vec<String> = leased_columns()
        .map(|(name, _)| format!("{alias}.{name}"))
        .collect();
    names.join(", ")
}

/// As many columns as those of an event that was claimed, all NULL but these.
pub(crate) fn null_columns(known: &[(&str, &str)]) -> String {
    let column = |(name, of_type): &(&str, &str)| {
        let value = known.iter().find(|(column, _)| column == name);
        value.map_or_else(
            || format!("NULL::{of_type}"),
            |(_, value)| (*value).to_owned(),
        )
    };
    leased_columns().map(column).collect::<Vec<_>>().join(", ")
}

/// Whether the row `e` is behind another event of its lane: a front with a smaller seq, or one that
/// is taken. The row itself is none of these; comparing the seq keeps the planner from reading all
/// taken lanes into a hash, with every entry that no vacuum has removed.
const BEHIND: &str = "(e.lane IS NOT NULL AND (
    EXISTS (SELECT 1 FROM {s}.events o WHERE o.lane = e.lane AND o.slot IN ('r', 'w', 'h') AND o.seq < e.seq)
    OR EXISTS (SELECT 1 FROM {s}.events o WHERE o.lane = e.lane AND o.slot IN ('l', 'n') AND o.seq <> e.seq)))";

/// Whether the row `e` has elders: open events of its type, entity and user that were enqueued
/// before it under another order. Most outboxes have none, so both looks end at once.
const ELDERS: &str = "(EXISTS (SELECT 1 FROM {s}.events o
        WHERE o.entity_lane = coalesce(e.entity_lane, e.lane) AND o.slot IN ('r', 'w', 'b', 'l', 'f', 'h')
            AND {kin} AND o.seq < e.seq)
    OR e.entity_lane IS NOT NULL AND (
        EXISTS (SELECT 1 FROM {s}.events o WHERE o.lane = e.entity_lane AND o.slot IN ('r', 'w', 'h')
            AND {kin} AND o.seq < e.seq)
        OR EXISTS (SELECT 1 FROM {s}.events o WHERE o.lane = e.entity_lane AND o.slot = 'b'
            AND {kin} AND o.seq < e.seq)
        OR EXISTS (SELECT 1 FROM {s}.events o WHERE o.lane = e.entity_lane AND o.slot = 'l'
            AND o.slot IN ('l', 'n') AND {kin} AND o.seq < e.seq)
        OR EXISTS (SELECT 1 FROM {s}.events o WHERE o.lane = e.entity_lane AND o.slot = 'f'
            AND {kin} AND o.seq < e.seq)))";

/// Whether `o` is of the same type, entity and user as `e`, under another order.
const KIN: &str = "o.lane_order <> e.lane_order AND o.event_type = e.event_type
    AND o.user_id = e.user_id AND o.entity_id = e.entity_id";

/// The block of a `seq`: those with the same ten last bits removed are counted together.
pub(crate) const BLOCK: &str = "seq >> 10";

/// The time `$2` of a statement for any driver, or the server's.
const GIVEN_NOW: &str = "coalesce($2::text::timestamptz, statement_timestamp())";

/// Writes one event, unless its id is known: how many were written. The body is in the schema.
const INSERT: &str = "SELECT {s}.enqueue($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";

/// The same, for an event with the headers `$18`.
const INSERT_HEADED: &str = "SELECT {s}.enqueue($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)";

/// The same, for an event with the headers `$20`, if any, that expires: after `$18` microseconds,
/// or at `$19`.
const INSERT_EXPIRING: &str = "SELECT {s}.enqueue_expiring($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)";

/// The same, for an event with the parents `$21`.
const INSERT_AFTER: &str = "SELECT {s}.enqueue_after($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)";

/// Writes many events, or none if one of the ids is known. `$1` to `$15` are arrays, and `$17`:
/// whether an event is close behind another one of its lane in the same statement. `$18`: whether
/// the id of another event fails the statement, instead of being looked up first. `$19`: the trace
/// contexts, and `$20`: the headers; NULL if no event has any.
const INSERT_MANY: &str = "SELECT {s}.enqueue_many($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)";

/// Folds an event into the newest open one of its lane, if the table of `Coalesce::Latest` allows
/// it: the same decision as `NewEvent::folded_into` and `NewEvent::cancels`. A row that somebody
/// else has locked, or that has changed since, is left alone, and the event gets a row of its own.
/// Completed events have no index by entity; in a table beyond 64 MB nobody looks whether the
/// remote service knows the entity, and both events are sent, which is harmless.
const FOLD: &str = "SELECT carrier, cancelled FROM {s}.fold($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,
    $16, $17, $18, $19, $20)";

/// Completes an event under its lease: whether it has. The body is in the schema.
const COMPLETE_ON: &str = "SELECT {s}.complete($1, $2, $3, $4)";

/// Which of the ids `$1` are known: their rows, or those of the events that carry them, and the
/// first content under the id where that differs from the row's.
const KNOWN: &str =
    "SELECT {columns_e}, f.id, f.fingerprint, f.operation, f.metadata, f.metadata_version, f.headers
FROM unnest($1::uuid[]) w(id)
    LEFT JOIN {s}.folded f ON f.id = w.id
    JOIN {s}.events e ON e.id = coalesce(f.into_id, w.id)";

/// The rest of a clean-up of the events `d`. Counts are appended: a counter would make workers wait
/// for each other.
pub(crate) const FORGET: &str = "y AS (INSERT INTO {s}.tally_delta SELECT {block}, 0, 0, -count(*), 0 FROM d GROUP BY 1),
f AS (DELETE FROM {s}.folded f USING d WHERE f.into_id = d.id),
t AS (INSERT INTO {s}.told (user_end, entity_end)
    SELECT DISTINCT right(d.user_id, 4), right(d.entity_id, 4) FROM d
    WHERE d.last_attempt_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM {s}.told o
        WHERE o.user_end = right(d.user_id, 4) AND o.entity_end = right(d.entity_id, 4))
    ORDER BY 1, 2 ON CONFLICT DO NOTHING),
c AS (INSERT INTO {s}.cleaned_up (user_id, completed) SELECT d.user_id, count(*) FROM d GROUP BY d.user_id)";

/// Cleans up those of the events `$1` that this transaction has completed. One with a note stays
/// until that is taken up.
const REMOVE: &str = "WITH d AS (DELETE FROM {s}.events e
    WHERE e.id = ANY ($1) AND e.status::text = 'c' AND e.slot IS NULL AND e.xmin = pg_current_xact_id()::xid
    RETURNING e.id, e.seq, e.user_id, e.entity_id, e.last_attempt_at),
m AS (INSERT INTO {s}.completions (id, token, is_kept, completed_at)
    SELECT e.id, {nobody}, false, e.completed_at FROM {s}.events e
    WHERE e.id = ANY ($1) AND e.status::text = 'c' AND e.slot = 'n' AND e.xmin = pg_current_xact_id()::xid
    ON CONFLICT DO NOTHING),
{forget}
SELECT count(*) FROM d";

/// The token of a completion that no handler answers for: it marks an event that goes with its
/// note.
const NOBODY: &str = "'00000000-0000-0000-0000-000000000000'::uuid";

/// Cleans up the events that were to go with their notes, once they have none.
const REMOVE_UNNOTED: &str =
    "WITH k AS MATERIALIZED (SELECT e.id FROM {s}.completions c JOIN {s}.events e ON e.id = c.id
    WHERE c.token = {nobody} AND e.status::text = 'c' AND e.slot IS NULL FOR UPDATE OF e SKIP LOCKED),
m AS (DELETE FROM {s}.completions c USING k WHERE c.id = k.id AND c.token = {nobody}),
d AS (DELETE FROM {s}.events e USING k WHERE e.id = k.id
    RETURNING e.id, e.seq, e.user_id, e.entity_id, e.last_attempt_at),
{forget}
SELECT count(*) FROM d";

/// The statements of an outbox.
#[derive(Debug)]
pub(crate) struct Sql {
    pub(crate) schema: SchemaName,
    texts: Texts,
    pub(crate) insert: String,
    pub(crate) insert_headed: String,
    pub(crate) insert_expiring: String,
    pub(crate) insert_after: String,
    pub(crate) insert_many: String,
    pub(crate) known: String,
    pub(crate) fold: String,
    pub(crate) promote: String,
    pub(crate) demote: String,
    pub(crate) complete: String,
    /// The same, with an entry in the history.
    pub(crate) complete_kept: String,
    /// In a transaction of the caller.
    pub(crate) complete_on: String,
    pub(crate) settle: String,
    /// As the three above, without waiting for locked rows.
    pub(crate) unlocked: Unlocked,
    pub(crate) locked: String,
    pub(crate) unblock_next: String,
    pub(crate) unblock_lanes: String,
    pub(crate) unblock_after_batch: String,
    pub(crate) next_of_leased: String,
    pub(crate) lease_followers: String,
    pub(crate) remove: String,
    pub(crate) remove_unnoted: String,
    pub(crate) lock_notes: String,
    pub(crate) take_up_notes: String,
    pub(crate) unblock: String,
    /// Lets candidates wait for their parents.
    pub(crate) wait: String,
    pub(crate) free: String,
    pub(crate) free_of_gone: String,
}

/// The statements that record outcomes of rows that nobody else holds locked.
#[derive(Debug)]
pub(crate) struct Unlocked {
    pub(crate) complete: String,
    pub(crate) complete_kept: String,
    pub(crate) settle: String,
}

impl Sql {
    pub(crate) fn new(schema: SchemaName) -> Self {
        let text = |template: &str| render(&schema, template);
        let complete = outcomes::complete(false);
        let complete_kept = outcomes::complete(true);
        let settle = outcomes::settle();
        Self {
            unlocked: Unlocked {
                complete: text(&outcomes::of_unlocked(&complete, outcomes::MAY_END)),
                complete_kept: text(&outcomes::of_unlocked(&complete_kept, outcomes::MAY_END)),
                settle: text(&outcomes::of_unlocked(&settle, followers::MAY_GO_BACK)),
            },
            insert: text(INSERT),
            insert_headed: text(INSERT_HEADED),
            insert_expiring: text(INSERT_EXPIRING),
            insert_after: text(INSERT_AFTER),
            insert_many: text(INSERT_MANY),
            known: text(KNOWN),
            fold: text(FOLD),
            promote: text(unblocking::PROMOTE),
            demote: text(unblocking::DEMOTE),
            complete: text(&outcomes::of_all(&complete)),
            complete_kept: text(&outcomes::of_all(&complete_kept)),
            locked: text(outcomes::LOCKED),
            complete_on: text(COMPLETE_ON),
            settle: text(&outcomes::of_all(&settle)),
            unblock_next: text(&unblocking::at(unblocking::UNBLOCK_NEXT, "$2")),
            unblock_lanes: text(&unblocking::at(unblocking::UNBLOCK_LANES, "$2")),
            unblock_after_batch: text(&unblocking::at(followers::UNBLOCK_AFTER_BATCH, "$2")),
            next_of_leased: text(
                &followers::NEXT_OF_LEASED.replace("{columns}", &columns_without_metadata()),
            ),
            lease_followers: text(followers::LEASE_FOLLOWERS),
            remove: text(&REMOVE.replace("{forget}", FORGET)),
            remove_unnoted: text(&REMOVE_UNNOTED.replace("{forget}", FORGET)),
            lock_notes: text(unblocking::LOCK_NOTES),
            take_up_notes: text(&unblocking::at(unblocking::TAKE_UP_NOTES, "$2")),
            unblock: text(&unblocking::at(unblocking::UNBLOCK, GIVEN_NOW)),
            wait: text(parents::WAIT),
            free: text(&unblocking::at(parents::FREE, "$2")),
            free_of_gone: text(&unblocking::at(parents::FREE_OF_GONE, GIVEN_NOW)),
            schema,
            texts: Texts::default(),
        }
    }

    /// Fills the names and the shared conditions into a statement: `{s}` the schema, `{behind}` and
    /// `{elders}` of the row `e`, and others above.
    pub(crate) fn text(&self, template: &str) -> String {
        render(&self.schema, template)
    }

    /// The same, for a text that is put together for each request.
    pub(crate) fn text_of(&self, template: String) -> Arc<str> {
        self.texts.of(template, |template| self.text(template))
    }

    /// The same, for a statement that unblocks rows at `now`, which is one of its parameters.
    pub(crate) fn unblocking(&self, template: &str, now: &str) -> String {
        self.text(&unblocking::at(template, now))
    }

    /// The channel on which sleeping workers are woken.
    pub(crate) fn channel(schema: &SchemaName) -> String {
        format!("{schema}_wake")
    }
}

/// Fills the names of the schema, its locks and its channel, and the shared conditions into a text.
pub(crate) fn render(schema: &SchemaName, template: &str) -> String {
    template
        .replace("{behind}", BEHIND)
        .replace("{elders}", ELDERS)
        .replace("{kin}", KIN)
        .replace("{freed}", unblocking::FREED)
        .replace("{may_go_back}", followers::MAY_GO_BACK)
        .replace("{is_free_to_go}", followers::IS_FREE_TO_GO)
        .replace("{is_lost}", followers::IS_LOST)
        .replace("{waits}", parents::WAITS)
        .replace("{creations}", parents::CREATIONS)
        .replace("{holds}", parents::HOLDS)
        .replace("{waiting}", parents::WAITING)
        .replace("{nobody}", NOBODY)
        .replace("{columns_e}", &columns("e"))
        .replace("{class}", &schema.lock_class().to_string())
        .replace("{channel}", &Sql::channel(schema))
        .replace("{block}", BLOCK)
        .replace("{s}", schema.as_str())
}
