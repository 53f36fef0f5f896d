//! Suspension: no work and no open file, so that the operating system may freeze the process.

use std::time::Duration;

use tokio::sync::oneshot;
use tracing::info;

use super::Run;
use crate::error::{StoreError, StoreErrorKind};
use crate::processor::command::Command;
use crate::processor::ending::Stopped;
use crate::statistics::WaitsFor;

impl Run {
    /// Ends all work, closes the store's files, answers, and waits to be woken.
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
        // Whoever asked may have stopped waiting; the suspension stands.
        let _ = reply.send(suspended);
        if is_suspended {
            info!("outbox run suspended");
            self.sleep_suspended().await;
        }
    }

    /// Where the outcomes cannot be recorded or the files not be closed, the run goes on as before.
    async fn end_work(&mut self, within: Duration) -> Result<Stopped, StoreError> {
        let stopped = self.finish_attempts(within).await;
        self.record().await?;
        self.shared.repository.suspend().await?;
        Ok(stopped)
    }

    /// Until resumed or stopped. Nothing that is asked meanwhile needs an answer from the store.
    async fn sleep_suspended(&mut self) {
        loop {
            let command = tokio::select! {
                biased;
                () = self.wires.stop.cancelled() => return,
                command = self.wires.inbox.recv() => command,
            };
            match command {
                None => return self.wires.stop.cancel(),
                Some(Command::Resume { reply }) => {
                    let resumed = self.shared.repository.resume().await;
                    let is_resumed = resumed.is_ok();
                    let is_closed =
                        matches!(&resumed, Err(error) if error.kind() == StoreErrorKind::Closed);
                    let _ = reply.send(resumed);
                    if is_closed {
                        // For good: the next round is told so, and ends the run.
                        return;
                    }
                    if is_resumed {
                        info!("outbox run resumed");
                        self.alarms.end_back_off();
                        self.report.resumed();
                        // Leases may have ended and retries become due; the network may be another.
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
