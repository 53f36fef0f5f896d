//! What keeps a run from claiming: no network, refused credentials, a user who has signed out, a rate limit.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::rate_limits::RateLimits;
use super::routes::HandlerIndex;
use crate::clock;
use crate::statistics::WaitsFor;

/// The delay before the first probe of a network that is gone; doubled up to the longest.
const FIRST_PROBE: Duration = Duration::from_secs(1);
const LONGEST_PROBE: Duration = Duration::from_secs(60);

/// The delays before credentials are refreshed again, when that did not help.
const REFRESH_DELAYS: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
];

/// Everything that is paused in one run.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    network: Option<Offline>,
    /// These two in the order of the users, so that the same things happen in the same order each time.
    credentials: BTreeMap<String, Credentials>,
    signed_out: BTreeSet<String>,
    pub(super) rate_limits: RateLimits,
}

#[derive(Debug)]
struct Offline {
    probe_at: DateTime<Utc>,
    delay: Duration,
    /// A probe is out: its answer decides.
    probing: bool,
}

#[derive(Debug, Default)]
struct Credentials {
    /// Counts refreshes. An attempt that began before the last one says nothing about the credentials of now.
    generation: u64,
    /// Refreshes since the last delivery: how often that did not help.
    in_vain: usize,
    state: Access,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Access {
    #[default]
    Granted,
    /// To be refreshed, not before this time.
    Refused(DateTime<Utc>),
    Refreshing,
}

/// How much may be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permission {
    All,
    /// One event, to see whether the network is back.
    Probe,
    Nothing,
}

impl Pauses {
    /// Whether nothing has ever been paused that is not sure to be over.
    pub(super) fn are_none(&self) -> bool {
        self.network.is_none()
            && self.credentials.is_empty()
            && self.signed_out.is_empty()
            && self.rate_limits.are_none()
    }

    /// The clock was set: what was to end in a while ends in that while all the same.
    pub(super) fn shift(&mut self, jump: TimeDelta) {
        if let Some(offline) = &mut self.network {
            offline.probe_at = clock::shifted(offline.probe_at, jump);
        }
        for credentials in self.credentials.values_mut() {
            if let Access::Refused(until) = &mut credentials.state {
                *until = clock::shifted(*until, jump);
            }
        }
        self.rate_limits.shift(jump);
    }

    /// How much may be claimed now. A probe that this permits is out once [`probe_started`](Self::probe_started) is called.
    pub(super) fn permission(&self, now: DateTime<Utc>) -> Permission {
        match &self.network {
            None => Permission::All,
            Some(offline) if !offline.probing && offline.probe_at <= now => Permission::Probe,
            Some(_) => Permission::Nothing,
        }
    }

    pub(super) fn probe_started(&mut self) {
        if let Some(offline) = &mut self.network {
            offline.probing = true;
        }
    }

    /// A handler says that there is no network.
    pub(super) fn went_offline(&mut self, now: DateTime<Utc>) {
        match &mut self.network {
            // Handlers that were already under way when the first one noticed.
            Some(offline) if !offline.probing => {}
            Some(offline) => {
                offline.delay = (offline.delay * 2).min(LONGEST_PROBE);
                offline.probe_at = clock::after(now, offline.delay);
                offline.probing = false;
            }
            None => {
                self.network = Some(Offline {
                    probe_at: clock::after(now, FIRST_PROBE),
                    delay: FIRST_PROBE,
                    probing: false,
                });
            }
        }
    }

    /// Something was answered, or somebody says that the network is back. `true` where that ended a pause.
    pub(super) fn went_online(&mut self) -> bool {
        self.network.take().is_some()
    }

    /// Makes the next probe due now.
    pub(super) fn probe_now(&mut self, now: DateTime<Utc>) {
        if let Some(offline) = &mut self.network {
            offline.probe_at = now;
        }
    }

    /// The probe ended without saying anything about the network (it panicked, or timed out).
    pub(super) fn probe_inconclusive(&mut self, now: DateTime<Utc>) {
        if self.network.as_ref().is_some_and(|offline| offline.probing) {
            self.went_offline(now);
        }
    }

    /// Which credentials an attempt that begins now has.
    pub(super) fn generation(&self, user_id: &str) -> u64 {
        self.credentials
            .get(user_id)
            .map_or(0, |credentials| credentials.generation)
    }

