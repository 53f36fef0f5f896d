//! The faults that are planned, and the faults that were injected.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::ops::AddAssign;
use std::time::Duration;

use super::StoreCall;
use crate::SeededRng;
use outbox_runtime::StoreErrorKind;

/// A fault of one store call.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::{MemoryStore, OutboxRepository, StoreErrorKind};
/// use outbox_testing::{Fault, FaultStore, StoreCall};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = FaultStore::new(MemoryStore::new());
/// store.fail_next(StoreCall::Statistics, Fault::Fail(StoreErrorKind::StorageFull));
/// store.fail_next(StoreCall::Claim, Fault::Delay(Duration::from_secs(5)));
/// let error = store.statistics(None).await.err();
/// assert!(error.is_some_and(|error| error.kind() == StoreErrorKind::StorageFull));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The call does nothing and returns an error of this kind.
    Fail(StoreErrorKind),
    /// The call takes effect, but returns an error whose [outcome is
    /// unknown](outbox_runtime::StoreError::outcome_unknown).
    FailAfterCommit,
    /// The call takes effect this much later, on the store's clock.
    Delay(Duration),
    /// The call takes effect at once and returns this much later, on the store's clock.
    DelayAnswer(Duration),
    /// A [listing](StoreCall::is_listing) returns its previous result. Without a previous result,
    /// and for any other call, nothing happens and nothing is counted.
    Stale,
}

/// Rates of random faults, per thousand calls.
///
/// # Default
///
/// No faults.
///
/// # Examples
///
/// ```
/// use outbox_testing::FaultRates;
///
/// let rates = FaultRates::default().with_failures(50).with_failures_after_commit(20);
/// ```
///
/// A slow store:
///
/// ```
/// use std::time::Duration;
/// use outbox_testing::FaultRates;
///
/// let slow = FaultRates::default()
///     .with_delays(100, Duration::from_secs(2))
///     .with_stale_listings(50);
/// assert_ne!(slow, FaultRates::default());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
pub struct FaultRates {
    failures: u32,
    failures_after_commit: u32,
    delays: u32,
    longest_delay: Duration,
    stale: u32,
}

impl FaultRates {
    /// Sets how many calls per thousand [fail](Fault::Fail) as unavailable. Default: 0.
    pub const fn with_failures(mut self, in_a_thousand: u32) -> Self {
        self.failures = in_a_thousand;
        self
    }

    /// Sets how many calls per thousand [fail after they took effect](Fault::FailAfterCommit).
    /// Default: 0.
    pub const fn with_failures_after_commit(mut self, in_a_thousand: u32) -> Self {
        self.failures_after_commit = in_a_thousand;
        self
    }

    /// Sets how many calls per thousand are delayed by at most `longest`: half of them
    /// [before](Fault::Delay) and half [after](Fault::DelayAnswer) they take effect. Default: 0.
    pub const fn with_delays(mut self, in_a_thousand: u32, longest: Duration) -> Self {
        self.delays = in_a_thousand;
        self.longest_delay = longest;
        self
    }

    /// Sets how many listings per thousand are [stale](Fault::Stale). Default: 0.
    pub const fn with_stale_listings(mut self, in_a_thousand: u32) -> Self {
        self.stale = in_a_thousand;
        self
    }

    pub(crate) const fn without_delays(mut self) -> Self {
        self.delays = 0;
        self
    }

    fn draw(&self, rng: &mut SeededRng) -> Option<Fault> {
        let mut at = rng.below(1_000) as u32;
        let mut comes = |rate: u32| {
            let comes = at < rate;
            at = at.saturating_sub(rate);
            comes
        };
        if comes(self.failures) {
            Some(Fault::Fail(StoreErrorKind::Unavailable))
        } else if comes(self.failures_after_commit) {
            Some(Fault::FailAfterCommit)
        } else if comes(self.delays) {
            let longest = u64::try_from(self.longest_delay.as_millis()).unwrap_or(u64::MAX);
            let delay = Duration::from_millis(rng.below(longest.saturating_add(1)));
            Some(if rng.chance(500) {
                Fault::Delay(delay)
            } else {
                Fault::DelayAnswer(delay)
            })
        } else {
            comes(self.stale).then_some(Fault::Stale)
        }
    }
}

