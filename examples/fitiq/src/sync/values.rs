//! Measured values: those that are new to the service go there in one call.

use fitiq_core::{Call, LocalId, RemoteId};
use outbox_runtime::prelude::*;
use serde::Deserialize;
use serde_json::json;

use super::{FitiqSync, local, wire};
use crate::entities::{ProgressEntry, Record};
use crate::repository::{self, Standing};

/// The service's answer to a batch: one item per entry, in order.
#[derive(Debug, Deserialize)]
struct Results {
    items: Vec<Item>,
}

#[derive(Debug, Deserialize)]
struct Item {
    status: u16,
    id: Option<RemoteId>,
    #[serde(default)]
    message: String,
}

impl FitiqSync {
    /// One value.
    pub(super) async fn tell_value(
        &self,
        event: &Event<ProgressEntry>,
    ) -> Result<(), HandlerError> {
        let body = wire::progress(event.metadata());
        self.tell(event, ProgressEntry::PATH, body).await
    }

    /// Several values: the new ones together, edits and deletes one by one.
    pub(super) async fn tell_values(
        &self,
        batch: &Batch<Event<ProgressEntry>>,
    ) -> Result<(), HandlerError> {
        let mut new = Vec::new();
        for (index, standing) in self.standings(batch).await?.into_iter().enumerate() {
            let event = &batch[index];
            if event.operation != Operation::Delete && standing.as_ref().is_some_and(is_new) {
                new.push(index);
                continue;
            }
            match self.tell_value(event).await {
                Ok(()) => batch.ok(index),
                Err(error) => batch.fail(index, error),
            }
        }
        if let Some(first) = new.first() {
            let items: Vec<_> = new
                .iter()
                .map(|index| wire::keyed_progress(&batch[*index]))
                .collect();
            let path = format!("{}/batch", ProgressEntry::PATH);
            let call = Call::post(&batch[*first], &path).keyless();
            let call = call.json(&json!({ "items": items }))?;
            // If the call fails, its error is the answer for all of them.
            let answer = self.api.send::<Results>(call).await?;
            self.take_answer(batch, &new, answer.into_body().ok())
                .await?;
        }
        Ok(())
    }

    /// Notes the accepted values, and answers. Without a readable answer it accepted all of
    /// them, under unknown ids.
    async fn take_answer(
        &self,
        batch: &Batch<Event<ProgressEntry>>,
        new: &[usize],
        results: Option<Results>,
    ) -> Result<(), HandlerError> {
        let unread = || Item {
            status: 201,
            id: None,
            message: String::new(),
        };
        let items = match results {
            Some(results) => results.items,
            None => new.iter().map(|_| unread()).collect(),
        };
        let mut accepted: Vec<(usize, LocalId, Option<RemoteId>)> = Vec::new();
        for (index, item) in new.iter().copied().zip(items) {
            match item.status {
                200..=299 => accepted.push((index, local(&batch[index])?, item.id)),
                status => {
                    let refused = format!("HTTP {status}: {}", item.message);
                    batch.fail(index, HandlerError::permanent(refused));
                }
            }
        }
        let noted = accepted.clone();
        self.note(move |conn| {
            let mut noted = noted.iter();
            noted.try_for_each(|(_, id, remote)| repository::accepted(conn, *id, remote.as_ref()))
        })
        .await?;
        accepted.iter().for_each(|(index, ..)| batch.ok(*index));
        Ok(())
    }

    /// The standing of each entity, in one transaction.
    async fn standings(
        &self,
        batch: &Batch<Event<ProgressEntry>>,
    ) -> Result<Vec<Option<Standing>>, HandlerError> {
        let ids: Vec<LocalId> = batch.iter().map(local).collect::<Result<_, _>>()?;
        let found = self.store.transaction(move |tx| {
            let standings = ids.iter().map(|id| repository::standing(tx, *id));
            Ok(standings.collect::<Result<Vec<_>, _>>()?)
        });
        found.await.or_retry()
    }
}

/// Whether the service has never heard of it.
fn is_new(standing: &Standing) -> bool {
    !standing.deleted && !standing.accepted && standing.remote_id.is_none()
}
