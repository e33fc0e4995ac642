//! Chance that a seed repeats.

use std::time::Duration;

/// `SplitMix64`: a step and a hash, good enough to choose by, and the same everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Dice of their own for whoever has these numbers.
    pub(crate) fn new(seed: u64, whose: &[u64]) -> Self {
        whose.iter().fold(Self(seed), |mut dice, number| {
            Self(dice.next() ^ number.wrapping_mul(0xff51_afd7_ed55_8ccd))
        })
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.next() % sides.max(1)
    }

    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.roll(times) == 0
    }

    /// One of these, which are not empty.
    pub(crate) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.index(all.len())]
    }

    pub(crate) fn index(&mut self, length: usize) -> usize {
        let sides = u64::try_from(length).expect("a number of things in memory");
        usize::try_from(self.roll(sides)).expect("below a number of things in memory")
    }

    /// A time between these, in milliseconds.
    pub(crate) fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.roll(to - from + 1))
    }

    /// All of these, in some order.
    pub(crate) fn shuffled<T: Copy>(&mut self, all: &[T]) -> Vec<T> {
        let mut rest = all.to_vec();
        let mut order = Vec::with_capacity(rest.len());
        while !rest.is_empty() {
            order.push(rest.swap_remove(self.index(rest.len())));
        }
        order
    }
}
