//! Reproducible randomness.

use outbox_runtime::__private::mix;

/// A sequence of pseudo-random numbers that is the same for the same seed, on every machine and in
/// every version.
///
/// The algorithm is `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014). It is meant for tests, not
/// for secrets.
///
/// # Examples
///
/// ```
/// use outbox_testing::SeededRng;
///
/// let (mut a, mut b) = (SeededRng::new(7), SeededRng::new(7));
/// assert_eq!(a.below(1_000), b.below(1_000));
/// assert!(["ada", "ben"].contains(a.pick(&["ada", "ben"])));
/// ```
///
/// Several sequences:
///
/// ```
/// use outbox_testing::SeededRng;
///
/// let mut rng = SeededRng::new(7);
/// let mut of_network = rng.fork(); // draws of one do not move the other
/// assert_ne!(rng.word(), of_network.word());
/// let fails = rng.chance(50); // five in a hundred
/// # let _ = fails;
/// ```
#[derive(Debug, Clone)]
pub struct SeededRng(u64);

impl SeededRng {
    /// Creates the sequence of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, over all 64 bits.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number from 0 to `end`, exclusive; 0 if `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // The high half of the product: uniform but for a bias that no test can observe.
        ((u128::from(self.word()) * u128::from(end)) >> 64) as u64
    }

    /// Returns `true` with a probability of `in_a_thousand` / 1000.
    pub fn chance(&mut self, in_a_thousand: u32) -> bool {
        self.below(1_000) < u64::from(in_a_thousand)
    }

    /// Picks one of the elements.
    ///
    /// # Panics
    ///
    /// If `from` is empty.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    /// Starts an independent sequence: drawing from one does not change the other.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.word())
    }
}
