//! Refusals with a rate limit, of a destination, of one event type there, or of one user.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::facts::{Judged, Refused, Verdict};
use super::limit::Limit;
use super::{Evidence, Node, Reach};
use crate::outcome::bounded;

impl Evidence {
    /// Records a refusal that asks for a pause. Returns the refusals that this decides.
    pub(in crate::processor) fn rate_limited(
        &mut self,
        refused: Refused,
        reach: Reach,
        now: DateTime<Utc>,
    ) -> Vec<Judged> {
        self.number += 1;
        let after = refused.not_before.unwrap_or_default();
        match reach {
            Reach::Destination => {}
            Reach::User => return vec![self.user_refused(refused, after, now)],
            Reach::Event => return vec![Judged::deferred(refused)],
        }
        let destination = refused.facts.destination();
        let lane = refused.facts.first_lane();
        let user = refused.facts.user_node();
        self.records
            .entry(Node::Set(refused.facts.set))
            .or_default();
        let tells_apart = self.tells_apart(&destination, &lane);
        self.note(&[&destination], &refused.facts, &lane);
        let passes = self.passes(&destination);
        let is_of_endpoint = self.is_limited_alone(&refused.facts);
        let is_of_user = self.streaks.get(&user).is_some_and(|streak| {
            let mut others = streak.other_lanes(&lane).peekable();
            others.peek().is_some()
                && others.all(|other| {
                    let before = self.memory.passes(&destination, other);
                    before.is_some_and(|before| passes > before)
                })
        });
        if self.refused_as_probe(&refused, now) {
            return vec![Judged::given_back(refused, after)];
        }
        let is_limited = self.limits.contains_key(&destination);
        if tells_apart && !is_limited {
            return vec![Judged::deferred(refused)];
        }
        self.is_refused_alone(&refused.facts);
        let part = match (is_of_user, is_of_endpoint) {
            _ if tells_apart => None,
            (_, true) => Some(refused.facts.endpoint()),
            (true, false) => Some(user),
            (false, false) => None,
        };
        if let Some(part) = part {
            self.open(&part, &refused, 1, now);
            return vec![Judged::given_back(refused, after)];
        }
        let facts = &refused.facts;
        match self.limits.get_mut(&destination) {
            Some(limit) if facts.number < limit.number => limit.met_again(after, now),
            _ => {
                self.number += 1;
                let error = bounded(&refused.refusal.message);
                let earlier = self.limits.get(&destination);
                let limit = Limit::met(earlier, after, self.number, facts.user(), error, now);
                self.limits.insert(destination.clone(), limit);
            }
        }
        // While nothing is sent, no evidence comes for earlier refusals.
        let mut judged = self.give_back(|facts| destination.has_attempt(facts));
        judged.push(if tells_apart {
            // An event that is refused in each of its turns gives way to others more and more,
            // though not as fast as without a limit in force: it may just be unlucky.
            let pause = self.limits.get(&destination).map(|limit| limit.pause);
            let verdict = Verdict::Deferred { base: pause };
            Judged { refused, verdict }
        } else {
            Judged::given_back(refused, after)
        });
        judged
    }

    /// Records a refusal that concerns the event's user, by its own answer.
    pub(super) fn user_refused(
        &mut self,
        refused: Refused,
        after: Duration,
        now: DateTime<Utc>,
    ) -> Judged {
        let user = refused.facts.user_node();
        let lane = refused.facts.lane();
        let tells_apart = self.tells_apart(&user, &lane);
        self.note(&[&user], &refused.facts, &lane);
        if self.refused_as_probe(&refused, now) {
            return Judged::given_back(refused, after);
        }
        if tells_apart {
            return Judged::deferred(refused);
        }
        self.open(&user, &refused, 1, now);
        Judged::given_back(refused, after)
    }
}
