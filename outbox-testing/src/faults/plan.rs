//! Which faults come when, and which have come.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::ops::AddAssign;
use std::time::Duration;

use super::StoreCall;
use crate::SeededRng;
use outbox_runtime::StoreErrorKind;

/// What goes wrong with one call of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing is done, and the answer is an error of this kind.
    Fail(StoreErrorKind),
    /// It is done, and the answer is an error whose [outcome is unknown](outbox_runtime::StoreError::outcome_unknown).
    FailAfterCommit,
    /// It is done so much later, on the store's clock.
    Delay(Duration),
    /// It is done, and answered so much later, on the store's clock.
    DelayAnswer(Duration),
    /// A [listing](StoreCall::is_listing) is answered as it was the last time. Where it was not asked before, and for any
    /// other call, nothing happens, and nothing is counted.
    Stale,
}

/// How often faults come by themselves, each so many times in a thousand calls.
///
/// # Default
///
/// None at all.
///
/// # Examples
///
/// ```
/// use outbox_testing::FaultRates;
///
/// let rates = FaultRates::default().with_failures(50).with_failures_after_commit(20);
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
    /// How many calls in a thousand [fail](Fault::Fail) as unavailable. Default: 0.
    pub const fn with_failures(mut self, in_a_thousand: u32) -> Self {
        self.failures = in_a_thousand;
        self
    }

    /// How many [fail after they were done](Fault::FailAfterCommit). Default: 0.
    pub const fn with_failures_after_commit(mut self, in_a_thousand: u32) -> Self {
        self.failures_after_commit = in_a_thousand;
        self
    }

    /// How many are delayed, half of them [before](Fault::Delay) and half [after](Fault::DelayAnswer) they are done, by at most
    /// `longest`. Default: 0.
    pub const fn with_delays(mut self, in_a_thousand: u32, longest: Duration) -> Self {
        self.delays = in_a_thousand;
        self.longest_delay = longest;
        self
    }

    /// How many listings are [stale](Fault::Stale). Default: 0.
    pub const fn with_stale_listings(mut self, in_a_thousand: u32) -> Self {
        self.stale = in_a_thousand;
        self
    }

    pub(crate) const fn without_delays(mut self) -> Self {
        self.delays = 0;
        self
    }

    fn draw(&self, draw: &mut SeededRng) -> Option<Fault> {
        let mut at = draw.below(1_000) as u32;
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
            let delay = Duration::from_millis(draw.below(longest.saturating_add(1)));
            Some(if draw.chance(500) {
                Fault::Delay(delay)
            } else {
                Fault::DelayAnswer(delay)
            })
        } else {
            comes(self.stale).then_some(Fault::Stale)
        }
    }
}

/// How many faults have come.
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
    /// All of them.
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

/// An answer of a listing, of whatever type.
type Answer = Box<dyn Any + Send>;

#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Explicit faults, which go first.
    next: BTreeMap<StoreCall, VecDeque<Fault>>,
    by_chance: Option<(FaultRates, SeededRng)>,
    injected: Injected,
    /// What listings were answered the last time, by the call and what was asked.
    answers: BTreeMap<(StoreCall, String), Answer>,
}

impl Plan {
    pub(super) fn by_chance(&mut self, rates: FaultRates, draw: SeededRng) {
        self.by_chance = Some((rates, draw));
    }

    pub(super) fn next(&mut self, call: StoreCall, faults: impl Iterator<Item = Fault>) {
        self.next.entry(call).or_default().extend(faults);
    }

    pub(super) fn clear(&mut self) {
        self.next.clear();
        self.by_chance = None;
    }

    /// The fault of this call, which counts as come from here on unless it is a stale listing.
    pub(super) fn strike(&mut self, call: StoreCall) -> Option<Fault> {
        let planned = self.next.get_mut(&call).and_then(VecDeque::pop_front);
        let fault = planned.or_else(|| {
            let (rates, draw) = self.by_chance.as_mut()?;
            rates.draw(draw)
        })?;
        if fault != Fault::Stale {
            self.injected.count(fault);
        }
        Some(fault)
    }

    /// What this listing was answered the last time.
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