    /// An attempt that began under `generation` was refused.
    pub(super) fn refused(&mut self, user_id: &str, generation: u64, now: DateTime<Utc>) {
        let credentials = self.credentials.entry(user_id.to_owned()).or_default();
        if credentials.generation == generation && credentials.state == Access::Granted {
            let delay = match credentials.in_vain.checked_sub(1) {
                None => Duration::ZERO,
                Some(times) => refresh_delay(times),
            };
            credentials.state = Access::Refused(clock::after(now, delay));
        }
    }

    /// An attempt was let through. Where no other one of the user is under way, nothing need be remembered of him any more.
    pub(super) fn granted(&mut self, user_id: &str, is_last: impl FnOnce() -> bool) {
        let Some(credentials) = self.credentials.get_mut(user_id) else {
            return;
        };
        credentials.in_vain = 0;
        if credentials.state == Access::Granted && is_last() {
            self.credentials.remove(user_id);
        }
    }

    /// The user whose credentials are to be refreshed next, if that is due; they count as being refreshed from here on.
    pub(super) fn take_refresh(&mut self, now: DateTime<Utc>) -> Option<String> {
        let due = self
            .credentials
            .iter_mut()
            .filter_map(|(user, credentials)| match credentials.state {
                Access::Refused(at) if at <= now => Some((at, user, credentials)),
                _ => None,
            });
        let (_, user, credentials) = due.min_by_key(|(at, ..)| *at)?;
        credentials.state = Access::Refreshing;
        Some(user.clone())
    }

    /// What came of a refresh.
    pub(super) fn refreshed(&mut self, user_id: &str, succeeded: bool, now: DateTime<Utc>) {
        let credentials = self.credentials.entry(user_id.to_owned()).or_default();
        let delay = refresh_delay(credentials.in_vain);
        credentials.in_vain = credentials.in_vain.saturating_add(1);
        if succeeded {
            credentials.generation += 1;
            credentials.state = Access::Granted;
        } else {
            credentials.state = Access::Refused(clock::after(now, delay));
        }
    }

    /// Nothing of this user may be sent until they are back.
    pub(super) fn signed_out(&mut self, user_id: String) {
        self.signed_out.insert(user_id);
    }

    /// The user is back, with credentials of which nothing is known yet.
    pub(super) fn signed_in(&mut self, user_id: &str) {
        self.signed_out.remove(user_id);
        if let Some(credentials) = self.credentials.get_mut(user_id) {
            credentials.generation += 1;
            credentials.in_vain = 0;
            credentials.state = Access::Granted;
        }
    }

    /// Whether nothing of this user may be sent.
    pub(super) fn is_user_paused(&self, user_id: &str) -> bool {
        self.signed_out.contains(user_id) || self.is_refused(user_id)
    }

    /// All users of whom nothing may be sent.
    pub(super) fn paused_users(&self) -> Vec<String> {
        let refused = self.credentials.keys();
        let refused = refused.filter(|user| self.is_refused(user));
        let users: BTreeSet<&String> = refused.chain(&self.signed_out).collect();
        users.into_iter().cloned().collect()
    }

    fn is_refused(&self, user_id: &str) -> bool {
        self.credentials
            .get(user_id)
            .is_some_and(|credentials| credentials.state != Access::Granted)
    }

    /// When the next pause ends by itself.
    pub(super) fn next_end(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let probe = self
            .network
            .iter()
            .filter(|offline| !offline.probing)
            .map(|offline| offline.probe_at);
        let refresh = self
            .credentials
            .values()
            .filter_map(|user| match user.state {
                Access::Refused(at) => Some(at),
                Access::Granted | Access::Refreshing => None,
            });
        probe
            .chain(refresh)
            .chain(self.rate_limits.ends())
            .filter(|end| *end > now)
            .min()
    }

    /// What keeps an event of this user and handler set from being claimed, if anything.
    pub(super) fn explain(
        &self,
        user_id: &str,
        handler: HandlerIndex,
        now: DateTime<Utc>,
    ) -> Option<WaitsFor> {
        if self.signed_out.contains(user_id) {
            return Some(WaitsFor::SignIn);
        }
        if let Some(offline) = &self.network {
            return Some(WaitsFor::Network {
                probe_at: offline.probe_at,
            });
        }
        if self.is_user_paused(user_id) {
            return Some(WaitsFor::Credentials);
        }
        self.rate_limits
            .pause(handler, now)
            .map(|until| WaitsFor::RateLimit { until })
    }
}

fn refresh_delay(times: usize) -> Duration {
    REFRESH_DELAYS[times.min(REFRESH_DELAYS.len() - 1)]
}
