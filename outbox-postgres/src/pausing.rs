//! Pauses: events that claims leave out.
//!
//! A store remembers the pauses, so a claim asks for nothing more. Each row has a random number,
//! and a claim leases only if all of them together are the remembered ones. Otherwise it reports
//! that, and is made again with the pauses of the database: so a pause holds for every claim after
//! its commit. A change of pauses always sends a notification, because it is rare.

use std::sync::Arc;

use outbox_runtime::store::ClaimRequest;
use outbox_runtime::store::kit::{Destinations, Pauses, valid_pause};
use outbox_runtime::{Pause, PauseScope, Paused, StoreError};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::fault::{commit_fault, fault};
use crate::filter::{Params, conditions};
use crate::pauses::Known;
use crate::store::PostgresStore;

/// The number of all pauses together; 0 without any.
const REVISION: &str =
    "(SELECT coalesce(bit_xor(p.revision), 0) FROM {s}.pauses p WHERE p.revision IS NOT NULL)";

const READ: &str = "SELECT kind, name, since, until, paused_by, because, revision FROM {s}.pauses ORDER BY kind, name";

const PAUSE: &str = "WITH ended AS (
    DELETE FROM {s}.pauses WHERE until <= $3 AND (kind, name) <> ($1, $2)),
put AS (INSERT INTO {s}.pauses (kind, name, since, until, paused_by, because, revision)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (kind, name) DO UPDATE SET since = excluded.since, until = excluded.until,
        paused_by = excluded.paused_by, because = excluded.because, revision = excluded.revision)
SELECT pg_notify('{channel}', '')";

const UNPAUSE: &str = "WITH lifted AS (
    DELETE FROM {s}.pauses WHERE kind = $1 AND name = $2 RETURNING until IS NULL OR until > $3 AS was_in_effect)
SELECT coalesce((SELECT was_in_effect FROM lifted), false), pg_notify('{channel}', '')::text";

/// A request without the events that are paused as far as the store remembers.
pub(crate) struct Unpaused {
    /// Its conditions on the row `e`.
    pub(crate) filter: String,
    /// Whether the pauses of the database are the remembered ones. Otherwise the filter is wrong.
    pub(crate) is_current: String,
    /// The destinations to read one by one, if any.
    pub(crate) to: Option<Destinations>,
    pub(crate) known: Arc<Known>,
}

impl PostgresStore {
    /// The request without the paused events.
    pub(crate) fn unpaused(&self, request: &ClaimRequest, params: &mut Params) -> Unpaused {
        let now = self.now();
        let known = self.shared.pauses.at(now, &self.shared.cursors);
        let applied = known.pauses.applied(request, now);
        let filter = conditions(&applied, params);
        let revision = params.bind(known.revision);
        Unpaused {
            filter,
            is_current: format!("{REVISION} = {revision}"),
            to: self.read_by_destination(&applied),
            known,
        }
    }

    /// The conditions of the request on the row `e`, without the events that are paused as far as
    /// the store remembers.
    pub(crate) fn conditions_now(&self, request: &ClaimRequest, params: &mut Params) -> String {
        let now = self.now();
        let known = self.shared.pauses.at(now, &self.shared.cursors);
        conditions(&known.pauses.applied(request, now), params)
    }

    /// Remembers the pauses of the database.
    pub(crate) async fn learn_pauses(&self, operation: &'static str) -> Result<(), StoreError> {
        let known = self.read_pauses(operation).await?;
        let (pauses, cursors) = (&self.shared.pauses, &self.shared.cursors);
        pauses.learn(known, self.now(), cursors);
        Ok(())
    }

    async fn read_pauses(&self, operation: &'static str) -> Result<Known, StoreError> {
        let client = self.connection(operation).await?;
        let rows = client
            .query_typed(&self.shared.sql.text(READ), &[])
            .await
            .and_then(|rows| Known::read(&rows));
        rows.map_err(|error| fault(operation, error))
    }

    /// The pauses of the database, in the given transaction.
    pub(crate) async fn pauses_in(
        &self,
        transaction: &tokio_postgres::Transaction<'_>,
    ) -> Result<Pauses, tokio_postgres::Error> {
        let rows = transaction.query(&self.shared.sql.text(READ), &[]).await?;
        Ok(Known::read(&rows)?.pauses)
    }

    pub(crate) async fn begin_pause(&self, pause: &Pause) -> Result<(), StoreError> {
        const OPERATION: &str = "pause";
        let client = self.connection(OPERATION).await?;
        let now = self.now();
        valid_pause(pause, now)?;
        let paused = pause.begin(now);
        let revision = Uuid::new_v4().as_u64_pair().0.cast_signed();
        let (kind, name) = (paused.scope.kind(), paused.scope.name());
        let written = client
            .query_typed(
                &self.shared.sql.text(PAUSE),
                &[
                    (&kind, Type::TEXT),
                    (&name, Type::TEXT),
                    (&paused.since, Type::TIMESTAMPTZ),
                    (&paused.until, Type::TIMESTAMPTZ),
                    (&paused.by, Type::TEXT),
                    (&paused.because, Type::TEXT),
                    (&revision, Type::INT8),
                ],
            )
            .await;
        written.map_err(|error| commit_fault(OPERATION, error))?;
        self.events_changed();
        Ok(())
    }

    pub(crate) async fn lift_pause(&self, scope: &PauseScope) -> Result<bool, StoreError> {
        const OPERATION: &str = "unpause";
        let client = self.connection(OPERATION).await?;
        let (kind, name, now) = (scope.kind(), scope.name(), self.now());
        let lifted = client
            .query_typed(
                &self.shared.sql.text(UNPAUSE),
                &[
                    (&kind, Type::TEXT),
                    (&name, Type::TEXT),
                    (&now, Type::TIMESTAMPTZ),
                ],
            )
            .await;
        let lifted = lifted.map_err(|error| commit_fault(OPERATION, error))?;
        let was_in_effect = lifted.first().map(|row| row.try_get(0)).transpose();
        let was_in_effect = was_in_effect.map_err(|error| fault(OPERATION, error))?;
        self.events_changed();
        Ok(was_in_effect.unwrap_or_default())
    }

    pub(crate) async fn list_pauses(&self) -> Result<Vec<Paused>, StoreError> {
        let known = self.read_pauses("paused").await?;
        Ok(known.pauses.in_effect(self.now()))
    }
}
