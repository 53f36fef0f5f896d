//! The credentials of users: refused, refreshed, or withdrawn by a sign-out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::node::Node;
use super::round::{ENDPOINTS, Round};
use crate::claim::ClaimOrder;
use crate::clock;

/// The delays before credentials are refreshed again after a refresh that did not help.
const REFRESH_DELAYS: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(60),
];

/// The state of the users' credentials.
#[derive(Debug, Default)]
pub(in crate::processor) struct Credentials {
    /// Ordered by user, so that the behavior is deterministic.
    users: BTreeMap<String, User>,
    signed_out: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct User {
    /// Counts refreshes. An attempt that began before the last refresh says nothing about the
    /// current credentials.
    generation: u64,
    /// Refreshes since the last delivery, none of which helped.
    in_vain: usize,
    state: Access,
    /// The first refresh did not help, so another event is tried at once, before the next refresh,
    /// as the refusal may have been chance.
    has_second_chance: bool,
    /// Refused, and nothing has got through since: one attempt at a time.
    is_on_trial: bool,
    /// The time of the first refusal since the last pass, and the number of refusals since then.
    since: Option<DateTime<Utc>>,
    refusals: u32,
    /// Attempts with a lower number began with older credentials.
    number: u64,
    /// The number of the last refusal.
    refused: u64,
    last_error: String,
    /// The endpoints that refused them since the last pass.
    refused_at: Vec<Node>,
    /// The endpoints where they were tried.
    tried_at: Round,
    /// The number of attempts with them.
    trials: u32,
}

/// The refusal of an attempt's credentials.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The number at which the attempt ended.
    pub(super) number: u64,
    /// The generation of the credentials that it began with.
    pub(super) generation: u64,
    pub(super) endpoint: Node,
    pub(super) error: String,
    /// Whether the credentials are refreshed at once, however many refreshes did not help.
    pub(super) is_urgent: bool,
}

/// The state of refused credentials.
#[derive(Debug)]
pub(super) struct Trouble<'a> {
    pub(super) since: DateTime<Utc>,
    pub(super) refusals: u32,
    /// When the next refresh is due.
    pub(super) refresh_at: Option<DateTime<Utc>>,
    /// Whether a refresh did not help.
    pub(super) is_in_vain: bool,
    pub(super) last_error: &'a str,
}

/// A user whose attempts are restricted.
#[derive(Debug)]
pub(super) struct Restricted<'a> {
    pub(super) user: &'a str,
    pub(super) allowed: Allowed,
    /// Attempts with a lower number began earlier and do not count.
    pub(super) number: u64,
    /// The order in which the user's events are tried.
    pub(super) order: ClaimOrder,
    /// Endpoints where an event is tried only if the user has none for another endpoint.
    pub(super) last_resort: &'a [Node],
    /// Whether the one attempt is the second chance, with another event.
    pub(super) has_second_chance: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Access {
    #[default]
    Granted,
    /// To be refreshed, no earlier than this time.
    Refused(DateTime<Utc>),
    Refreshing,
}

/// The attempts that a user may have under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowed {
    Nothing,
    /// One attempt, at an endpoint that has not refused the credentials, while they wait for a
    /// refresh: other endpoints may accept them, and the time of the refresh may never coincide
    /// with a probe there.
    Elsewhere,
    OneAttempt,
}

impl Credentials {
    pub(super) fn is_empty(&self) -> bool {
        self.users.is_empty() && self.signed_out.is_empty()
    }

    /// Adapts to a clock that was set: every delay keeps its remaining duration.
    pub(super) fn shift(&mut self, jump: TimeDelta) {
        for user in self.users.values_mut() {
            user.since = user.since.map(|since| clock::shifted(since, jump));
            if let Access::Refused(until) = &mut user.state {
                *until = clock::shifted(*until, jump);
            }
        }
    }

    /// Returns the generation of the credentials of an attempt that begins now.
    pub(in crate::processor) fn generation(&self, user_id: &str) -> u64 {
        self.users.get(user_id).map_or(0, |user| user.generation)
    }

