//! Chance that is the same in every run.

/// A small generator (xorshift).
pub(crate) struct Random(u64);

impl Random {
    /// From a seed, which must not be 0.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// In `0..end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    /// So many groups of eleven digits, as sysbench fills its text columns.
    pub(crate) fn digits(&mut self, groups: usize, text: &mut String) {
        for number in 0..groups {
            if number > 0 {
                text.push('-');
            }
            text.push_str(&format!("{:011}", self.below(100_000_000_000)));
        }
    }
}
