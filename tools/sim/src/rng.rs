//! The one source of chance. Every choice of a run comes from here, in order, so that a seed and a
//! number of steps say everything about a run.

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The stream of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds must not give shifted copies of one stream.
        let mut start = Self(seed ^ 0x5354_454c_4553_494d);
        let mixed = start.next();
        Self(mixed)
    }

    /// The next number.
    #[expect(
        clippy::should_implement_trait,
        reason = "an endless source is no iterator here"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `limit`; 0 when the limit is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        let scaled = u128::from(self.next()) * u128::from(limit);
        u64::try_from(scaled >> 64).expect("the high half of a product of two u64")
    }

    /// An index below `len`.
    pub fn index(&mut self, len: usize) -> usize {
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        usize::try_from(self.below(len)).expect("less than a usize")
    }

    /// A number from `first` to `last`, both included.
    pub fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last.saturating_sub(first).saturating_add(1))
    }

    /// True so many times in a thousand.
    pub fn permille(&mut self, count: u64) -> bool {
        self.below(1000) < count
    }

    /// A number whose magnitude is drawn first: small ones are as likely as large ones. At least 1,
    /// at most `last`.
    pub fn magnitude(&mut self, last: u64) -> u64 {
        let bits = u64::from(64 - last.max(1).leading_zeros());
        let top = 1_u64 << self.between(1, bits).min(63);
        self.between(1, top.min(last.max(1)))
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        if of.is_empty() {
            None
        } else {
            of.get(self.index(of.len()))
        }
    }
}

/// The finalizer of SplitMix64: every bit of the input stirs every bit of the output.
#[must_use]
pub fn mix(value: u64) -> u64 {
    let mut mixed = value;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::Rng;

    #[test]
    fn the_seed_decides_the_stream() {
        let draw = |seed| {
            let mut rng = Rng::new(seed);
            [rng.next(), rng.next(), rng.next()]
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_ne!(draw(1)[1], draw(2)[0]);
    }

    #[test]
    fn numbers_keep_within_their_bounds() {
        let mut rng = Rng::new(3);
        for last in [0, 1, 2, 7, 1000, u64::MAX] {
            for _ in 0..200 {
                assert!((1..=last.max(1)).contains(&rng.magnitude(last)));
                assert!(last == 0 || rng.below(last) < last);
                assert!((last / 2..=last).contains(&rng.between(last / 2, last)));
            }
        }
        assert_eq!(rng.pick::<u8>(&[]), None);
    }
}
