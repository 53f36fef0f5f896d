//! Turns: a quarter of what a run of all users claims goes to whoever has something, one event
//! each, whatever others have.
//!
//! In claim order alone, a user with a large or urgent backlog keeps everybody else waiting until
//! it is gone. With turns, of `n` users who have something, nobody waits for more than about `4 *
//! n` deliveries to others until one of theirs is made. The other three quarters go in claim order:
//! what is urgent comes first there, as ever.

use crate::claim::{Claim, ClaimRequest};

/// One of so many places goes to whose turn it is.
const SHARE: usize = 4;

/// Whose turn comes next, and when.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// The last user who had one; nobody at first.
    after: String,
    /// Claimed events that have not made a turn yet: fewer than [`SHARE`].
    over: usize,
}

impl Turns {
    /// The same request with the turns that come with it.
    pub(super) fn in_turn(&self, request: ClaimRequest) -> ClaimRequest {
        let turns = self.over.saturating_add(request.limit()) / SHARE;
        request.with_turns(turns, &self.after)
    }

    /// Takes in what was claimed.
    pub(super) fn claimed(&mut self, request: &ClaimRequest, claims: &[Claim]) {
        self.over = self.over.saturating_add(claims.len()) % SHARE;
        // The last one is in turn; or, where places were left after that, everybody had one, and it
        // may begin anywhere.
        if let Some(last) = claims.last().filter(|_| request.turns() > 0) {
            self.after.clone_from(&last.event.user_id);
        }
    }
}