/// The number of injected faults, by kind.
///
/// # Examples
///
/// ```
/// use outbox_runtime::MemoryStore;
/// use outbox_testing::{FaultStore, Injected};
///
/// let injected: Injected = FaultStore::new(MemoryStore::new()).injected();
/// assert_eq!((injected.total(), injected.failures), (0, 0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Injected {
    /// [`Fault::Fail`].
    pub failures: u64,
    /// [`Fault::FailAfterCommit`].
    pub failures_after_commit: u64,
    /// [`Fault::Delay`].
    pub delays: u64,
    /// [`Fault::DelayAnswer`].
    pub delayed_answers: u64,
    /// [`Fault::Stale`].
    pub stale: u64,
}

impl Injected {
    /// The number of all injected faults.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.failures + self.failures_after_commit + self.delays + self.delayed_answers + self.stale
    }

    fn count(&mut self, fault: Fault) {
        *match fault {
            Fault::Fail(_) => &mut self.failures,
            Fault::FailAfterCommit => &mut self.failures_after_commit,
            Fault::Delay(_) => &mut self.delays,
            Fault::DelayAnswer(_) => &mut self.delayed_answers,
            Fault::Stale => &mut self.stale,
        } += 1;
    }
}

impl AddAssign for Injected {
    fn add_assign(&mut self, other: Self) {
        self.failures += other.failures;
        self.failures_after_commit += other.failures_after_commit;
        self.delays += other.delays;
        self.delayed_answers += other.delayed_answers;
        self.stale += other.stale;
    }
}

/// The result of a listing, of any type.
type Answer = Box<dyn Any + Send>;

#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Planned faults, which take precedence.
    next: BTreeMap<StoreCall, VecDeque<Fault>>,
    by_chance: Option<(FaultRates, SeededRng)>,
    injected: Injected,
    /// The last result of each listing, by call and arguments.
    answers: BTreeMap<(StoreCall, String), Answer>,
}

impl Plan {
    pub(super) fn by_chance(&mut self, rates: FaultRates, rng: SeededRng) {
        self.by_chance = Some((rates, rng));
    }

    pub(super) fn next(&mut self, call: StoreCall, faults: impl Iterator<Item = Fault>) {
        self.next.entry(call).or_default().extend(faults);
    }

    pub(super) fn clear(&mut self) {
        self.next.clear();
        self.by_chance = None;
    }

    /// The fault for this call. It is counted here, except for stale listings.
    pub(super) fn strike(&mut self, call: StoreCall) -> Option<Fault> {
        let planned = self.next.get_mut(&call).and_then(VecDeque::pop_front);
        let fault = planned.or_else(|| {
            let (rates, rng) = self.by_chance.as_mut()?;
            rates.draw(rng)
        })?;
        if fault != Fault::Stale {
            self.injected.count(fault);
        }
        Some(fault)
    }

    /// The last result of this listing.
    pub(super) fn stale<T: Clone + 'static>(&mut self, call: StoreCall, asked: &str) -> Option<T> {
        let answer = self.answers.get(&(call, asked.to_owned()))?;
        let answer = answer.downcast_ref::<T>()?.clone();
        self.injected.count(Fault::Stale);
        Some(answer)
    }

    pub(super) fn remember<T: Send + 'static>(
        &mut self,
        call: StoreCall,
        asked: String,
        answer: T,
    ) {
        self.answers.insert((call, asked), Box::new(answer));
    }

    pub(super) fn injected(&self) -> Injected {
        self.injected
    }
}
