//! Measured values, of which there are many: what is new at the service goes in one call, with an
//! answer for each; every other change has calls of its own.

use fitiq_core::{Call, LocalId};
use outbox_runtime::Delivery;
use outbox_runtime::prelude::*;
use tokio::task::JoinSet;

use super::{FitiqSync, created, wire};
use crate::entities::{ProgressEntry, Record};
use crate::repository;

/// The path for several new values.
const BATCH_PATH: &str = "/api/v1/progress/batch";

/// The most changes with calls of their own that are sent at the same time.
const AT_ONCE: usize = 4;

type Values = Batch<Event<ProgressEntry>>;

impl FitiqSync {
    pub(super) async fn tell_progress(&self, batch: &Values) -> Result<(), HandlerError> {
        let mut together = self.news(batch).await?;
        if together.len() < 2 {
            together.clear();
        } else {
            self.create_together(batch, &together).await?;
        }
        let others = (0..batch.len()).filter(|index| together.binary_search(index).is_err());
        let others: Vec<usize> = others.collect();
        for some in others.chunks(AT_ONCE) {
            self.tell_each(batch, some).await?;
        }
        Ok(())
    }

    /// The places of the events whose entities the service does not know, in order.
    async fn news(&self, batch: &Values) -> Result<Vec<usize>, HandlerError> {
        let is_change = |event: &&Event<ProgressEntry>| event.operation != Operation::Delete;
        let ids = batch.iter().map(|event| {
            let id = Some(event).filter(is_change)?.entity_id.as_uuid();
            id.map(LocalId::from_uuid)
        });
        let ids: Vec<Option<LocalId>> = ids.collect();
        let news = self.store.transaction(move |tx| {
            let mut news = Vec::new();
            for (index, id) in ids.into_iter().enumerate() {
                if let Some(id) = id
                    && repository::standing(tx, id)?.is_some_and(|standing| standing.is_news())
                {
                    news.push(index);
                }
            }
            Ok(news)
        });
        news.await.or_retry()
    }

    /// Creates the entities of these events in one call.
    async fn create_together(&self, batch: &Values, places: &[usize]) -> Result<(), HandlerError> {
        let events = || places.iter().filter_map(|index| batch.get(*index));
        let Some(first) = events().next() else {
            return Ok(());
        };
        let call =
            Call::post_each(&first.user_id, BATCH_PATH).json(&wire::progress_batch(events()))?;
        let answers = self.api.send_each(call, places.len()).await?;
        let mut accepted = Vec::new();
        for ((index, event), answer) in places.iter().zip(events()).zip(answers) {
            match (created(answer), super::local(event)) {
                (Ok(remote), Ok(id)) => accepted.push((*index, event, id, remote)),
                (Err(error), _) => batch.fail(*index, error),
                (_, Err(error)) => batch.fail(*index, error),
            }
        }
        let rows = accepted
            .iter()
            .map(|(_, event, id, remote)| (OutboxEvent::clone(event), *id, remote.clone()));
        let rows: Vec<_> = rows.collect();
        let finished = self.store.transaction(move |tx| {
            for (event, id, remote) in rows {
                repository::accepted(tx, id, remote.as_ref())?;
                event.complete_on(tx)?;
            }
            Ok(())
        });
        let is_finished = finished.await.is_ok();
        for (index, event, id, remote) in accepted {
            if is_finished {
                batch.ok(index);
                continue;
            }
            // One of them spoils the transaction of all, as when its lease is lost.
            let alone = self.finish(event, move |conn| {
                repository::accepted(conn, id, remote.as_ref())
            });
            match alone.await {
                Ok(()) => batch.ok(index),
                Err(error) => batch.fail(index, error),
            }
        }
        Ok(())
    }

    /// Sends each of these changes by itself.
    ///
    /// A refusal that is not about its change is the answer to all that have none yet, so that a
    /// service that is down, or asks for a pause, is not called for each of them.
    async fn tell_each(&self, batch: &Values, places: &[usize]) -> Result<(), HandlerError> {
        let mut calls = JoinSet::new();
        for index in places {
            if let (index, Some(event)) = (*index, batch.get(*index).cloned()) {
                let sync = self.clone();
                calls.spawn(async move {
                    let body = wire::progress(event.metadata());
                    let told = sync.tell(&event, ProgressEntry::PATH, body).await;
                    (index, told)
                });
            }
        }
        let mut refusal = Ok(());
        while let Some(ended) = calls.join_next().await {
            match ended.or_retry()? {
                (index, Ok(())) => batch.ok(index),
                (index, Err(error)) if is_about_the_change(&error) => batch.fail(index, error),
                (_, Err(error)) => refusal = Err(error),
            }
        }
        refusal
    }
}

fn is_about_the_change(error: &HandlerError) -> bool {
    matches!(
        error.delivery(),
        Delivery::Permanent | Delivery::Obsolete | Delivery::Snooze { .. }
    )
}
