//! The sequence of `seq`, after somebody copied events into the table.
//!
//! `COPY` and logical replication take the values of `seq` along and leave the sequence where it
//! was. New events would then be claimed before the copied ones, and share their `seq`.

use outbox_runtime::StoreError;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, IsolationLevel, Transaction};

use crate::connect::RANGE_PLANS;
use crate::fault::{commit_fault, fault};
use crate::migrate::INSTALL_LOCK;
use crate::name::SchemaName;

type Param<'p> = (&'p (dyn ToSql + Sync), Type);

const OPERATION: &str = "open";

/// The sequence, and whether this role may move it.
const SEQUENCE: &str = "SELECT s.name, has_sequence_privilege(s.name, 'SELECT') AND has_sequence_privilege(s.name, 'UPDATE')
FROM (SELECT pg_get_serial_sequence($1, 'seq') AS name) s WHERE s.name IS NOT NULL";

/// Moves the sequence beyond the highest `seq`, unless it is there.
pub(crate) async fn mend(client: &mut Client, schema: &SchemaName) -> Result<(), StoreError> {
    let storage = |error| fault(OPERATION, error);
    let table = format!("{schema}.events");
    let found = client.query_typed(SEQUENCE, &[(&table, Type::TEXT)]).await;
    let found = found.map_err(storage)?;
    let Some(row) = found.first() else {
        return Ok(());
    };
    let name: String = row.try_get(0).map_err(storage)?;
    if !row.try_get(1).map_err(storage)? {
        // The owner's programs do this.
        return Ok(());
    }
    let begin = client.build_transaction().read_only(false);
    let begin = begin.isolation_level(IsolationLevel::ReadCommitted);
    let transaction = begin.start().await.map_err(storage)?;
    // Reads summaries, and the pages that may have such rows; usually none has.
    transaction
        .batch_execute(RANGE_PLANS)
        .await
        .map_err(storage)?;
    if beyond(&transaction, schema, &name)
        .await
        .map_err(storage)?
        .is_none()
    {
        return Ok(());
    }
    let lock = format!(
        "SELECT pg_advisory_xact_lock({}, {INSTALL_LOCK});
        LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE",
        schema.lock_class()
    );
    transaction.batch_execute(&lock).await.map_err(storage)?;
    // Nobody takes a value now.
    if let Some(highest) = beyond(&transaction, schema, &name).await.map_err(storage)? {
        tracing::warn!(
            schema = schema.as_str(),
            highest,
            "events were copied into the table without its sequence, which continues after them now"
        );
        let set = "SELECT setval($1::text::regclass, $2)";
        let params: [Param<'_>; 2] = [(&name, Type::TEXT), (&highest, Type::INT8)];
        let set = transaction.query_typed(set, &params).await;
        set.map_err(storage)?;
        // Copied events may be in blocks that were counted before.
        let forget = format!("DELETE FROM {schema}.tally");
        transaction.batch_execute(&forget).await.map_err(storage)?;
    }
    let committed = transaction.commit().await;
    committed.map_err(|error| commit_fault(OPERATION, error))
}

/// The highest `seq` if the sequence is before it.
async fn beyond(
    transaction: &Transaction<'_>,
    schema: &SchemaName,
    sequence: &str,
) -> Result<Option<i64>, tokio_postgres::Error> {
    let last = format!(
        "SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM {sequence}"
    );
    let before: i64 = transaction.query_typed_one(&last, &[]).await?.try_get(0)?;
    let highest = format!("SELECT max(seq) FROM {schema}.events WHERE seq > $1");
    let highest = transaction
        .query_typed_one(&highest, &[(&before, Type::INT8)])
        .await?;
    let Some(highest) = highest.try_get::<_, Option<i64>>(0)? else {
        return Ok(None);
    };
    // Events that were written since have taken their values from the sequence.
    let now: i64 = transaction.query_typed_one(&last, &[]).await?.try_get(0)?;
    Ok((highest > now).then_some(highest))
}
