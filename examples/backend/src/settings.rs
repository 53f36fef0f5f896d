//! Settings of the service.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::auth::Accounts;
use crate::clock::Clock;
use crate::faults::FaultRule;

/// Settings of the service. The default is a service without faults, delays or rate limits.
///
/// ```
/// use std::time::Duration;
/// use backend::{Fault, FaultRule, Idempotency, Settings};
///
/// let as_seen = Settings::new()
///     .rate(2.0, 2)
///     .token_ttl(Duration::from_secs(15 * 60))
///     .latency(Duration::from_millis(50)..=Duration::from_millis(200))
///     .fault(FaultRule::chance(Fault::Drop, 0.01))
///     .idempotency(Idempotency::Ignored);
/// ```
#[derive(Debug, Clone)]
#[must_use = "settings do nothing before `Backend::start`"]
pub struct Settings {
    pub(crate) port: u16,
    pub(crate) admin_port: u16,
    pub(crate) api_key: String,
    pub(crate) accounts: Accounts,
    pub(crate) token_ttl: Duration,
    pub(crate) rate: Option<Rate>,
    pub(crate) idempotency: Idempotency,
    pub(crate) error_codes: ErrorCodes,
    pub(crate) latency: RangeInclusive<Duration>,
    pub(crate) faults: Vec<FaultRule>,
    pub(crate) seed: u64,
    pub(crate) clock: Clock,
    pub(crate) audit_capacity: usize,
}

/// A token bucket for each user.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    pub(crate) burst: NonZeroU32,
}

/// The treatment of the `Idempotency-Key` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idempotency {
    /// Repeating a successful call under its key replays the first answer, without a second effect.
    Honored,
    /// The key is only recorded in the audit.
    Ignored,
}

/// Whether `{"error":{..}}` has a `code` beside its `message`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCodes {
    /// The usual form.
    Absent,
    /// `{"error":{"message":"goal not found","code":"NOT_FOUND"}}`
    Present,
    /// In every other call.
    Alternating,
}

impl Settings {
    /// The default API key.
    pub const API_KEY: &str = "loopback";

    /// The defaults.
    pub fn new() -> Self {
        Self {
            port: 0,
            admin_port: 0,
            api_key: Self::API_KEY.to_owned(),
            accounts: Accounts::Any,
            token_ttl: Duration::from_secs(15 * 60),
            rate: None,
            idempotency: Idempotency::Ignored,
            error_codes: ErrorCodes::Absent,
            latency: Duration::ZERO..=Duration::ZERO,
            faults: Vec::new(),
            seed: 0,
            clock: Clock::system(),
            audit_capacity: 200_000,
        }
    }

    /// The port for the apps, on 127.0.0.1. Default: 0, any free port.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The extra port of `/admin`, which stays open while the service is offline. Default: 0, any
    /// free port.
    pub fn admin_port(mut self, port: u16) -> Self {
        self.admin_port = port;
        self
    }

    /// The required `X-API-Key` header. Default: [`Settings::API_KEY`].
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.api_key = key.into();
        self
    }

    /// The accounts. Default: [`Accounts::Any`].
    pub fn accounts(mut self, accounts: Accounts) -> Self {
        self.accounts = accounts;
        self
    }

    /// The lifetime of an access token. Default: 15 minutes.
    pub fn token_ttl(mut self, ttl: Duration) -> Self {
        self.token_ttl = ttl;
        self
    }

    /// The rate of a user's calls per second, and the burst; 429 beyond. A rate of zero or less is
    /// no limit. Default: no limit.
    pub fn rate(mut self, per_second: f64, burst: u32) -> Self {
        self.rate = NonZeroU32::new(burst.max(1))
            .filter(|_| per_second > 0.0)
            .map(|burst| Rate { per_second, burst });
        self
    }

    /// The treatment of idempotency keys. Default: [`Idempotency::Ignored`].
    pub fn idempotency(mut self, idempotency: Idempotency) -> Self {
        self.idempotency = idempotency;
        self
    }

    /// Whether error bodies have a `code`. Default: [`ErrorCodes::Absent`].
    pub fn error_codes(mut self, codes: ErrorCodes) -> Self {
        self.error_codes = codes;
        self
    }

    /// The delay before a call takes effect. Default: none.
    pub fn latency(mut self, latency: RangeInclusive<Duration>) -> Self {
        self.latency = latency;
        self
    }

    /// Adds a fault; the first matching one fires. Default: none.
    pub fn fault(mut self, rule: FaultRule) -> Self {
        self.faults.push(rule);
        self
    }

    /// The seed of chances and latencies. Default: 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The service's clock. Default: [`Clock::system`].
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The number of calls in the audit, and of first answers kept for replay. Default: 200,000.
    pub fn audit_capacity(mut self, calls: usize) -> Self {
        self.audit_capacity = calls.max(1);
        self
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::new()
    }
}