    /// Records that an attempt's credentials were refused. Returns how many refreshes did not help.
    pub(super) fn refused(&mut self, user_id: &str, refusal: Refusal, now: DateTime<Utc>) -> usize {
        let user = self.users.entry(user_id.to_owned()).or_default();
        user.last_error = refusal.error;
        user.refused = refusal.number;
        user.since.get_or_insert(now);
        user.refusals = user.refusals.saturating_add(1);
        if !user.refused_at.contains(&refusal.endpoint) && user.refused_at.len() < ENDPOINTS {
            user.refused_at.push(refusal.endpoint.clone());
        }
        if !user.is_on_trial {
            user.tried_at.begun(refusal.endpoint, ClaimOrder::Usual);
        }
        user.has_second_chance = false;
        if user.generation == refusal.generation && user.state == Access::Granted {
            let delay = match user.in_vain.checked_sub(1) {
                Some(times) if !refusal.is_urgent => refresh_delay(times),
                _ => Duration::ZERO,
            };
            user.state = Access::Refused(clock::after(now, delay));
            user.is_on_trial = true;
            user.has_second_chance = user.in_vain == 1 && !refusal.is_urgent;
        }
        user.in_vain
    }

    /// Returns the time for which the event that was refused last gives way to another event of the
    /// user.
    pub(super) fn makes_way(&self, user_id: &str, now: DateTime<Utc>) -> Duration {
        let user = self.users.get(user_id);
        match user
            .filter(|user| user.has_second_chance)
            .map(|it| it.state)
        {
            Some(Access::Refused(at)) => (at - now).to_std().unwrap_or_default(),
            _ => Duration::ZERO,
        }
    }

    /// Records that this user has no other event to try.
    pub(in crate::processor) fn nothing_else(&mut self, user_id: &str) {
        if let Some(user) = self.users.get_mut(user_id) {
            user.has_second_chance = false;
        }
    }

    /// Forgets a user who has no events left, unless a refresh is running. Returns whether there
    /// was anything to forget.
    pub(super) fn forget(&mut self, user_id: &str) -> bool {
        let user = self.users.get(user_id);
        let is_idle = user.is_some_and(|user| user.state != Access::Refreshing);
        if is_idle {
            self.users.remove(user_id);
        }
        is_idle
    }

    /// Records that an attempt of this user begins.
    pub(super) fn begun(&mut self, user_id: &str, endpoint: Node) {
        let Some(user) = self.users.get_mut(user_id) else {
            return;
        };
        user.tried_at.begun(endpoint, user.order());
        user.trials = user.trials.wrapping_add(1);
    }

    /// Records that an attempt that began under `number` got through. If it was the user's last one
    /// under way, the user's state is no longer needed.
    pub(super) fn granted(&mut self, user_id: &str, number: u64, is_last: bool) {
        let Some(user) = self.users.get_mut(user_id) else {
            return;
        };
        user.in_vain = 0;
        user.is_on_trial = false;
        user.refused_at.clear();
        user.tried_at.clear();
        user.trials = 0;
        user.since = None;
        user.refusals = 0;
        user.has_second_chance = false;
        if matches!(user.state, Access::Refused(_)) && number > user.refused {
            // Another endpoint accepts the credentials as they are.
            user.state = Access::Granted;
        }
        if user.state == Access::Granted && is_last {
            self.users.remove(user_id);
        }
    }

    /// Returns the user whose refresh is due first, if any is due; the credentials count as being
    /// refreshed from now on.
    pub(in crate::processor) fn take_refresh(&mut self, now: DateTime<Utc>) -> Option<String> {
        let signed_out = &self.signed_out;
        let due = self
            .users
            .iter_mut()
            .filter_map(|(id, user)| match user.state {
                Access::Refused(at) if at <= now && !signed_out.contains(id) => {
                    Some((at, id, user))
                }
                _ => None,
            });
        let (_, id, user) = due.min_by_key(|(at, ..)| *at)?;
        user.state = Access::Refreshing;
        Some(id.clone())
    }

    /// Records the result of a refresh.
    pub(super) fn refreshed(
        &mut self,
        user_id: &str,
        result: &Result<(), String>,
        number: u64,
        now: DateTime<Utc>,
    ) {
        let refreshing = |user: &&mut User| user.state == Access::Refreshing;
        let Some(user) = self.users.get_mut(user_id).filter(refreshing) else {
            // The user has signed in meanwhile: the result for the old credentials says nothing
            // about the new ones.
            return;
        };
        let delay = refresh_delay(user.in_vain);
        user.in_vain = user.in_vain.saturating_add(1);
        user.has_second_chance = false;
        match result {
            Ok(()) => {
                user.generation += 1;
                user.number = number;
                user.state = Access::Granted;
            }
            Err(error) => {
                user.last_error.clone_from(error);
                user.state = Access::Refused(clock::after(now, delay));
            }
        }
    }

