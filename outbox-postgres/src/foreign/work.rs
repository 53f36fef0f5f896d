//! Enqueueing, canceling and completing on a connection of a driver that this library does not
//! know, which has a transaction open.

use chrono::{DateTime, Utc};
use outbox_runtime::store::Completion;
use outbox_runtime::store::kit::Desk;
use outbox_runtime::{
    Cancel, Canceled, CompleteError, EnqueueError, Enqueued, NewEvent, StoreError,
};

use super::failure::PostgresFailure;
use super::statement::{Answer, PostgresStatement};
use crate::batch::{MOST_TRIES, unstable};
use crate::codes::Code;
use crate::complete;
use crate::insert::{Folded, Values, answer, carried, expiry_of};
use crate::keyed;
use crate::session::{AFTER_CONTENT, CONTENT, Session, event_of};
use crate::sink::Outbox;
use crate::sql::Sql;
use crate::value::{Columns, PostgresValue, code, integer, some_text, text, time, uuid};

/// The first seventeen parameters of the functions that enqueue, from `bigint` and `text`.
macro_rules! parameters {
    () => {
        "$1::text::uuid, $2::bigint, $3::bigint, $4::text::\"char\", $5::text, $6::text::\"char\", \
         $7::text, $8::text, $9::bigint::integer, $10::bigint, $11::text, $12::bigint, \
         $13::text::\"char\", $14::text, $15::bigint, $16::text::timestamptz, $17::text"
    };
}

const ENQUEUE: &str = concat!("SELECT {s}.enqueue(", parameters!(), ")");

const ENQUEUE_HEADED: &str = concat!("SELECT {s}.enqueue(", parameters!(), ", $18::text)");

const ENQUEUE_EXPIRING: &str = concat!(
    "SELECT {s}.enqueue_expiring(",
    parameters!(),
    ", $18::bigint, $19::text::timestamptz, $20::text)"
);

const ENQUEUE_AFTER: &str = concat!(
    "SELECT {s}.enqueue_after(",
    parameters!(),
    ", $18::bigint, $19::text::timestamptz, $20::text, $21::text)"
);

const FOLD: &str = concat!(
    "SELECT carrier::text, cancelled::integer::bigint FROM {s}.fold(",
    parameters!(),
    ", $18::bigint, $19::text, $20::text)"
);

/// The content under the id `$1`: of the row that carries the event, what tells a repetition from a
/// conflict, and the first content under the id where that differs from the row's.
const KNOWN: &str =
    "SELECT {content}, f.id::text, f.fingerprint, f.operation::text, f.metadata::text,
    f.metadata_version, f.headers
FROM (VALUES ($1::text::uuid)) w(id)
    LEFT JOIN {s}.folded f ON f.id = w.id
    JOIN {s}.events e ON e.id = coalesce(f.into_id, w.id)";

const COMPLETE: &str = "SELECT {s}.complete($1::text::uuid, $2::text::uuid, $3::bigint <> 0,
    $4::text::timestamptz)::integer::bigint";

/// A connection of a driver that this library does not know.
pub(super) struct Foreign {
    operation: &'static str,
    outbox: Outbox,
    desk: Desk<PostgresStatement, Answer>,
}

impl Foreign {
    pub(super) fn new(
        operation: &'static str,
        outbox: Outbox,
        desk: Desk<PostgresStatement, Answer>,
    ) -> Self {
        Self {
            operation,
            outbox,
            desk,
        }
    }

    /// The rows of a statement.
    async fn ask(
        &self,
        sql: String,
        params: Vec<PostgresValue>,
    ) -> Result<Vec<Columns>, PostgresFailure> {
        let statement = PostgresStatement {
            sql,
            params,
            returns_rows: true,
        };
        let rows = self.desk.ask(statement).await?;
        Ok(rows.into_iter().map(Columns).collect())
    }

    /// The first row of a statement.
    async fn row(
        &self,
        template: &str,
        params: Vec<PostgresValue>,
    ) -> Result<Option<Columns>, PostgresFailure> {
        let rows = self.ask(self.outbox.sql.text(template), params).await?;
        Ok(rows.into_iter().next())
    }

    async fn execute(&self, sql: String) -> Result<(), StoreError> {
        let statement = PostgresStatement {
            sql,
            params: Vec::new(),
            returns_rows: false,
        };
        let done = self.desk.ask(statement).await;
        done.map(drop).map_err(|failure| self.fault(failure))
    }

    fn fault(&self, failure: PostgresFailure) -> StoreError {
        failure.into_store_error(self.operation)
    }

