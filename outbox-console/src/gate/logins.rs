//! Failed logins: only a few a minute, for each address and in all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::secret::Secrets;

/// How long a failure counts.
const WINDOW: Duration = Duration::from_secs(60);
/// The failures of one address within that time.
const OF_ADDRESS: u32 = 10;
/// The failures of all.
const OF_ALL: u32 = 100;
/// The addresses that are remembered.
const ADDRESSES: usize = 1_024;

/// The answer to a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Login {
    In,
    Wrong,
    /// The secret was not looked at; after this time it will be.
    TooMany(Duration),
}

/// Failures since a time.
#[derive(Debug, Clone, Copy)]
struct Failures {
    since: Duration,
    count: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Logins(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    all: Option<Failures>,
    /// Requests whose address is not known share one.
    of_address: HashMap<Option<IpAddr>, Failures>,
}

impl Failures {
    fn is_over(self, now: Duration) -> bool {
        now.saturating_sub(self.since) >= WINDOW
    }
}

impl Logins {
    /// Compares a secret, unless too many were wrong lately. The comparison and the count of it are
    /// one step, so that requests at the same time do not get around the limit.
    pub(crate) fn attempt(
        &self,
        secrets: &Secrets,
        given: &str,
        address: Option<IpAddr>,
        now: Duration,
    ) -> Login {
        let state = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.all = state.all.filter(|all| !all.is_over(now));
        if state.of_address.len() >= ADDRESSES || state.all.is_none() {
            state
                .of_address
                .retain(|_, failures| !failures.is_over(now));
        }
        let of_address = state.of_address.get(&address).copied();
        let of_address = of_address.filter(|failures| !failures.is_over(now));
        for (failures, limit) in [(state.all, OF_ALL), (of_address, OF_ADDRESS)] {
            if let Some(failures) = failures.filter(|failures| failures.count >= limit) {
                let passed = now.saturating_sub(failures.since);
                return Login::TooMany(WINDOW.saturating_sub(passed));
            }
        }
        if secrets.contain(given) {
            return Login::In;
        }
        let one_more = |failures: Option<Failures>| {
            let failures = failures.unwrap_or(Failures {
                since: now,
                count: 0,
            });
            Failures {
                count: failures.count.saturating_add(1),
                ..failures
            }
        };
        state.all = Some(one_more(state.all));
        // Beyond this number of addresses, only the count of all holds.
        if state.of_address.len() < ADDRESSES || state.of_address.contains_key(&address) {
            state.of_address.insert(address, one_more(of_address));
        }
        Login::Wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        let mut secrets = Secrets::default();
        secrets.add("right");
        secrets
    }

    fn address(last: u32) -> Option<IpAddr> {
        Some(IpAddr::from(last.to_be_bytes()))
    }

    #[test]
    fn each_address_has_a_few_failures_a_minute() {
        let (logins, secrets, now) = (Logins::default(), secrets(), Duration::ZERO);
        for _ in 0..OF_ADDRESS {
            assert_eq!(logins.attempt(&secrets, "x", address(1), now), Login::Wrong);
        }
        let refused = logins.attempt(&secrets, "right", address(1), now);
        assert_eq!(refused, Login::TooMany(WINDOW));
        assert_eq!(
            logins.attempt(&secrets, "right", address(2), now),
            Login::In
        );
        let later = now + WINDOW;
        assert_eq!(
            logins.attempt(&secrets, "right", address(1), later),
            Login::In
        );
    }

    #[test]
    fn many_addresses_have_a_limit_together_and_bounded_memory() {
        let (logins, secrets, now) = (Logins::default(), secrets(), Duration::ZERO);
        for from in 0..OF_ALL {
            assert_eq!(
                logins.attempt(&secrets, "x", address(from), now),
                Login::Wrong
            );
        }
        let refused = logins.attempt(&secrets, "right", address(999), now);
        assert!(matches!(refused, Login::TooMany(_)));
        for minute in 1..40 {
            for from in 0..OF_ALL {
                let from = address(minute * 1_000 + from);
                logins.attempt(&secrets, "x", from, now + WINDOW * minute);
            }
        }
        assert!(logins.0.lock().unwrap().of_address.len() <= ADDRESSES);
    }
}
