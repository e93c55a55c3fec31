//! Chance that can be had again: the same seed, the same throws.

use std::ops::Range;
use std::time::Duration;

/// splitmix64: small, and good enough to choose what a client does next.
pub struct Dice(u64);

impl Dice {
    /// Those of one thread: each has its own, so that no other thread's pace changes what this one throws.
    pub fn of(seed: u64, thread: u64) -> Dice {
        let mut dice = Dice(seed ^ thread.wrapping_mul(0xd6e8_feb8_6659_fd93));
        dice.throw();
        dice
    }

    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn within(&mut self, range: Range<usize>) -> usize {
        range.start + (self.throw() % (range.end - range.start) as u64) as usize
    }

    pub fn percent(&mut self, chance: usize) -> bool {
        self.within(0..100) < chance
    }

    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.within(0..all.len())]
    }

    pub fn ms(&mut self, range: Range<usize>) -> Duration {
        Duration::from_millis(self.within(range) as u64)
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.throw() as u8).collect()
    }
}
