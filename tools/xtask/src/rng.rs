//! Seeded random numbers: the same seed gives the same run and the same object bytes.
//!
//! xoshiro256** seeded by SplitMix64. Not for secrets.

/// A generator; cheap to make, one per worker or object.
#[derive(Clone)]
pub struct Rng([u64; 4]);

impl Rng {
    /// The generator of this seed.
    pub fn new(seed: u64) -> Rng {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        Rng([next(), next(), next(), next()])
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        let result = self.0[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = self.0[1] << 17;
        self.0[2] ^= self.0[0];
        self.0[3] ^= self.0[1];
        self.0[1] ^= self.0[2];
        self.0[0] ^= self.0[3];
        self.0[2] ^= shifted;
        self.0[3] = self.0[3].rotate_left(45);
        result
    }

    /// A number below `end`; 0 when `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.next() % end }
    }

    /// An index into something of this length.
    pub fn index(&mut self, length: usize) -> usize {
        let length = u64::try_from(length).expect("usize fits in u64 here");
        usize::try_from(self.below(length)).expect("below a usize")
    }

    /// True in `percent` of 100 cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Fills a buffer.
    pub fn fill(&mut self, out: &mut [u8]) {
        let mut words = out.chunks_exact_mut(8);
        for word in &mut words {
            word.copy_from_slice(&self.next().to_le_bytes());
        }
        let rest = words.into_remainder();
        let last = self.next().to_le_bytes();
        let count = rest.len();
        rest.copy_from_slice(&last[..count]);
    }

    /// `length` bytes of this generator.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut out = vec![0; length];
        self.fill(&mut out);
        out
    }
}

/// A seed nobody chose, for runs that were given none; printed by whoever uses it.
pub fn fresh_seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = since.map_or(0, |elapsed| {
        u64::from(elapsed.subsec_nanos()) ^ elapsed.as_secs()
    });
    Rng::new(nanos ^ (u64::from(std::process::id()) << 32)).next() >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_gives_the_same_bytes_and_another_seed_does_not() {
        assert_eq!(Rng::new(7).bytes(1001), Rng::new(7).bytes(1001));
        assert_ne!(Rng::new(7).bytes(64), Rng::new(8).bytes(64));
    }

    #[test]
    fn below_stays_below() {
        let mut rng = Rng::new(1);
        assert!((0..1000).all(|_| rng.below(3) < 3));
        assert_eq!(rng.below(0), 0);
    }
}
