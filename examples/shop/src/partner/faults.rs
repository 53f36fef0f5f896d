//! The faults of the partner: chosen by a seed, the key of the request and the number of times that
//! it came, so that every event gets through after two faults at most.

use std::time::Duration;

use uuid::Uuid;

/// How the partner misbehaves.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    /// `None`: not at all.
    seed: Option<u64>,
    /// The largest total of an order that it takes.
    limit_cents: i64,
}

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// 503, and no effect.
    Unavailable,
    /// 500, and no effect.
    Broken,
    /// It takes effect, and the connection breaks during the response.
    NoAnswer,
}

/// The default limit: more than any order of the demonstration.
const LIMIT_CENTS: i64 = 100_000_000;

impl Faults {
    /// The faults that follow from this seed.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self {
            seed: Some(seed),
            limit_cents: LIMIT_CENTS,
        }
    }

    /// No faults, and no delay.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            seed: None,
            limit_cents: LIMIT_CENTS,
        }
    }

    /// Refuses orders of more than this.
    #[must_use]
    pub const fn limit_cents(mut self, limit: i64) -> Self {
        self.limit_cents = limit;
        self
    }

    pub(super) const fn takes(&self, total_cents: i64) -> bool {
        total_cents <= self.limit_cents
    }

    /// How long the partner thinks about a request.
    pub(super) fn latency(&self, key: Uuid) -> Duration {
        match self.rng(key, 0) {
            Some(mut rng) => Duration::from_micros(rng.u64(3_000..15_000)),
            None => Duration::ZERO,
        }
    }

    /// The fault of a request that comes for the `sight`-th time.
    pub(super) fn of(&self, key: Uuid, sight: u32) -> Option<Fault> {
        if sight > 2 {
            return None;
        }
        match self.rng(key, sight)?.u32(0..1_000) {
            0..30 => Some(Fault::Unavailable),
            30..40 => Some(Fault::Broken),
            40..80 => Some(Fault::NoAnswer),
            _ => None,
        }
    }

    fn rng(&self, key: Uuid, sight: u32) -> Option<fastrand::Rng> {
        let (high, low) = key.as_u64_pair();
        let seed = self.seed? ^ high.rotate_left(sight) ^ low;
        Some(fastrand::Rng::with_seed(seed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_happens_and_no_event_meets_more_than_two() {
        let faults = Faults::seeded(7);
        let mut counts = [0; 3];
        for _ in 0..20_000 {
            let key = Uuid::new_v4();
            let met: Vec<Fault> = (1..6).filter_map(|sight| faults.of(key, sight)).collect();
            assert!(met.len() <= 2);
            for fault in met {
                counts[fault as usize] += 1;
            }
        }
        assert!(counts.iter().all(|count| *count > 100), "{counts:?}");
    }

    #[test]
    fn the_same_seed_makes_the_same_faults() {
        let key = Uuid::from_u128(42);
        let (one, two) = (Faults::seeded(3), Faults::seeded(3));
        assert_eq!(one.latency(key), two.latency(key));
        assert_eq!(one.of(key, 1), two.of(key, 1));
        assert_eq!(Faults::none().of(key, 1), None);
    }
}
