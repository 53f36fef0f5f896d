//! Turns: when serving all users, a quarter of every claim is round-robin, one event per user.
//!
//! In claim order alone, a user with a large or urgent backlog would starve all others until it is
//! gone. With turns, if `n` users have claimable events, each of them waits for at most about
//! `4 * n` deliveries to others before the next delivery of its own. The other three quarters are
//! claimed in claim order, urgent events first.

use crate::claim::{Claim, ClaimRequest};

/// One in this many claimed events is a turn.
const CLAIMS_PER_TURN: usize = 4;

/// The state of the round-robin.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// The last user who had a turn; empty at first.
    last_user: String,
    /// Claimed events that do not add up to a turn yet: fewer than [`CLAIMS_PER_TURN`].
    remainder: usize,
}

impl Turns {
    /// Adds to the request the turns that are due with it.
    pub(super) fn in_turn(&self, request: ClaimRequest) -> ClaimRequest {
        let turns = self.remainder.saturating_add(request.limit()) / CLAIMS_PER_TURN;
        request.with_turns(turns, &self.last_user)
    }

    /// Notes the claimed events.
    pub(super) fn claimed(&mut self, request: &ClaimRequest, claims: &[Claim]) {
        self.remainder = self.remainder.saturating_add(claims.len()) % CLAIMS_PER_TURN;
        // The last claim is a turn. Or the claim order filled up what the turns left; then every
        // user had a turn, and the next may begin anywhere.
        if let Some(last) = claims.last().filter(|_| request.turns() > 0) {
            self.last_user.clone_from(&last.event.user_id);
        }
    }
}
