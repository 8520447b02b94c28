//! A small, fast generator for choosing faults. Not for secrets.

/// SplitMix64: one multiplication chain per number, good enough to shuffle by.
#[derive(Clone, Debug)]
pub(crate) struct SimRng(u64);

impl SimRng {
    pub(crate) fn new(seed: u64) -> SimRng {
        SimRng(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; 0 when the limit is 0. The bias is beneath notice for small limits.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let scaled = u128::from(self.next()) * (limit as u128);
        usize::try_from(scaled >> 64).expect("less than the limit")
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }

    /// Eight coins.
    pub(crate) fn mask(&mut self) -> u8 {
        self.next().to_le_bytes()[7]
    }
}
