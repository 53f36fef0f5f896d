//! Until a run has nothing to do at this time.

use std::time::Duration;

use outbox_runtime::__private::clock;
use outbox_runtime::Running;
use outbox_runtime::store::OutboxQueue as _;

use super::error::KitError;
use super::look::Watch;
use super::report::Drained;

/// How long a run may be busy, by the clock of the machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until no event is with a handler or about to be. Batches that wait for more events are
/// left to wait.
pub(crate) async fn until_idle(running: &Running) -> Result<Drained, KitError> {
    until(running, false).await
}

/// The same, but batches that wait for more events are sent as they are.
pub(crate) async fn until_sent(running: &Running) -> Result<Drained, KitError> {
    until(running, true).await
}

async fn until(running: &Running, sends_batches: bool) -> Result<Drained, KitError> {
    let mut watch = Watch::new(running);
    let before = running.statistics().await?.completed_total;
    let patience = clock::pause(PATIENCE);
    tokio::pin!(patience);
    loop {
        let now = running.store().clock().now();
        if let Some(report) = watch.look_if_quiet().await?
            && !report.is_busy(now)
        {
            if sends_batches && report.has_gathering() {
                running.trigger();
            } else {
                let completed = running.statistics().await?.completed_total;
                watch.catch_up(completed.saturating_sub(before)).await;
                return Ok(watch.finish(report).await);
            }
        }
        tokio::select! {
            () = watch.changed(None) => {}
            () = &mut patience => {
                let report = watch.look().await?;
                return Err(KitError::StillBusy {
                    after: PATIENCE,
                    report: Box::new(watch.finish(report).await),
                });
            }
        }
    }
}
