//! The end of a run, and its suspension.

use std::future::Future;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Running;
use crate::error::{StoreError, StoreErrorKind};
use crate::processor::command::Command;
use crate::processor::ending::{Ending, Stopped};
use crate::waiting;

impl Running {
    /// Resolves when the run has ended: because it was stopped, its store was closed, the store's
    /// file was deleted or replaced, or its runtime was shut down.
    ///
    /// # Errors
    ///
    /// As for [`stop`](Self::stop); if the run was not stopped, the reason why it ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait and nothing else.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::Running;
    /// # async fn watch(running: Running) {
    /// let ended = running.ended();
    /// tokio::spawn(async move {
    ///     if let Err(error) = ended.await {
    ///         eprintln!("nothing is delivered any more: {error}");
    ///     }
    /// });
    /// # }
    /// ```
    pub fn ended(&self) -> impl Future<Output = Result<Stopped, StoreError>> + Send + use<> {
        let ended = self.ending();
        async move { ended.await.into_result() }
    }

    pub(super) fn ending(&self) -> impl Future<Output = Ending> + Send + use<> {
        let mut ending = self.inner.ending.clone();
        async move {
            let ended = ending.wait_for(Option::is_some).await;
            let ended = ended.ok().and_then(|ending| ending.clone());
            ended.unwrap_or_else(|| Ending::failed(runtime_gone()))
        }
    }

    /// Ends all work and closes the store's files, so that the operating system can freeze the
    /// process. Handlers have `within` to answer; the events of those that do not are given back
    /// without a counted attempt. When this returns, no store work runs and no file of the store is
    /// open.
    ///
    /// The store is suspended for all its users: calls on it, including those of other runs, fail
    /// with [`Suspended`](StoreErrorKind::Suspended) until [`resume`](Self::resume). Suspend the
    /// other runs on it first. The application closes the connections that it opened itself.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the [kinds of writing](crate::StoreErrorKind#kinds-by-call) if the last
    /// outcomes could not be recorded or the files could not be closed; the run then continues as
    /// before. `NotAllowedHere` inside a
    /// [`transaction`](crate::SqliteStore::transaction) of a store; nothing is suspended then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not undo the suspension; it only ends the wait.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # use std::time::Duration;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "goal")]
    /// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] title: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// # let processor = Processor::builder(store.clone()).handle::<Goal>(|_| async { Ok(()) }).build()?;
    /// # let running = processor.start("user-1");
    /// use outbox_runtime::Health;
    ///
    /// // The app goes to the background: two seconds are left.
    /// running.suspend(Duration::from_secs(2)).await?;
    /// assert_eq!(running.health(), Health::Suspended);
    ///
    /// // The app is back.
    /// running.resume().await?;
    /// assert!(running.health().is_healthy());
    /// # running.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn suspend(&self, within: Duration) -> Result<Stopped, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.ask("suspend", Command::Suspend { within, reply }, answer)
            .await
    }

    /// Reopens the store's files and resumes work after a [`suspend`](Self::suspend).
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the [kinds of opening](crate::StoreErrorKind#kinds-by-call); the run then
    /// stays suspended.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::{Running, StoreError};
    /// # async fn on_foreground(running: &Running) -> Result<(), StoreError> {
    /// running.resume().await?; // after `suspend`
    /// running.online(); // what was paused for the network goes on at once
    /// # Ok(())
    /// # }
    /// ```
    pub async fn resume(&self) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.ask("resume", Command::Resume { reply }, answer).await
    }

    async fn ask<T>(
        &self,
        operation: &'static str,
        command: Command,
        answer: oneshot::Receiver<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        waiting::refuse_to_wait_for_a_run(operation)?;
        let ended = || StoreError::new(StoreErrorKind::Closed, operation, "the run has ended");
        self.inner.commands.send(command).map_err(|_| ended())?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }

    /// Stops claiming, waits for the handlers in flight, gives back the events of those that do not
    /// answer in time, and returns when no work of this run is left. Can be called several times,
    /// on any clone; every call gets the same result.
    ///
    /// The future does not borrow the handle, so it can be spawned.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the [kinds of writing](crate::StoreErrorKind#kinds-by-call) if the last
    /// outcomes could not be recorded; transient ones are retried until the deadline. The affected
    /// events are delivered again, under the same idempotency keys, once their leases expire.
    /// `NotAllowedHere` inside a [`transaction`](crate::SqliteStore::transaction) of a store: the
    /// stop has begun, but waiting for it there is not possible.
    ///
    /// # Cancel safety
    ///
    /// Nothing is stopped before the first poll. Dropping the future later does not undo the stop;
    /// it only ends the wait.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::{Running, StoreError};
    /// # async fn shut_down(running: Running) -> Result<(), StoreError> {
    /// let stopped = running.stop().await?;
    /// println!("{} finished, {} will be sent again", stopped.finished, stopped.given_back);
    /// # Ok(())
    /// # }
    /// ```
    pub fn stop(&self) -> impl Future<Output = Result<Stopped, StoreError>> + Send + use<> {
        self.stop_unless(std::future::pending())
    }

    /// Like [`stop`](Self::stop), but aborts the handlers in flight and gives their events back as
    /// soon as `hurry` resolves, for example on a second termination signal.
    ///
    /// # Errors
    ///
    /// As for [`stop`](Self::stop).
    ///
    /// # Cancel safety
    ///
    /// As for [`stop`](Self::stop).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn doc(running: outbox_runtime::Running) -> Result<(), Box<dyn std::error::Error>> {
    /// # async fn signalled() {}
    /// signalled().await;
    /// let stopped = running.stop_unless(signalled()).await?;
    /// println!("{} handlers did not finish", stopped.given_back);
    /// # Ok(())
    /// # }
    /// ```
    pub fn stop_unless<H>(
        &self,
        hurry: H,
    ) -> impl Future<Output = Result<Stopped, StoreError>> + use<H>
    where
        H: Future<Output = ()>,
    {
        let (stop, hurried) = (self.inner.stop.clone(), self.inner.hurry.clone());
        let ended = self.ending();
        async move {
            stop.cancel();
            waiting::refuse_to_wait_for_a_run("stop")?;
            let mut ended = std::pin::pin!(ended);
            let ending = tokio::select! {
                biased;
                ending = &mut ended => ending,
                () = hurry => {
                    hurried.cancel();
                    ended.await
                }
            };
            ending.stopped
        }
    }

    /// Lets the run continue without a handle, until its runtime shuts down or its store is closed.
    ///
    /// Any other clone can still stop the run.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::Processor;
    /// # fn begin(processor: &Processor) {
    /// processor.start_all_users().detach(); // until the process ends
    /// # }
    /// ```
    pub fn detach(self) {
        // A run ends when its last handle is dropped, and this one never is.
        std::mem::forget(self);
    }
}

/// The error for a run whose task is gone without having reported how it ended.
pub(super) fn runtime_gone() -> StoreError {
    let message = "the run ended before it could record its outcomes: its runtime was shut down";
    StoreError::new(StoreErrorKind::Closed, "stop", message)
}
