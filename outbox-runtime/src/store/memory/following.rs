//! Following: leasing the events behind a leased one.

use chrono::{DateTime, Utc};

use super::lanes::Lane;
use super::state::State;
use crate::claim::{Claim, ClaimRequest, FollowRequest, Lease};
use crate::event::OutboxEvent;
use crate::metadata::RawMetadata;
use crate::store::kit::follows;

impl State {
    /// Leases the events that come next in the lanes of leased ones.
    pub(super) fn follow(&mut self, request: &FollowRequest, now: DateTime<Utc>) -> Vec<Claim> {
        let any = ClaimRequest::new(request.limit(), std::time::Duration::ZERO);
        let pauses = self.pauses();
        let unpaused = pauses.applied(&any, now);
        let mut claims = Vec::new();
        let mut bytes_left = request.max_bytes();
        for lease in request.after() {
            let Some((mut last, expires_at)) = self.end_of(lease, now) else {
                continue;
            };
            while let Some(next) = self.follower_of(last, now) {
                if !unpaused.matches(next) {
                    break;
                }
                let bytes = next.metadata.as_ref().map_or(0, RawMetadata::len);
                if claims.len() >= request.limit() || bytes > bytes_left {
                    return claims;
                }
                last = next.seq;
                bytes_left -= bytes;
                claims.extend(self.lease(last, now, lease.token, expires_at));
            }
        }
        claims
    }

    /// The seq of the event with this lease, and the end of the lease, unless it has ended.
    fn end_of(&self, lease: &Lease, now: DateTime<Utc>) -> Option<(i64, DateTime<Utc>)> {
        let seq = self.held(lease, now)?;
        Some((seq, self.rows.get(&seq)?.lease_expires_at?))
    }

    /// The event directly behind this one, unless it waits for something else.
    fn follower_of(&self, seq: i64, now: DateTime<Utc>) -> Option<&OutboxEvent> {
        let event = self.rows.get(&seq)?;
        let line = self.lanes.get(&Lane::of(event))?;
        let next = self.rows.get(line.open.range(seq + 1..).next()?)?;
        let is_free = !self.creations.contains_key(&next.seq) && self.first_elder(next).is_none();
        (is_free && follows(event, next, now)).then_some(next)
    }
}
