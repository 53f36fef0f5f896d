//! Handles commands, which are answered, and nudges, which are not.

use super::Run;
use crate::entity::Retirement;
use crate::processor::command::Command;
use crate::statistics::WaitsFor;

impl Run {
    pub(super) fn handle_nudges(&mut self) {
        let now = self.now();
        if self.controls.nudges.take_online() {
            self.activity.note();
            self.evidence.probe_now(true, now);
            self.alarms.set_due(Some(now));
        }
        if self.controls.nudges.take_trigger() {
            self.activity.note();
            self.batches.close_due(now, true);
            self.evidence.probe_now(false, now);
            self.alarms.set_due(Some(now));
            self.alarms.cut_back_off_short(now);
        }
    }

    pub(super) async fn handle_command(&mut self, command: Option<Command>) {
        self.activity.note();
        match command {
            Some(Command::Explain { event, reply }) => {
                let routes = &self.shared.routes;
                let waits_for = match routes.route(&event.event_type, &self.shared.settings) {
                    Some(route) => self
                        .batches
                        .waits_until(event.id)
                        .map(|until| WaitsFor::Batch { until })
                        .or_else(|| self.evidence.explain(route.index, &event, self.now()))
                        .or_else(|| self.explain_back_off())
                        .or_else(|| self.explain_limit(&event))
                        .or_else(|| self.explain_idleness())
                        .or_else(|| {
                            let (flight, now) = (self.flight(), self.now());
                            self.evidence
                                .recovering(route.index, &event, &flight, now)
                                .map(WaitsFor::Recovery)
                        }),
                    None => match routes.retirement(&event.event_type) {
                        Some(Retirement::Hold) => Some(WaitsFor::Retired {
                            event_type: event.event_type,
                        }),
                        Some(_) => self.explain_idleness(),
                        None => Some(WaitsFor::Registration {
                            event_type: event.event_type,
                        }),
                    },
                };
                // The receiver may be gone, here and below: the caller may have stopped waiting.
                let _ = reply.send(waits_for);
            }
            Some(Command::SignOut { user_id, reply }) => {
                let _ = reply.send(self.sign_out(user_id).await);
            }
            Some(Command::SignIn { user_id }) => {
                self.evidence.credentials.signed_in(&user_id);
                self.alarms.set_due(Some(self.now()));
            }
            Some(Command::Suspend { within, reply }) => self.suspend(within, reply).await,
            Some(Command::Resume { reply }) => {
                let _ = reply.send(self.shared.repository.resume().await);
            }
            // The last handle is gone, which stops the run.
            None => self.controls.stop.cancel(),
        }
    }

    /// The reason, apart from pauses, why this run does not claim a claimable event.
    fn explain_idleness(&self) -> Option<WaitsFor> {
        let is_full = self.jobs.attempts() >= self.shared.settings.max_concurrency;
        let busy = || is_full.then_some(WaitsFor::FreeHandler);
        self.explain_back_off().or_else(busy)
    }

    fn explain_back_off(&self) -> Option<WaitsFor> {
        let retry_at = self.alarms.retry_at().filter(|_| self.is_backing_off())?;
        Some(WaitsFor::Store { retry_at })
    }
}
