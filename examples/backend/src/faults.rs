//! Injected faults and their rules.

use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A fault of a call.
///
/// Written as in [`FaultRule`]: `500`, `503`, `429`, `drop`, `garble`, `slow=2s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
#[non_exhaustive]
pub enum Fault {
    /// `500`, without any effect.
    InternalError,
    /// `503`, without any effect.
    Unavailable,
    /// `429` with `Retry-After: 1`, without any effect, whatever the rate is.
    TooManyRequests,
    /// The call takes effect, and the connection is closed without an answer.
    Drop,
    /// The call takes effect, and the body of a 2xx is truncated. It does not fire without a body.
    Garble,
    /// The call takes effect, and the answer is delayed.
    Slow(Duration),
}

/// The rule of a fault: at certain calls or by chance; on one endpoint, or on all except `auth`.
///
/// ```
/// use backend::{Fault, FaultRule};
///
/// // At the third call of the endpoint.
/// let rule: FaultRule = "drop@3 POST /api/v1/progress".parse()?;
/// assert_eq!(rule, FaultRule::nth(Fault::Drop, 3).on("POST /api/v1/progress"));
/// // At the first two calls of every endpoint.
/// let rule: FaultRule = "503@1..2".parse()?;
/// assert_eq!(rule, FaultRule::calls(Fault::Unavailable, 1..=2));
/// // Now and then: 2.5 % of the calls.
/// let rule: FaultRule = "500%2.5".parse()?;
/// assert_eq!(rule, FaultRule::chance(Fault::InternalError, 0.025));
/// # Ok::<(), backend::FaultSyntaxError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct FaultRule {
    fault: Fault,
    when: When,
    /// `None`: all except `auth`.
    route: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
enum When {
    /// Calls of an endpoint, counted from 1.
    Calls(RangeInclusive<u64>),
    /// From 0 to 1.
    Chance(f64),
}

/// A malformed fault or rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no fault: {problem}; write `drop@3`, `503@1..2` or `500%2.5`, then perhaps `POST /api/v1/goals`"
)]
pub struct FaultSyntaxError {
    text: String,
    problem: &'static str,
}

impl Fault {
    /// The key in [`Audit::faults`](crate::Audit::faults).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InternalError => "500",
            Self::Unavailable => "503",
            Self::TooManyRequests => "429",
            Self::Drop => "drop",
            Self::Garble => "garble",
            Self::Slow(_) => "slow",
        }
    }
}

impl FaultRule {
    /// At the `n`-th call of an endpoint, counted from 1.
    #[must_use]
    pub fn nth(fault: Fault, n: u64) -> Self {
        Self::calls(fault, n..=n)
    }

    /// At these calls of an endpoint, counted from 1.
    #[must_use]
    pub fn calls(fault: Fault, calls: RangeInclusive<u64>) -> Self {
        Self {
            fault,
            when: When::Calls(calls),
            route: None,
        }
    }

    /// With a probability from 0 to 1, drawn from [`Settings::seed`](crate::Settings::seed).
    #[must_use]
    pub fn chance(fault: Fault, probability: f64) -> Self {
        Self {
            fault,
            when: When::Chance(probability),
            route: None,
        }
    }

    /// On this endpoint only, written as `POST /api/v1/goals/{id}/complete`. Endpoints of `auth`
    /// have to be named.
    #[must_use]
    pub fn on(mut self, route: impl Into<String>) -> Self {
        self.route = Some(route.into());
        self
    }

    fn covers(&self, route: &str) -> bool {
        match &self.route {
            Some(named) => named == route,
            None => !route.contains("/auth/"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slow(by) => write!(f, "slow={}", humantime::format_duration(*by)),
            other => f.write_str(other.name()),
        }
    }
}

impl FromStr for Fault {
    type Err = FaultSyntaxError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |problem| FaultSyntaxError {
            text: text.to_owned(),
            problem,
        };
        match text {
            "500" => Ok(Self::InternalError),
            "503" => Ok(Self::Unavailable),
            "429" => Ok(Self::TooManyRequests),
            "drop" => Ok(Self::Drop),
            "garble" => Ok(Self::Garble),
            _ => {
                let by = text.strip_prefix("slow=").ok_or_else(|| {
                    error("it is not one of 500, 503, 429, drop, garble, slow=2s")
                })?;
                humantime::parse_duration(by)
                    .map(Self::Slow)
                    .map_err(|_| error("what follows `slow=` is no duration"))
            }
        }
    }
}

