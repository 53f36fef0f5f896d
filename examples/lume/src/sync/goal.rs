//! Goals: progress and status have calls of their own.

use fitiq_core::{Call, RemoteId};
use outbox_runtime::prelude::*;
use reqwest::Method;
use serde::de::IgnoredAny;
use serde_json::json;

use super::{Delivered, LumeSync};
use crate::entities::{Goal, GoalStatus, Kind};

impl LumeSync {
    /// Sends the progress and the status of a goal if the service has others. Each call sets a
    /// state, so repeating it is harmless.
    pub(super) async fn catch_up(
        &self,
        event: &Event<Goal>,
        delivered: Delivered<Goal>,
    ) -> Result<(), HandlerError> {
        let goal = event.metadata();
        let Delivered { remote_id, theirs } = delivered;
        let known = theirs.as_ref();
        if known.map_or(goal.current_value > 0.0, |theirs| {
            theirs.current_value != goal.current_value
        }) {
            let call = Call::patch(event, Kind::Goal.path())
                .at(&remote_id)
                .then("progress")
                .json(&json!({ "current_value": goal.current_value.max(0.0) }))?;
            let _ = self.api.send::<IgnoredAny>(call).await?;
        }
        // A goal that ended there cannot end again or restart.
        let is_active = known.is_none_or(|theirs| theirs.status == "active");
        match goal.status {
            GoalStatus::Completed if is_active => self.end(event, &remote_id, "complete").await,
            GoalStatus::Archived if is_active => self.end(event, &remote_id, "abandon").await,
            _ => Ok(()),
        }
    }

    async fn end(
        &self,
        event: &Event<Goal>,
        remote_id: &RemoteId,
        how: &str,
    ) -> Result<(), HandlerError> {
        let call = Call::new(event, Method::POST, Kind::Goal.path())
            .at(remote_id)
            .then(how);
        let _ = self.api.send::<IgnoredAny>(call).await?;
        Ok(())
    }
}
