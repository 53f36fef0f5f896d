//! Which events a command is about.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use outbox_operate::duration;
use outbox_runtime::store::kit::before;
use outbox_runtime::{DeadReason, EntityId, EventFilter, OutboxStatus};

#[derive(Debug, Args)]
#[command(next_help_heading = "Filter")]
pub(crate) struct FilterArgs {
    /// Events in one of these states: pending, processing, completed, failed, dead.
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = word::<OutboxStatus>)]
    pub(crate) state: Vec<OutboxStatus>,
    /// Events of this type.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) event_type: Option<String>,
    /// Events of this user.
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// Events of this entity.
    #[arg(long, value_name = "ID")]
    pub(crate) entity: Option<String>,
    /// Dead letters with this reason: `attempts_exhausted`, `rejected`, `undecodable`,
    /// `deferred_out`, `crash_loop`, `snoozed_out`, `expired`, `retired`.
    #[arg(long, value_name = "REASON", value_parser = word::<DeadReason>)]
    pub(crate) reason: Option<DeadReason>,
    /// Events enqueued longer ago than this.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) older_than: Option<Duration>,
    /// Events enqueued within this time.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) newer_than: Option<Duration>,
    /// Events whose error message or last refusal contains this text.
    #[arg(long, value_name = "TEXT")]
    pub(crate) error: Option<String>,
}

impl FilterArgs {
    pub(crate) fn at(&self, now: DateTime<Utc>) -> EventFilter {
        let mut filter = EventFilter::default();
        filter.statuses.clone_from(&self.state);
        filter.event_type.clone_from(&self.event_type);
        filter.user_id.clone_from(&self.user);
        filter.entity_id = self.entity.clone().map(EntityId::from);
        filter.dead_reason = self.reason;
        filter.created_before = self.older_than.map(|age| before(now, age));
        filter.created_from = self.newer_than.map(|age| before(now, age));
        filter.error_text.clone_from(&self.error);
        filter
    }

    /// Whether the filter selects all events.
    pub(crate) fn is_empty(&self) -> bool {
        let Self {
            state,
            event_type,
            user,
            entity,
            reason,
            older_than,
            newer_than,
            error,
        } = self;
        state.is_empty()
            && [event_type, user, entity, error]
                .iter()
                .all(|text| text.is_none())
            && reason.is_none()
            && older_than.is_none()
            && newer_than.is_none()
    }
}

fn word<T: FromStr>(text: &str) -> Result<T, String>
where
    T::Err: ToString,
{
    text.parse().map_err(|error: T::Err| error.to_string())
}
