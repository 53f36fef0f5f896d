//! The server's faults, chosen by the idempotency key and the number of times it was seen, so that
//! no event meets more faults than it has attempts, over any number of runs.

use std::time::Duration;

use uuid::Uuid;

use crate::hash::fnv1a;

/// A fault of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// 503, with or without a `Retry-After`.
    Unavailable {
        /// In seconds.
        retry_after: Option<u64>,
    },
    /// 429 with `Retry-After`.
    TooManyRequests {
        /// In seconds.
        retry_after: u64,
    },
    /// The request takes effect, and the connection breaks during the answer.
    CutOff,
}

/// The fault for a request whose key is seen for the `sight`-th time: for one key in twelve, and at
/// most twice for any key.
pub(super) fn decide(key: Uuid, sight: u32) -> Option<Fault> {
    // The first number is one of 2,000.
    match (roll(key), sight) {
        // 4 %: unavailable once.
        (0..80, 1) => Some(Fault::Unavailable { retry_after: None }),
        // 0.5 %: unavailable, with a `Retry-After`.
        (80..90, 1) => Some(Fault::Unavailable {
            retry_after: Some(1),
        }),
        // 1.5 %: cut off, like the 0.5 % above when they come back.
        (90..120, 1) | (80..90, 2) => Some(Fault::CutOff),
        // One in 500: rate limited for a second.
        (120..124, 1) => Some(Fault::TooManyRequests { retry_after: 1 }),
        _ => None,
    }
}

/// The server's delay: 1 to 8 ms.
pub(super) fn latency(key: Uuid) -> Duration {
    Duration::from_micros(1_000 + hash(key) / 2_000 % 7_000)
}

fn roll(key: Uuid) -> u64 {
    hash(key) % 2_000
}

fn hash(key: Uuid) -> u64 {
    fnv1a(key.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_meets_more_than_two_faults() {
        for _ in 0..20_000 {
            let key = Uuid::new_v4();
            let faults = (1..10).filter_map(|sight| decide(key, sight)).count();
            assert!(faults <= 2);
            assert_eq!(decide(key, 3), None);
        }
    }

    #[test]
    fn every_fault_happens() {
        let mut unavailable = 0;
        let mut limited = 0;
        let mut cut_off = 0;
        for _ in 0..20_000 {
            match decide(Uuid::new_v4(), 1) {
                Some(Fault::Unavailable { .. }) => unavailable += 1,
                Some(Fault::TooManyRequests { .. }) => limited += 1,
                Some(Fault::CutOff) => cut_off += 1,
                None => {}
            }
        }
        assert!((600..1_200).contains(&unavailable), "{unavailable}");
        assert!((10..90).contains(&limited), "{limited}");
        assert!((150..450).contains(&cut_off), "{cut_off}");
    }
}
