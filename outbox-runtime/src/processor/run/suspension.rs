//! Suspension: no work and no open file, so that the operating system can freeze the process.

use std::time::Duration;

use tokio::sync::oneshot;
use tracing::info;

use super::Run;
use crate::error::{StoreError, StoreErrorKind};
use crate::processor::command::Command;
use crate::processor::ending::Stopped;
use crate::statistics::WaitsFor;

impl Run {
    /// Ends all work, closes the store's files, replies, and sleeps until resumed.
    pub(super) async fn suspend(
        &mut self,
        within: Duration,
        reply: oneshot::Sender<Result<Stopped, StoreError>>,
    ) {
        let suspended = self.end_work(within).await;
        let is_suspended = suspended.is_ok();
        if is_suspended {
            self.report.suspended();
        }
        // The receiver may be gone; the suspension stands even so.
        let _ = reply.send(suspended);
        if is_suspended {
            info!("outbox run suspended");
            self.sleep_suspended().await;
        }
    }

    /// Ends all work and closes the files. If either fails, the run continues as before.
    async fn end_work(&mut self, within: Duration) -> Result<Stopped, StoreError> {
        let stopped = self.finish_attempts(within).await;
        self.unrecorded.resume_all();
        self.record().await?;
        self.shared.repository.suspend().await?;
        Ok(stopped)
    }

    /// Sleeps until resumed or stopped. Commands meanwhile are answered without the store.
    async fn sleep_suspended(&mut self) {
        loop {
            let command = tokio::select! {
                biased;
                () = self.controls.stop.cancelled() => return,
                command = self.controls.inbox.recv() => command,
            };
            match command {
                None => return self.controls.stop.cancel(),
                Some(Command::Resume { reply }) => {
                    let resumed = self.shared.repository.resume().await;
                    let is_resumed = resumed.is_ok();
                    let is_closed =
                        matches!(&resumed, Err(error) if error.kind() == StoreErrorKind::Closed);
                    let _ = reply.send(resumed);
                    if is_closed {
                        // The store is closed for good: the next round gets this error and ends the
                        // run.
                        return;
                    }
                    if is_resumed {
                        info!("outbox run resumed");
                        self.alarms.end_back_off();
                        self.report.resumed();
                        // Leases may have expired, retries may be due, and the network may have
                        // changed.
                        self.evidence.probe_now(true, self.now());
                        self.alarms.set_due(Some(self.now()));
                        return;
                    }
                }
                Some(Command::Suspend { reply, .. }) => {
                    let _ = reply.send(Ok(Stopped::default()));
                }
                Some(Command::SignOut { user_id, reply }) => {
                    self.evidence.credentials.signed_out(user_id);
                    let _ = reply.send(Ok(()));
                }
                Some(Command::SignIn { user_id }) => self.evidence.credentials.signed_in(&user_id),
                Some(Command::Explain { reply, .. }) => {
                    let _ = reply.send(Some(WaitsFor::Resume));
                }
            }
        }
    }
}