    /// Records that a refresh was stopped before it had a result: it is due again, unless the user
    /// has new credentials meanwhile.
    pub(in crate::processor) fn refresh_stopped(&mut self, user_id: &str, now: DateTime<Utc>) {
        let user = self.users.get_mut(user_id);
        if let Some(user) = user.filter(|user| user.state == Access::Refreshing) {
            user.state = Access::Refused(now);
        }
    }

    /// Makes every waiting refresh due now, because a circuit has closed.
    pub(super) fn refresh_all(&mut self, now: DateTime<Utc>) {
        for user in self.users.values_mut() {
            if let Access::Refused(at) = &mut user.state {
                *at = now.min(*at);
            }
        }
    }

    /// Holds all events of this user until they sign in again.
    pub(in crate::processor) fn signed_out(&mut self, user_id: String) {
        self.signed_out.insert(user_id);
    }

    /// Releases the events of this user, who has new credentials.
    pub(in crate::processor) fn signed_in(&mut self, user_id: &str) {
        self.signed_out.remove(user_id);
        if let Some(user) = self.users.get_mut(user_id) {
            user.generation += 1;
            user.in_vain = 0;
            user.state = Access::Granted;
        }
    }

    /// Returns the users whose attempts are restricted now.
    pub(super) fn restricted(&self, now: DateTime<Utc>) -> impl Iterator<Item = Restricted<'_>> {
        let refused = self.users.iter().filter_map(move |(id, user)| {
            let (allowed, last_resort) = match user.state {
                _ if self.signed_out.contains(id) => return None,
                Access::Granted if user.is_on_trial => (Allowed::OneAttempt, user.tried_at.taken()),
                Access::Granted => return None,
                Access::Refused(at) if at > now && user.has_second_chance => {
                    (Allowed::OneAttempt, user.tried_at.taken())
                }
                Access::Refused(at) if at > now && user.is_on_trial => {
                    (Allowed::Elsewhere, user.refused_at.as_slice())
                }
                Access::Refused(_) | Access::Refreshing => (Allowed::Nothing, [].as_slice()),
            };
            Some(Restricted {
                user: id,
                allowed,
                number: user.number,
                order: user.order(),
                last_resort,
                has_second_chance: user.has_second_chance,
            })
        });
        let signed_out = self.signed_out.iter().map(|id| Restricted {
            user: id,
            allowed: Allowed::Nothing,
            number: 0,
            order: ClaimOrder::Usual,
            last_resort: &[],
            has_second_chance: false,
        });
        refused.chain(signed_out)
    }

    pub(super) fn is_signed_out(&self, user_id: &str) -> bool {
        self.signed_out.contains(user_id)
    }

    /// Returns the state of the user's credentials, if they are refused.
    pub(super) fn trouble(&self, user_id: &str) -> Option<Trouble<'_>> {
        self.users.get(user_id)?.trouble()
    }

    /// Returns the state of all refused credentials.
    pub(super) fn troubles(&self) -> impl Iterator<Item = Trouble<'_>> {
        self.users.values().filter_map(User::trouble)
    }

    /// Returns the times at which refreshes are due.
    pub(super) fn refresh_times(&self) -> impl Iterator<Item = DateTime<Utc>> {
        let users = self.users.iter();
        users.filter_map(|(id, user)| match user.state {
            Access::Refused(at) if !self.signed_out.contains(id) => Some(at),
            Access::Refused(_) | Access::Granted | Access::Refreshing => None,
        })
    }
}

impl User {
    fn trouble(&self) -> Option<Trouble<'_>> {
        let is_refused = self.state != Access::Granted || self.is_on_trial;
        Some(Trouble {
            since: self.since.filter(|_| is_refused)?,
            refusals: self.refusals,
            refresh_at: match self.state {
                Access::Refused(at) => Some(at),
                Access::Granted | Access::Refreshing => None,
            },
            is_in_vain: self.in_vain > 0 && self.refusals > 1,
            last_error: &self.last_error,
        })
    }

    /// The order of the attempts: alternately the least recently tried event and the newest, as for
    /// probes.
    fn order(&self) -> ClaimOrder {
        if self.trials % 2 == 1 {
            ClaimOrder::Newest
        } else {
            ClaimOrder::LeastRecent
        }
    }
}

fn refresh_delay(times: usize) -> Duration {
    REFRESH_DELAYS[times.min(REFRESH_DELAYS.len() - 1)]
}
