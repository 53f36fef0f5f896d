//! Turns: one event per user, in the order of user ids.
//!
//! Each user is sought in an index by user. A store whose first claim with turns finds none creates
//! it in the background. Until it is there, a look for turns reads all candidates once, and rests
//! for four times as long if they are many: events in claim order do not wait for turns.

use outbox_runtime::store::ClaimRequest;
use tracing::debug;

use crate::cursor::Scanned;
use crate::store::PostgresStore;
use crate::visits::{Range, Visits};

/// A look that reads no more than this many candidates needs no rest.
const FEW: usize = 2_000;

/// The rest after a look that reads all candidates, in multiples of its cost.
const REST: u32 = 4;

/// How turns find the first event of each user.
#[derive(Debug, Clone)]
pub(crate) enum Look {
    /// All users of the range are sought in the index by user, in order.
    AllUsers,
    /// Only these users are sought.
    Users(Visits),
    /// All candidates are read, without the index, for all users in the order that begins with the
    /// range.
    AllCandidates,
}

impl PostgresStore {
    /// Finds out whether the index by user is there, and has it created if not, before the first
    /// claim with turns.
    pub(crate) async fn learn_user_index(&self, request: &ClaimRequest) {
        let index = &self.shared.user_index;
        if request.turns() == 0 || !index.is_unknown() {
            return;
        }
        match self.index_state(index).await {
            Ok(Some(true)) => index.learn_there(),
            Ok(_) if index.begins_creation() => {
                let store = self.clone();
                tokio::spawn(async move { store.create_index(&store.shared.user_index).await });
            }
            Ok(_) => {}
            // The claim meets the same error, and tells it.
            Err(error) => debug!(%error, "{} could not be looked up", index.title),
        }
    }

    /// How turns look at a range of users now.
    pub(crate) fn look_for_turns(
        &self,
        request: &ClaimRequest,
        range: Range<'_>,
        places: usize,
    ) -> Look {
        let index = &self.shared.user_index;
        if index.is_there() {
            let visits = self.shared.cursors.visits(request, range, places);
            return visits.map_or(Look::AllUsers, Look::Users);
        }
        // The users up to some one follow those after it in one look.
        match range.up_to.is_some() || index.is_resting() {
            true => Look::Users(Visits::new()),
            false => Look::AllCandidates,
        }
    }

    /// Notes a look that has read all candidates.
    pub(crate) fn has_read_all(&self, scanned: &Scanned) {
        if scanned.candidates > FEW {
            let rest = scanned.cost.saturating_mul(REST);
            self.shared.user_index.rest(rest);
        }
    }
}