impl From<Fault> for String {
    fn from(fault: Fault) -> Self {
        fault.to_string()
    }
}

impl TryFrom<String> for Fault {
    type Error = FaultSyntaxError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for FaultRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = self.fault;
        match &self.when {
            When::Calls(calls) if calls.start() == calls.end() => {
                write!(f, "{fault}@{}", calls.start())
            }
            When::Calls(calls) => write!(f, "{fault}@{}..{}", calls.start(), calls.end()),
            When::Chance(probability) => write!(f, "{fault}%{}", probability * 100.0),
        }?;
        self.route
            .iter()
            .try_for_each(|route| write!(f, " {route}"))
    }
}

impl FromStr for FaultRule {
    type Err = FaultSyntaxError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |problem| FaultSyntaxError {
            text: text.to_owned(),
            problem,
        };
        let (what, route) = match text.trim().split_once(' ') {
            Some((what, route)) => (what, Some(route.trim())),
            None => (text.trim(), None),
        };
        let rule = if let Some((fault, calls)) = what.split_once('@') {
            let (first, last) = calls.split_once("..").unwrap_or((calls, calls));
            let number = |text: &str| text.parse::<u64>().ok().filter(|n| *n > 0);
            let calls = number(first)
                .zip(number(last))
                .filter(|(first, last)| first <= last)
                .ok_or_else(|| {
                    error("what follows `@` is no number from 1, and no range such as 1..2")
                })?;
            Self::calls(fault.parse()?, calls.0..=calls.1)
        } else if let Some((fault, percent)) = what.split_once('%') {
            let percent: f64 = percent
                .parse()
                .ok()
                .filter(|percent| (0.0..=100.0).contains(percent))
                .ok_or_else(|| error("what follows `%` is no number from 0 to 100"))?;
            Self::chance(fault.parse()?, percent / 100.0)
        } else {
            return Err(error("it does not say when"));
        };
        let named = |route: &str| {
            route
                .split_once(' ')
                .is_some_and(|(_, path)| path.starts_with('/'))
        };
        match route {
            None => Ok(rule),
            Some(route) if named(route) => Ok(rule.on(route)),
            Some(_) => Err(error("the endpoint is not a method and a path")),
        }
    }
}

/// The rules, and how often each endpoint was called.
#[derive(Debug)]
pub(crate) struct Plan {
    rules: Vec<FaultRule>,
    calls: HashMap<&'static str, u64>,
}

impl Plan {
    pub(crate) fn new(rules: Vec<FaultRule>) -> Self {
        Self {
            rules,
            calls: HashMap::new(),
        }
    }

    pub(crate) fn rules(&self) -> &[FaultRule] {
        &self.rules
    }

    /// Replaces the rules; calls are counted from 1 again.
    pub(crate) fn replace(&mut self, rules: Vec<FaultRule>) {
        *self = Self::new(rules);
    }

    /// The fault of the next call of an endpoint. Every chance is drawn, so that one rule does not
    /// shift another.
    pub(crate) fn next(
        &mut self,
        route: &'static str,
        chance: &mut fastrand::Rng,
    ) -> Option<Fault> {
        let count = self.calls.entry(route).or_default();
        *count += 1;
        let mut fires = None;
        for rule in self.rules.iter().filter(|rule| rule.covers(route)) {
            let hit = match &rule.when {
                When::Calls(calls) => calls.contains(count),
                When::Chance(probability) => chance.f64() < *probability,
            };
            if hit {
                fires = fires.or(Some(rule.fault));
            }
        }
        fires
    }
}
