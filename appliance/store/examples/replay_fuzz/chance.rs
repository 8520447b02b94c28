//! Numbers drawn from a seed and the number of a case.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Numbers at which arithmetic and limits go wrong.
const EDGES: [u64; 12] = [
    0,
    1,
    2,
    255,
    4096,
    65_535,
    0xf_ffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    u64::MAX - 1,
    u64::MAX,
];

/// The chance of one case.
pub struct Chance(ChaCha8Rng);

impl Chance {
    /// The same for the same seed and case.
    pub fn new(seed: u64, case: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(case);
        Self(rng)
    }

    /// Below a limit that is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.0.next_u64() % limit as u64).expect("below a usize")
    }

    pub fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    /// Up to so many bytes.
    pub fn bytes(&mut self, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; 1 + self.below(most)];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// A number at an edge, a small one, or any.
    pub fn number(&mut self) -> u64 {
        match self.below(4) {
            0 => self.0.next_u64(),
            1 => self.0.next_u64() % 64,
            _ => EDGES[self.below(EDGES.len())],
        }
    }

    /// Near a number, or another.
    pub fn instead_of(&mut self, number: u64) -> u64 {
        match self.below(3) {
            0 => number.wrapping_add(1),
            1 => number.wrapping_sub(1),
            _ => self.number(),
        }
    }
}
