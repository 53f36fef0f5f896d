//! Completion: an event that is completed in a transaction of the application, before its handler
//! answers.

use crate::claim::{Lease, LeaseToken};
use crate::enqueue::{self, Enqueue};
use crate::error::CompleteError;
use crate::event::OutboxEvent;

mod claimed; // the completion of a claimed event
mod sink; // the connections that complete events

pub use self::claimed::Completion;
pub use self::sink::{CompleteFuture, CompletionSink, SupersedingSink};

/// Completion in the application's own transaction, for a handler that writes what the service
/// answered.
impl OutboxEvent {
    /// Completes this event in the transaction that is open on `sink`: the event is completed if
    /// and only if that transaction commits, together with everything else in it, such as the id
    /// that the service gave to the entity.
    ///
    /// A handler calls this with the event that it received, commits, and answers `Ok(())`. The
    /// processor then counts, records and announces the delivery once, as for any other handler.
    /// The next event of the lane may be claimed from the commit on, before the handler answers.
    ///
    /// The call is idempotent: a second one under the same lease changes nothing. Once it was made,
    /// only the commit completes the event. If the transaction was rolled back and the handler
    /// answers `Ok(())` nevertheless, the attempt counts as failed and is retried, because a
    /// dropped transaction is usually a forgotten commit. A handler that wants the event completed
    /// without its transaction answers [`obsolete`](crate::HandlerError::obsolete). Once the
    /// transaction is committed, the event stays completed, whatever the handler answers.
    ///
    /// The sinks are those of [`Enqueue::on`]: connections, transactions and savepoints of a
    /// driver, for which this writes immediately or returns a future, and stores, for which it is a
    /// transaction of its own. Commit soon after the call: on SQLite the transaction holds the
    /// write lock.
    ///
    /// The guide: [completing](https://docs.rs/outbox-guide/latest/outbox_guide/completing/).
    ///
    /// # Errors
    ///
    /// [`CompleteError`], after which the transaction must be rolled back: drop it, or return the
    /// error from the closure of `SqliteStore::transaction`. Otherwise it would commit what this
    /// event was to be completed with, while another worker delivers the event again. `?` in a
    /// handler retries the event.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")]
    /// # mod example {
    /// # use outbox_runtime::{prelude::*, SqliteStore};
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "goal")]
    /// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String }
    /// # async fn post(event: &Event<Goal>) -> Result<String, HandlerError> { Ok("g-1".to_owned()) }
    /// async fn send(store: SqliteStore, event: Event<Goal>) -> Result<(), HandlerError> {
    ///     let remote_id = post(&event).await?;
    ///     store
    ///         .transaction(move |tx| {
    ///             let id = event.entity_id.as_integer();
    ///             tx.execute("UPDATE goal SET remote_id = ?1 WHERE id = ?2", (remote_id, id))?;
    ///             event.complete_on(tx)?;
    ///             Ok(())
    ///         })
    ///         .await
    ///         .or_retry()
    /// }
    /// # }
    /// ```
    pub fn complete_on<S: CompletionSink<Driver>, Driver>(&self, sink: S) -> S::Output {
        sink.complete(self.completion())
    }

    /// Enqueues `next` and completes this event, as [`complete_on`](Self::complete_on) does, in one
    /// step: both happen if and only if the transaction commits. For a change that only this
    /// delivery shows to be necessary, such as the upload of an attachment to the id that the
    /// service gave to its entity.
    ///
    /// If `next` is of the same lane, it is delivered after the events that are in the lane
    /// already. An error leaves neither, as far as the transaction is concerned.
    ///
    /// One event follows per lease: a second call under the same lease enqueues nothing and answers
    /// what the first did, whatever its `next`, because a handler that repeats its work makes a new
    /// one. What else the delivery makes necessary is enqueued by itself, with
    /// [`Enqueue::on`] in the same transaction. After a rollback, the next call is the first again.
    ///
    /// # Errors
    ///
    /// [`CompleteError`], as for [`complete_on`](Self::complete_on); [`CompleteError::Next`] if
    /// `next` cannot be enqueued.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")]
    /// # mod example {
    /// # use outbox_runtime::{prelude::*, SqliteStore};
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "goal")]
    /// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] title: String }
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "photo")]
    /// # struct Photo { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] remote_goal: String }
    /// # async fn post(event: &Event<Goal>) -> Result<String, HandlerError> { Ok("g-1".to_owned()) }
    /// /// Creates the goal at the service, then sends its photo to the id that the service gave it.
    /// async fn send(store: SqliteStore, event: Event<Goal>) -> Result<(), HandlerError> {
    ///     let remote_goal = post(&event).await?;
    ///     let photo = Photo { id: 1, user_id: event.user_id.clone(), remote_goal };
    ///     store
    ///         .transaction(move |tx| {
    ///             event.supersede_on(tx, photo.enqueue_create())?;
    ///             Ok(())
    ///         })
    ///         .await
    ///         .or_retry()
    /// }
    /// # }
    /// ```
    pub fn supersede_on<S: SupersedingSink<Driver>, Driver>(
        &self,
        sink: S,
        next: Enqueue,
    ) -> S::Output {
        let event_id = self.id;
        let next = next.into_event().inspect(enqueue::count);
        let next = next.map_err(|source| CompleteError::Next { event_id, source });
        sink.supersede(next.and_then(|next| Ok((self.completion()?, next))))
    }

    /// Notes with the run of this attempt that only a transaction completes the event.
    fn completion(&self) -> Result<Completion, CompleteError> {
        let (Some(token), Some(expires_at)) = (self.lease_token, self.lease_expires_at) else {
            return Err(CompleteError::NotClaimed { event_id: self.id });
        };
        let lease = Lease {
            event_id: self.id,
            seq: self.seq,
            token: LeaseToken::from(token),
            expires_at,
        };
        Ok(match self.promises.promise((self.id, token)) {
            true => Completion::new(lease),
            false => Completion::new(lease).not_kept(),
        })
    }
}