    /// Runs work inside a savepoint, which is undone together with its locks unless `is_kept`.
    async fn in_savepoint<T>(
        &self,
        name: &str,
        work: impl Future<Output = T>,
        is_kept: impl Fn(&T) -> bool,
    ) -> Result<T, StoreError> {
        self.execute(format!("SAVEPOINT {name}")).await?;
        let done = work.await;
        if !is_kept(&done) {
            self.execute(format!("ROLLBACK TO SAVEPOINT {name}"))
                .await?;
        }
        self.execute(format!("RELEASE SAVEPOINT {name}")).await?;
        Ok(done)
    }
}

impl Session for Foreign {
    fn operation(&self) -> &'static str {
        self.operation
    }

    fn sql(&self) -> &Sql {
        &self.outbox.sql
    }

    fn now(&self) -> Option<DateTime<Utc>> {
        self.outbox.now()
    }

    async fn rows(
        &self,
        sql: String,
        params: Vec<PostgresValue>,
    ) -> Result<Vec<Columns>, StoreError> {
        let rows = self.ask(sql, params).await;
        rows.map_err(|failure| self.fault(failure))
    }

    async fn insert(&self, event: &NewEvent) -> Result<bool, StoreError> {
        let written = insert(self, &Values::of(event), self.now()).await;
        written.map_err(|failure| self.fault(failure))
    }

    async fn known(
        &self,
        event: &NewEvent,
    ) -> Result<Option<Result<Enqueued, EnqueueError>>, StoreError> {
        let known = known(self, event).await;
        known.map_err(|failure| self.fault(failure))
    }
}

/// Enqueues one event.
pub(super) async fn one(db: Foreign, event: NewEvent) -> Result<Enqueued, EnqueueError> {
    event.validate()?;
    enqueue(&db, &event).await
}

/// Enqueues all events or none.
pub(super) async fn all(db: Foreign, events: Vec<NewEvent>) -> Result<Vec<Enqueued>, EnqueueError> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let all = async {
        let mut enqueued = Vec::with_capacity(events.len());
        for (index, event) in events.iter().enumerate() {
            let answer = enqueue(&db, event).await;
            enqueued.push(answer.map_err(|error| error.at(index))?);
        }
        Ok(enqueued)
    };
    db.in_savepoint("outbox_batch", all, Result::is_ok).await?
}

async fn enqueue(db: &Foreign, event: &NewEvent) -> Result<Enqueued, EnqueueError> {
    if event.key().is_some() {
        let enqueued = keyed::enqueue_on(db, event);
        return db
            .in_savepoint("outbox_key", enqueued, Result::is_ok)
            .await?;
    }
    let now = db.outbox.now();
    let values = Values::of(event);
    if event.may_fold() {
        let fold = fold(db, &values, now);
        let is_folded =
            |folded: &Result<Option<Enqueued>, PostgresFailure>| matches!(folded, Ok(Some(_)));
        match db.in_savepoint("outbox_fold", fold, is_folded).await? {
            Ok(Some(folded)) => return Ok(folded),
            Ok(None) => {}
            // The event gets a row of its own.
            Err(failure) if failure.is_collision() => {}
            Err(failure) => return Err(db.fault(failure).into()),
        }
    }
    for _ in 0..MOST_TRIES {
        let written = insert(db, &values, now).await;
        if written.map_err(|failure| db.fault(failure))? {
            return Ok(Enqueued::New(event.id()));
        }
        let known = known(db, event).await;
        if let Some(answer) = known.map_err(|failure| db.fault(failure))? {
            return answer;
        }
    }
    Err(unstable(event.id()).into())
}

/// Folds the event into a waiting one, if it may be.
async fn fold(
    db: &Foreign,
    values: &Values<'_>,
    now: Option<DateTime<Utc>>,
) -> Result<Option<Enqueued>, PostgresFailure> {
    let mut params = parameters(values, now);
    params.extend([
        integer(values.event.fingerprint()),
        some_text(values.headers.as_deref()),
        some_text(values.parents.as_deref()),
    ]);
    let Some(row) = db.row(FOLD, params).await? else {
        return Ok(None);
    };
    let into = row.uuid(0).map_err(PostgresFailure::new)?;
    Ok(Some(carried(values.event, into, row.integer(1) != Some(0))))
}

