//! Looks for the next request for a moment before the writer's thread parks.
//!
//! A lone caller that waits for each commit comes back within microseconds, and waking a parked
//! thread takes longer than that. Looking helps only while a core is free, so it is given up after
//! a miss, for longer with each miss in a row.

use std::hint;
use std::thread;
use std::time::Duration;

use crate::clock::Stopwatch;

/// The longest look.
const LONGEST: Duration = Duration::from_micros(30);
/// Twice as many looks are left out after each miss in a row, up to two to this power.
const MOST_MISSES: u32 = 10;

/// Decides whether to look.
#[derive(Debug)]
pub(super) struct Spin {
    has_cores: bool,
    /// Misses in a row.
    misses: u32,
    /// Looks still to be left out.
    left_out: u32,
}

impl Spin {
    pub(super) fn new() -> Self {
        let cores = thread::available_parallelism();
        Self {
            has_cores: cores.is_ok_and(|cores| cores.get() > 1),
            misses: 0,
            left_out: 0,
        }
    }

    /// Calls `poll` until it returns something, if that is expected soon.
    pub(super) fn until<T>(&mut self, mut poll: impl FnMut() -> Option<T>) -> Option<T> {
        if !self.has_cores {
            return None;
        }
        if self.left_out > 0 {
            self.left_out -= 1;
            return None;
        }
        let watch = Stopwatch::start();
        loop {
            let found = poll();
            if found.is_some() {
                self.misses = 0;
                return found;
            }
            if watch.elapsed() >= LONGEST {
                self.misses = MOST_MISSES.min(self.misses + 1);
                self.left_out = 1 << self.misses;
                return None;
            }
            hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spin() -> Spin {
        Spin {
            has_cores: true,
            misses: 0,
            left_out: 0,
        }
    }

    /// How many of `count` batches without a successor were followed by a look.
    fn looks(spin: &mut Spin, count: usize) -> usize {
        let looked = |_: &usize| {
            let mut has_looked = false;
            let found: Option<()> = spin.until(|| {
                has_looked = true;
                None
            });
            assert_eq!(found, None);
            has_looked
        };
        (0..count).filter(looked).count()
    }

    #[test]
    fn looks_that_find_nothing_become_rare() {
        let mut spin = spin();
        // After 0, 2, 4, .. 1,024 others.
        assert_eq!(looks(&mut spin, 2_047 + 10), 11);
        assert_eq!(looks(&mut spin, 10 * 1_025), 10);
    }

    #[test]
    fn a_look_that_finds_something_is_repeated() {
        let mut spin = spin();
        assert_eq!(looks(&mut spin, 4), 2);
        let tries = (0..5).filter(|_| spin.until(|| Some(())).is_some());
        assert_eq!(tries.count(), 1, "four are left out after two misses");
        assert!((0..100).all(|_| spin.until(|| Some(())).is_some()));
    }

    #[test]
    fn a_machine_with_one_core_never_looks() {
        let mut spin = Spin {
            has_cores: false,
            ..spin()
        };
        assert_eq!(looks(&mut spin, 100), 0);
    }
}
