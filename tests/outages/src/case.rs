//! The class of refusal, the concurrency, the users and the store of a row.

use std::fmt;
use std::time::Duration;

use http::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use http::status::StatusCode;
use outbox_runtime::{HandlerError, Operation, RefusalClass};

/// How a service refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// 429 with `Retry-After: 30`.
    RateLimited,
    /// No connection.
    Offline,
    /// 401. Refreshing the credentials succeeds, and does not help.
    Unauthenticated,
    /// 500.
    Failing,
    /// 503 without `Retry-After`.
    Unavailable,
    /// No answer, until the attempt's deadline of 30 s.
    Timeout,
}

/// The `Retry-After` of a rate limit, in seconds.
pub const RETRY_AFTER_SECONDS: u64 = 30;

impl Class {
    /// Every class.
    pub const ALL: [Self; 6] = [
        Self::RateLimited,
        Self::Offline,
        Self::Unauthenticated,
        Self::Failing,
        Self::Unavailable,
        Self::Timeout,
    ];

    /// The error that a handler returns for the refusal. `None`: it waits for an answer that never
    /// comes.
    pub(crate) fn answer(self) -> Option<HandlerError> {
        let status = |status: u16, headers: &HeaderMap| {
            let status = StatusCode::from_u16(status).unwrap();
            let refused = outbox_runtime::http::check(status, headers, Operation::Update);
            Some(HandlerError::from(refused.unwrap_err()))
        };
        let mut headers = HeaderMap::new();
        match self {
            Self::RateLimited => {
                headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
                status(429, &headers)
            }
            Self::Offline => Some(HandlerError::offline()),
            Self::Unauthenticated => status(401, &headers),
            Self::Failing => status(500, &headers),
            Self::Unavailable => status(503, &headers),
            Self::Timeout => None,
        }
    }
}

impl Class {
    /// What the runtime takes it for.
    pub(crate) fn refusal(self) -> RefusalClass {
        match self {
            Self::RateLimited => RefusalClass::RateLimited,
            Self::Offline => RefusalClass::Offline,
            Self::Unauthenticated => RefusalClass::Unauthenticated,
            Self::Failing => RefusalClass::Retry,
            Self::Unavailable => RefusalClass::Unavailable,
            Self::Timeout => RefusalClass::Timeout,
        }
    }

    /// What an explanation of it says.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::RateLimited => "429",
            Self::Offline => "offline",
            Self::Unauthenticated => "401",
            Self::Failing => "500",
            Self::Unavailable => "503",
            Self::Timeout => "no answer within",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::RateLimited => "429",
            Self::Offline => "offline",
            Self::Unauthenticated => "401",
            Self::Failing => "500",
            Self::Unavailable => "503",
            Self::Timeout => "timeout",
        })
    }
}

/// The store of the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// `MemoryStore`.
    Memory,
    /// `SqliteStore`, in a folder of its own.
    Sqlite,
}

impl StoreKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Memory, Self::Sqlite];
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
        })
    }
}

/// The parameters of a run of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// How the service refuses.
    pub class: Class,
    /// The number of concurrent attempts.
    pub concurrency: usize,
    /// The number of users to whom the events belong.
    pub users: usize,
    /// The store of the events.
    pub store: StoreKind,
    /// The seed for the duration of calls and for random failures.
    pub seed: u64,
}

impl Case {
    /// Every combination of class, concurrency (1, 3, 16), users (1, 10) and store.
    #[must_use]
    pub fn all(seed: u64) -> Vec<Self> {
        let mut all = Vec::new();
        for store in StoreKind::ALL {
            for class in Class::ALL {
                for concurrency in [1, 3, 16] {
                    for users in [1, 10] {
                        all.push(Self {
                            class,
                            concurrency,
                            users,
                            store,
                            seed,
                        });
                    }
                }
            }
        }
        all
    }

    /// A pseudo-random number below `end`, the same for the same event and call.
    pub(crate) fn draw(&self, event: usize, call: u32, end: u64) -> u64 {
        let mix = |word: u64| outbox_testing::SeededRng::new(word).word();
        let word = mix(mix(self.seed ^ mix(event as u64)).wrapping_add(u64::from(call)));
        outbox_testing::SeededRng::new(word).below(end)
    }

    /// The duration of an answered call: 50 to 100 ms.
    pub(crate) fn latency(&self, event: usize, call: u32) -> Duration {
        Duration::from_millis(50 + self.draw(event, call, 51))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            class,
            concurrency,
            users,
            store,
            ..
        } = self;
        write!(f, "{class:7} c={concurrency:<2} u={users:<2} {store:6}")
    }
}
