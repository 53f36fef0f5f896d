//! Looking: tells once, when the run starts, which stored event types nobody handles.

use std::sync::Arc;

use tracing::{debug, info, warn};
use uuid::Uuid;

use super::Run;
use crate::entity::Retirement;
use crate::error::StoreError;
use crate::presence::{ProcessState, StoreProcess};
use crate::processor::unhandled_types::UnhandledTypes;
use crate::statistics::{Breakdown, TypeCounts};

/// The most events that are looked at: a millisecond or two, however large the table is.
const MOST: usize = 2_000;

/// The most types that the log names.
const NAMED: usize = 20;

/// The target of the messages.
const TARGET: &str = "outbox_runtime::unhandled_types";

impl Run {
    /// Looks once, as soon as the store works.
    pub(super) async fn look_for_orphans(&mut self) {
        if !self.orphans.take_try() {
            return;
        }
        let looked = self.unhandled_types().await;
        match &looked {
            Ok(found) => tell(found),
            Err(error) => debug!(%error, "the stored event types could not be counted"),
        }
        self.orphans.looked(looked.map(Arc::new));
    }

    async fn unhandled_types(&mut self) -> Result<UnhandledTypes, StoreError> {
        let repository = Arc::clone(&self.shared.repository);
        let Breakdown {
            types,
            counted,
            is_complete,
            ..
        } = self
            .await_store(async { repository.breakdown(None, MOST).await })
            .await?;
        let routes = &self.shared.routes;
        let held_types = routes.held_types();
        let (held, mut types): (Vec<TypeCounts>, Vec<TypeCounts>) = types
            .into_iter()
            .filter(|counts| open(counts) > 0 && !self.takes(&counts.event_type))
            .partition(|counts| held_types.contains(&counts.event_type));
        if !types.is_empty() {
            let processes = self
                .await_store(async { repository.processes().await })
                .await?;
            // What this run takes is known better than it announces: it may not name its types.
            let own = self.presence.announced_run();
            types.retain(|counts| !is_handled(&processes, own, &counts.event_type));
        }
        Ok(UnhandledTypes {
            types,
            held,
            counted,
            is_complete,
        })
    }

    /// Whether this run settles events of the type.
    fn takes(&self, event_type: &str) -> bool {
        let routes = &self.shared.routes;
        let is_settled = || {
            let how = routes.retirement(event_type);
            how.is_some_and(|how| how != Retirement::Hold)
        };
        routes.is_taken(event_type) || is_settled()
    }
}

/// The number of events of the type that wait for a delivery: dead letters wait for a decision.
fn open(counts: &TypeCounts) -> u64 {
    counts.pending + counts.processing + counts.failed
}

/// Whether another announced run handles the type, unless its process is gone.
fn is_handled(processes: &[StoreProcess], own: Option<Uuid>, event_type: &str) -> bool {
    let live = processes.iter();
    let live = live.filter(|process| process.state != ProcessState::Gone);
    live.flat_map(|process| &process.runs)
        .any(|run| Some(run.run_id) != own && run.handles(event_type))
}

fn tell(found: &UnhandledTypes) {
    // Logged with Debug, which escapes: another program may have stored any name.
    let names = |types: &[TypeCounts]| -> Vec<String> {
        let names = types.iter().take(NAMED);
        names.map(|counts| counts.event_type.clone()).collect()
    };
    let events = |types: &[TypeCounts]| -> u64 { types.iter().map(open).sum() };
    if !found.types.is_empty() {
        warn!(
            target: TARGET, types_count = found.types.len(), events = events(&found.types),
            types = ?names(&found.types),
            "nobody handles these stored event types; their events wait. Add an alias to the entity \
             that has their new name, retire them, or register a handler"
        );
    }
    if !found.held.is_empty() {
        info!(
            target: TARGET, types_count = found.held.len(), events = events(&found.held),
            types = ?names(&found.held),
            "events of these retired types are held"
        );
    }
    if !found.is_complete {
        info!(
            target: TARGET, looked_at = found.counted,
            "only the oldest events were looked at: nobody may handle a type of the others. `outbox doctor` \
             looks at all of them"
        );
    }
}