/// Writes one event, unless its id is known. Returns whether it was written.
async fn insert(
    db: &Foreign,
    values: &Values<'_>,
    now: Option<DateTime<Utc>>,
) -> Result<bool, PostgresFailure> {
    let mut params = parameters(values, now);
    let expiry = values.event.expiry();
    let (after, at) = expiry.map_or((None, None), expiry_of);
    let expires = [PostgresValue::Integer(after), time(at)];
    let headers = some_text(values.headers.as_deref());
    let template = match (expiry, &values.parents) {
        (_, Some(parents)) => {
            params.extend(expires);
            params.extend([headers, text(parents)]);
            ENQUEUE_AFTER
        }
        (Some(_), None) => {
            params.extend(expires);
            params.push(headers);
            ENQUEUE_EXPIRING
        }
        (None, None) if values.headers.is_some() => {
            params.push(headers);
            ENQUEUE_HEADED
        }
        (None, None) => ENQUEUE,
    };
    let row = db.row(template, params).await?;
    Ok(row.is_some_and(|row| row.integer(0) > Some(0)))
}

/// The answer for an event whose id is known, if it is.
async fn known(
    db: &Foreign,
    event: &NewEvent,
) -> Result<Option<Result<Enqueued, EnqueueError>>, PostgresFailure> {
    let known = KNOWN.replace("{content}", CONTENT);
    let row = db.row(&known, vec![uuid(event.id())]).await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let at = |column| AFTER_CONTENT + column;
    let folded = match row.text(at(0)) {
        None => None,
        Some(_) => Some(Folded {
            id: row.uuid(at(0)).map_err(PostgresFailure::new)?,
            fingerprint: row.integer(at(1)),
            operation: row.code(at(2)),
            metadata: row.text(at(3)).map(str::to_owned),
            metadata_version: row.integer(at(4)),
            headers: row.text(at(5)).map(str::to_owned),
        }),
    };
    let carrier = event_of(&row).map_err(PostgresFailure::new)?;
    Ok(Some(answer(event, &carrier, folded.as_ref())))
}

/// Cancels events.
pub(super) async fn cancel(db: Foreign, cancel: Cancel) -> Result<Canceled, StoreError> {
    let canceled = keyed::cancel_for_caller(&db, &cancel);
    db.in_savepoint("outbox_cancel", canceled, Result::is_ok)
        .await?
}

/// Completes an event under its lease.
pub(super) async fn complete(db: Foreign, completion: Completion) -> Result<(), CompleteError> {
    complete_on(&db, &completion).await
}

async fn complete_on(db: &Foreign, completion: &Completion) -> Result<(), CompleteError> {
    let event_id = completion.lease.event_id;
    let params = vec![
        uuid(event_id),
        uuid(completion.lease.token.as_uuid()),
        integer(i64::from(completion.is_kept)),
        time(db.outbox.now()),
    ];
    let row = db.row(COMPLETE, params).await;
    let row = row.map_err(|failure| db.fault(failure))?;
    match row.and_then(|row| row.integer(0)) {
        Some(1) => Ok(()),
        _ => Err(CompleteError::LeaseLost { event_id }),
    }
}

/// Completes an event and enqueues the next, both or neither. A second call under the same lease
/// answers what the first did.
pub(super) async fn supersede(
    db: Foreign,
    completion: Completion,
    next: NewEvent,
) -> Result<Enqueued, CompleteError> {
    let event_id = completion.lease.event_id;
    let refused = |source| CompleteError::Next { event_id, source };
    next.validate().map_err(refused)?;
    let both = async {
        complete_on(&db, &completion).await?;
        let lease = &completion.lease;
        if let Some(first) = complete::superseded(&db, lease).await? {
            return Ok(first);
        }
        let enqueued = enqueue(&db, &next).await.map_err(refused)?;
        complete::note_superseded(&db, lease, enqueued).await?;
        Ok(enqueued)
    };
    db.in_savepoint("outbox_supersede", both, Result::is_ok)
        .await?
}

/// The values of the first seventeen parameters.
fn parameters(values: &Values<'_>, now: Option<DateTime<Utc>>) -> Vec<PostgresValue> {
    let event = values.event;
    vec![
        uuid(event.id()),
        PostgresValue::Integer(values.lane),
        integer(values.entity_lane),
        code(event.order().code()),
        text(event.event_type()),
        code(event.operation().code()),
        text(event.user_id()),
        text(&values.entity_id),
        integer(event.priority().into()),
        integer(values.max_attempts),
        some_text(values.metadata),
        integer(values.metadata_version),
        code(event.on_dead().code()),
        some_text(event.destination()),
        integer(values.delay),
        time(now),
        some_text(values.trace_context),
    ]
}
